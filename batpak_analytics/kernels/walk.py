"""Walk and check frames: twin of ``walk_frames`` and ``check_frames`` in ``format/rows.py``.

The CRC of a run of frames is taken in one fast pass and must equal what the frames' *stored* CRCs combine to:
appending ``n`` bytes multiplies a CRC by ``x^(8n)`` modulo the polynomial (as zlib's ``crc32_combine``). Only
a run where the two differ is looked at frame by frame.
"""

from __future__ import annotations

import ctypes
from typing import Any

import cython
import numpy as np
from cython.cimports.batpak_analytics.kernels.wire import start_of

from batpak_analytics.format.layout import MAX_FRAME_PAYLOAD

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
u32 = cython.typedef(cython.uint)
u64 = cython.typedef(cython.ulonglong)
p_u32 = cython.typedef(cython.pointer[cython.uint])
p_u64 = cython.typedef(cython.pointer[cython.ulonglong])
p_out = cython.typedef(cython.pointer[cython.uchar])

# Statuses as in format/layout.py (a C constant each, for the loops without the interpreter).
OK = cython.declare(cython.int, 0)
BAD_CRC = cython.declare(cython.int, 1)
BOUNDS = cython.declare(cython.int, 2)
TOO_LARGE = cython.declare(cython.int, 4)
PAST_END = cython.declare(cython.int, 5)
END = cython.declare(cython.int, 6)
PENDING = cython.declare(cython.int, 255)  # well placed, CRC not looked at yet
LIMIT = cython.declare(u64, MAX_FRAME_PAYLOAD)

CHUNK_FRAMES = cython.declare(cython.Py_ssize_t, 4096)
CHUNK_BYTES = cython.declare(u64, 1 << 18)  # a run that stays in the processor's cache between its two passes
FEW_FRAMES = cython.declare(cython.Py_ssize_t, 4)  # below this a run is not worth a call

# -- CRC-32 (IEEE, reflected): isal's, or eight bytes a step ---------------------------------------------
POLYNOMIAL = cython.declare(u32, 0xEDB88320)
CRC_TABLE = cython.declare(u32[2048])  # eight tables of 256
POWERS = cython.declare(u32[64])  # x^(8 * 2^k)
SHIFTS = cython.declare(u32[16384])  # x^(8n) for short n, filled when first needed; 0 is no power of x


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _be32(data: p_bytes, at: u64) -> u32:
    return (
        (cython.cast(u32, data[at]) << 24)
        | (cython.cast(u32, data[at + 1]) << 16)
        | (cython.cast(u32, data[at + 2]) << 8)
        | cython.cast(u32, data[at + 3])
    )


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _crc_step(crc: u32, data: p_bytes, at: u64) -> u32:
    """Eight bytes at once (slicing-by-8); ``crc`` is the running value, inverted as in every CRC-32."""
    low: u32 = crc ^ (
        cython.cast(u32, data[at])
        | (cython.cast(u32, data[at + 1]) << 8)
        | (cython.cast(u32, data[at + 2]) << 16)
        | (cython.cast(u32, data[at + 3]) << 24)
    )
    return (
        CRC_TABLE[1792 + (low & 255)]
        ^ CRC_TABLE[1536 + ((low >> 8) & 255)]
        ^ CRC_TABLE[1280 + ((low >> 16) & 255)]
        ^ CRC_TABLE[1024 + (low >> 24)]
        ^ CRC_TABLE[768 + data[at + 4]]
        ^ CRC_TABLE[512 + data[at + 5]]
        ^ CRC_TABLE[256 + data[at + 6]]
        ^ CRC_TABLE[data[at + 7]]
    )


def isal_crc32() -> int:
    """Where the CRC-32 of isal begins in memory, 0 where there is none.

    Called there, and not through Python, it needs no interpreter lock: threads that ask for that after every block
    wait for each other.
    """
    try:
        from isal import isal_zlib

        found = ctypes.CDLL(isal_zlib.__file__).crc32_gzip_refl
    except (ImportError, OSError, AttributeError):  # no wheel for this platform, or one that hides its functions
        return 0
    found.argtypes, found.restype = (ctypes.c_uint32, ctypes.c_char_p, ctypes.c_uint64), ctypes.c_uint32
    known = found(0, b"123456789", 9) == 0xCBF43926  # which also lets it choose its code for this processor
    return (ctypes.cast(found, ctypes.c_void_p).value or 0) if known else 0


FAST_CRC32 = cython.declare(cython.size_t, isal_crc32())


def crc32_of(data, size, before):
    """The CRC-32 of ``size`` bytes that follow others whose CRC is ``before``."""
    return fast_crc32(FAST_CRC32, before, data, size) if FAST_CRC32 else _crc(data, 0, size, before)


def crc_of(data, at, size):
    """The CRC-32 of ``data[at:at + size]``."""
    return crc32_of(data + at, size, 0)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _crc(data: p_bytes, at: u64, size: u64, before: u32) -> u32:
    crc: u32 = ~before
    end: u64 = at + size
    while end - at >= 8:
        crc = _crc_step(crc, data, at)
        at += 8
    while at < end:
        crc = CRC_TABLE[(crc ^ data[at]) & 255] ^ (crc >> 8)
        at += 1
    return ~crc


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _times_x(value: u32) -> u32:
    return (value >> 1) ^ (POLYNOMIAL & (0 - (value & 1)))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _multiply(left: u32, right: u32) -> u32:
    """The product of two polynomials modulo the CRC's; reflected, so bit 31 is the constant term."""
    multiples: u64[16]
    product: u64 = 0
    low: u32
    k: cython.int
    multiples[0] = 0
    multiples[1] = right
    for k in range(1, 8):
        multiples[2 * k] = multiples[k] << 1
        multiples[2 * k + 1] = multiples[2 * k] ^ right
    for k in range(8):
        product ^= multiples[(left >> (4 * k)) & 15] << (4 * k)
    product <<= 1
    # The lower half is what has grown beyond the polynomial: as a CRC that four zero bytes have passed.
    low = cython.cast(u32, product)
    return (
        cython.cast(u32, product >> 32)
        ^ CRC_TABLE[768 + (low & 255)]
        ^ CRC_TABLE[512 + ((low >> 8) & 255)]
        ^ CRC_TABLE[256 + ((low >> 16) & 255)]
        ^ CRC_TABLE[low >> 24]
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _shift(size: u64) -> u32:
    """``x^(8 * size)``: what a CRC is multiplied by when ``size`` bytes follow."""
    left: u64 = size
    power: cython.int = 0
    value: u32 = cython.cast(u32, 1) << 31
    if size < 16384 and SHIFTS[size]:
        return SHIFTS[size]
    while left:
        if left & 1:
            value = _multiply(value, POWERS[power])
        left >>= 1
        power += 1
    if size < 16384:
        SHIFTS[size] = value
    return value


@cython.cfunc
def _fill_tables() -> cython.void:
    n: cython.int
    k: cython.int
    value: u32
    for n in range(256):
        value = n
        for k in range(8):
            value = _times_x(value)
        CRC_TABLE[n] = value
    for n in range(256):
        value = CRC_TABLE[n]
        for k in range(1, 8):
            value = CRC_TABLE[value & 255] ^ (value >> 8)
            CRC_TABLE[256 * k + n] = value
    POWERS[0] = cython.cast(u32, 1) << 23  # x^8
    for n in range(1, 64):
        POWERS[n] = _multiply(POWERS[n - 1], POWERS[n - 1])


_fill_tables()


# -- frames ----------------------------------------------------------------------------------------------
@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _combined(
    data: p_bytes, offsets: cython.pointer[u64], lengths: cython.pointer[u32], count: cython.Py_ssize_t
) -> u32:
    """The CRC of a run of frames, headers included, as their stored CRCs say it should be."""
    crc: u32 = 0
    i: cython.Py_ssize_t
    at: u64
    for i in range(count):
        at = offsets[i]
        crc = ~_crc_step(~crc, data, at)
        crc = _multiply(crc, _shift(lengths[i] - 8)) ^ _be32(data, at + 4)
    return crc


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _check_each(
    data: p_bytes,
    offsets: cython.pointer[u64],
    lengths: cython.pointer[u32],
    statuses: cython.pointer[cython.uchar],
    count: cython.Py_ssize_t,
) -> cython.void:
    i: cython.Py_ssize_t
    good: cython.bint
    for i in range(count):
        if statuses[i] == PENDING:
            good = _crc(data, offsets[i] + 8, lengths[i] - 8, 0) == _be32(data, offsets[i] + 4)
            statuses[i] = OK if good else BAD_CRC


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _run_end(
    offsets: cython.pointer[u64],
    lengths: cython.pointer[u32],
    statuses: cython.pointer[cython.uchar],
    first: cython.Py_ssize_t,
    count: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """The end of the run of well placed frames, back to back, that starts with row ``first``."""
    i: cython.Py_ssize_t = first
    size: u64 = 0
    while i < count and statuses[i] == PENDING and size < CHUNK_BYTES:
        if i > first and offsets[i] != offsets[i - 1] + lengths[i - 1]:
            break
        size += lengths[i]
        i += 1
    return i


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _place(
    data: p_bytes, total: u64, offsets: p_u64, lengths: p_u32, statuses: p_out, count: cython.Py_ssize_t
) -> cython.void:
    """Which frames may lie where they should. Only what is long is touched: the CRC brings the rest into the cache."""
    i: cython.Py_ssize_t
    size: u64
    for i in range(count):
        size = lengths[i]
        if size < 8 or offsets[i] > total or size > total - offsets[i]:
            statuses[i] = BOUNDS
        elif size > CHUNK_BYTES and _be32(data, offsets[i]) != size - 8:
            statuses[i] = BOUNDS
        elif size - 8 > LIMIT:
            statuses[i] = TOO_LARGE
        else:
            statuses[i] = PENDING


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _as_long_as_they_say(
    data: p_bytes, offsets: p_u64, lengths: p_u32, statuses: p_out, count: cython.Py_ssize_t
) -> cython.bint:
    """Take out the placed frames whose length field says something else; whether there were none."""
    i: cython.Py_ssize_t
    all_good: cython.bint = True
    for i in range(count):
        if statuses[i] == PENDING and _be32(data, offsets[i]) != lengths[i] - 8:
            statuses[i] = BOUNDS
            all_good = False
    return all_good


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _settle(data: p_bytes, offsets: p_u64, lengths: p_u32, statuses: p_out, count: cython.Py_ssize_t) -> cython.void:
    """Replace PENDING by FRAME_OK or FRAME_CRC; every pending row lies inside the buffer."""
    first: cython.Py_ssize_t = 0
    end: cython.Py_ssize_t
    k: cython.Py_ssize_t
    low: u64
    whole: u32
    good: cython.bint
    while first < count:
        if statuses[first] != PENDING:
            first += 1
            continue
        end = _run_end(offsets, lengths, statuses, first, count)
        good = FAST_CRC32 != 0 and end - first >= FEW_FRAMES
        if good:
            low = offsets[first]
            # The sequential pass comes first: it brings the run into the cache, headers included.
            whole = crc32_of(data + low, offsets[end - 1] + lengths[end - 1] - low, 0)
            good = _as_long_as_they_say(data, offsets + first, lengths + first, statuses + first, end - first)
            good = good and whole == _combined(data, offsets + first, lengths + first, end - first)
        if good:
            for k in range(first, end):
                statuses[k] = OK
        else:
            _as_long_as_they_say(data, offsets + first, lengths + first, statuses + first, end - first)
            _check_each(data, offsets + first, lengths + first, statuses + first, end - first)
        first = end


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _hop(
    data: p_bytes,
    start: u64,
    end: u64,
    limit: u64,
    offsets: u64[::1],
    lengths: u32[::1],
    why: cython.pointer[cython.int],
) -> cython.Py_ssize_t:
    """Follow the length fields for as many frames as fit the arrays or a chunk; ``why`` it stopped."""
    i: cython.Py_ssize_t = 0
    at: u64 = start
    size: u64
    why[0] = PENDING
    while i < offsets.shape[0] and at - start < CHUNK_BYTES:
        if end - at < 8:
            why[0] = END
            break
        size = _be32(data, at)
        if size > limit:
            why[0] = TOO_LARGE
            break
        if size > end - at - 8:
            why[0] = PAST_END
            break
        offsets[i] = at
        lengths[i] = cython.cast(u32, size + 8)
        at += size + 8
        i += 1
    return i


def walk_frames(buffer: Any, start: int, end: int, limit: int = MAX_FRAME_PAYLOAD) -> tuple[Any, Any, int, int]:
    """See ``format.rows.walk_frames``."""
    view = np.frombuffer(buffer, np.uint8)
    bytes_view: cython.const[cython.uchar][::1] = view
    stop: u64 = min(max(end, 0), bytes_view.shape[0])
    at: u64 = min(max(start, 0), stop)
    most: u64 = min(max(limit, 0), 0xFFFFFFF7)
    why: cython.int = PENDING
    found: cython.Py_ssize_t
    offsets = np.empty(CHUNK_FRAMES, np.uint64)
    lengths = np.empty(CHUNK_FRAMES, np.uint32)
    starts: u64[::1] = offsets
    sizes: u32[::1] = lengths
    verdicts: cython.uchar[::1]
    chunks: list = [(offsets[:0], lengths[:0])]
    while why == PENDING:
        with cython.nogil:
            found = _hop(start_of(bytes_view), at, stop, most, starts, sizes, cython.address(why))
        statuses = np.full(CHUNK_FRAMES, PENDING, np.uint8)
        verdicts = statuses
        with cython.nogil:
            _settle(
                start_of(bytes_view),
                cython.address(starts[0]),
                cython.address(sizes[0]),
                cython.address(verdicts[0]),
                found,
            )
        bad = np.flatnonzero(statuses[:found])
        if bad.size:
            found = bad[0]
            why = BAD_CRC
        if found:
            chunks.append((offsets[:found].copy(), lengths[:found].copy()))
            at = starts[found - 1] + sizes[found - 1]
    all_offsets, all_lengths = zip(*chunks, strict=True)
    return np.concatenate(all_offsets), np.concatenate(all_lengths), max(start, int(at)), why


def check_places(data, total, offsets, lengths, statuses, count):
    """The status of each of ``count`` frames, as ``check_frames`` gives it, in the ``total`` bytes of ``data``."""
    _place(data, total, offsets, lengths, statuses, count)
    _settle(data, offsets, lengths, statuses, count)


def check_frames(buffer: Any, offsets: Any, lengths: Any, check_crc: bool = True) -> Any:
    """See ``format.rows.check_frames``; without ``check_crc`` only the place and the length are looked at."""
    view = np.frombuffer(buffer, np.uint8)
    bytes_view: cython.const[cython.uchar][::1] = view
    starts: u64[::1] = np.ascontiguousarray(offsets, np.uint64)
    sizes: u32[::1] = np.ascontiguousarray(lengths, np.uint32)
    count: cython.Py_ssize_t = starts.shape[0]
    if count != sizes.shape[0]:
        raise ValueError("offsets and lengths differ in length. Pass one length for each offset.")
    statuses = np.empty(count, np.uint8)
    verdicts: cython.uchar[::1] = statuses
    if count == 0:
        return statuses
    start, size, verdict = cython.address(starts[0]), cython.address(sizes[0]), cython.address(verdicts[0])
    if check_crc:
        with cython.nogil:
            check_places(start_of(bytes_view), bytes_view.shape[0], start, size, verdict, count)
    else:
        _place(start_of(bytes_view), bytes_view.shape[0], start, size, verdict, count)
        _as_long_as_they_say(start_of(bytes_view), start, size, verdict, count)
        statuses[statuses == PENDING] = OK
    return statuses
