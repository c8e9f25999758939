"""Frame bodies -> FRAME_DTYPE rows and payload bytes: twin of ``parse_frames`` and ``unescape``.

The fast path knows one layout, the one batpak writes (spec segments 2.6): every key in its place, lengths and
integers in any width the writer uses, byte vectors as minimal int-arrays. Anything else, hostile or merely
unusual, goes through ``format.rows.parse_row`` one row at a time.
"""

from __future__ import annotations

from typing import Any

import cython
import numpy as np
from cython.cimports.batpak_analytics.kernels.wire import is_utf8
from cython.cimports.libc.string import memcmp, memcpy, memset

from batpak_analytics.format import rows as readable
from batpak_analytics.format.layout import FRAME_DTYPE
from batpak_analytics.kernels.walk import check_frames

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
p_text = cython.typedef(cython.pointer[cython.const[cython.char]])  # a literal
p_out = cython.typedef(cython.pointer[cython.uchar])
index = cython.typedef(cython.Py_ssize_t)
u64 = cython.typedef(cython.ulonglong)

# One row as FRAME_DTYPE lays it out. The fields are aligned as a C compiler would align them.
Row = cython.struct(
    status=cython.uchar,
    has_chain=cython.uchar,
    encrypted=cython.uchar,
    flags=cython.uchar,
    payload_form=cython.uchar,
    pad=cython.uchar,
    kind=cython.ushort,
    payload_version=cython.ushort,
    pad2=cython.ushort,
    payload_size=cython.uint,
    payload_count=cython.uint,
    depth=cython.uint,
    lane=cython.uint,
    clock=cython.uint,
    timestamp_us=cython.longlong,
    wall_ms=cython.ulonglong,
    payload_start=cython.ulonglong,
    payload_end=cython.ulonglong,
    entity_start=cython.ulonglong,
    scope_start=cython.ulonglong,
    extensions_start=cython.ulonglong,
    extensions_end=cython.ulonglong,
    keyscope_start=cython.ulonglong,
    keyscope_end=cython.ulonglong,
    entity_size=cython.uint,
    scope_size=cython.uint,
    event_id=cython.uchar[16],
    correlation_id=cython.uchar[16],
    causation_id=cython.uchar[16],
    content_hash=cython.uchar[32],
    prev_hash=cython.uchar[32],
    event_hash=cython.uchar[32],
)
p_row = cython.typedef(cython.pointer[Row])
if cython.sizeof(Row) != FRAME_DTYPE.itemsize:
    raise ImportError("FRAME_DTYPE has changed. Rebuild the kernels.")

FRAME_OK = cython.declare(cython.int, 0)
UNUSUAL = cython.declare(cython.int, 254)  # not the layout that the fast path knows
FORM_INTS = cython.declare(cython.int, 0)
FORM_BIN = cython.declare(cython.int, 1)
FORM_OTHER = cython.declare(cython.int, 2)
FAIL = cython.declare(index, -1)
U16_MAX = cython.declare(u64, 0xFFFF)
U32_MAX = cython.declare(u64, 0xFFFFFFFF)

# -- int-arrays, eight bytes a step -----------------------------------------------------------------------
# A byte from 80 is written "cc xx", and xx >= 80 too: of a run of bytes with the high bit set, every second
# one is a prefix. STEP[carry][mask of high bits] gives the mask of prefixes among eight bytes, and whether
# the last is one (the next byte is then its value). Nothing branches on the data.
HIGH_BITS = cython.declare(u64, 0x8080808080808080)
LOW_BITS = cython.declare(u64, 0x7F7F7F7F7F7F7F7F)
PREFIXES = cython.declare(u64, 0xCCCCCCCCCCCCCCCC)
GATHER = cython.declare(u64, 0x0102040810204080)
STEP = cython.declare(cython.ushort[512])
ONES = cython.declare(cython.uchar[256])


@cython.cfunc
def _fill_tables() -> cython.void:
    carry: cython.int
    mask: cython.int
    k: cython.int
    prefix: cython.int
    found: cython.int
    for carry in range(2):
        for mask in range(256):
            prefix = carry
            found = 0
            for k in range(8):
                prefix = ((mask >> k) & 1) & ~prefix
                found |= prefix << k
            STEP[256 * carry + mask] = found | (prefix << 8)
    for mask in range(256):
        found = 0
        for k in range(8):
            found += (mask >> k) & 1
        ONES[mask] = found


_fill_tables()


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _word(data: p_bytes, at: index) -> u64:
    value: u64
    memcpy(cython.address(value), data + at, 8)
    return value


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _mask(high: u64) -> cython.int:
    """Bit k: whether byte k has its high bit set; ``high`` has no other bits."""
    return cython.cast(cython.int, ((high >> 7) * GATHER) >> 56)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _one_element(data: p_bytes, at: index, end: index) -> index:
    """The end of the minimal integer at ``at``, or FAIL."""
    if at >= end:
        return FAIL
    if data[at] < 0x80:
        return at + 1
    if data[at] == 0xCC and end - at >= 2 and data[at + 1] >= 0x80:
        return at + 2
    return FAIL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _skip_ints(data: p_bytes, at: index, end: index, count: index) -> index:
    """The end of ``count`` minimal integers from 0 to 255, or FAIL."""
    carry: cython.int = 0
    high: u64
    mask: cython.int
    step: cython.int
    prefixes: cython.int
    differ: u64
    while count >= 8 and end - at >= 8:
        high = _word(data, at) & HIGH_BITS
        if high == 0 and carry == 0:
            at += 8
            count -= 8
            continue
        mask = _mask(high)
        step = STEP[256 * carry + mask]
        prefixes = step & 255
        differ = _word(data, at) ^ PREFIXES
        differ = (((differ & LOW_BITS) + LOW_BITS) | differ) & HIGH_BITS  # set where a byte is not cc
        if (prefixes & _mask(differ)) | (((prefixes << 1) | carry) & 255 & ~mask):
            return FAIL
        carry = step >> 8
        count -= 8 - ONES[prefixes]
        at += 8
    if carry:
        if at >= end or data[at] < 0x80:
            return FAIL
        at += 1
        count -= 1
    while count > 0:
        at = _one_element(data, at, end)
        if at < 0:
            return FAIL
        count -= 1
    return at


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _copy_ints(data: p_bytes, at: index, end: index, out: p_out, room: index) -> index:
    """Write what ``data[at:end]`` stands for to ``out``; the number of bytes, or FAIL beyond ``room``.

    Trusts the elements to be minimal, as ``_skip_ints`` found them. Never writes past ``room``.
    """
    k: index = 0
    prefix: cython.int = 0
    word: u64
    while end - at >= 8 and room - k >= 8:
        word = _word(data, at)
        if (word & HIGH_BITS) == 0:
            memcpy(out + k, data + at, 8)
            k += 8
            at += 8
            prefix = 0
            continue
        for _ in range(8):
            out[k] = cython.cast(cython.uchar, word & 255)
            prefix = cython.cast(cython.int, (word >> 7) & 1) & ~prefix
            k += 1 - prefix
            word >>= 8
        at += 8
    while at < end:
        prefix = (data[at] >> 7) & ~prefix
        if not prefix:
            if k >= room:
                return FAIL
            out[k] = data[at]
            k += 1
        at += 1
    return FAIL if prefix else k


# -- pieces of the canonical layout: each gives where the next one starts, or FAIL -------------------------
@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _key(data: p_bytes, at: index, end: index, key: p_text, size: index) -> index:
    if at < 0 or end - at < size or memcmp(data + at, key, size) != 0:
        return FAIL
    return at + size


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _uint(data: p_bytes, at: index, end: index, most: u64, value: cython.pointer[u64]) -> index:
    """An unsigned integer of any width, up to ``most``."""
    tag: cython.int
    width: index
    k: index
    if at < 0 or at >= end:
        return FAIL
    tag = data[at]
    if tag < 0x80:
        value[0] = tag
        return at + 1
    if tag < 0xCC or tag > 0xCF:
        return FAIL
    width = cython.cast(index, 1) << (tag - 0xCC)
    if end - at - 1 < width:
        return FAIL
    value[0] = 0
    for k in range(width):
        value[0] = (value[0] << 8) | data[at + 1 + k]
    return at + 1 + width if value[0] <= most else FAIL


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _id(data: p_bytes, at: index, end: index, out: p_out) -> index:
    if at < 0 or end - at < 18 or data[at] != 0xC4 or data[at + 1] != 16:
        return FAIL
    memcpy(out, data + at + 2, 16)
    return at + 18


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _array(data: p_bytes, at: index, end: index, count: cython.pointer[index]) -> index:
    """The header of an int-array."""
    if at < 0 or at >= end:
        return FAIL
    if (data[at] & 0xF0) == 0x90:
        count[0] = data[at] & 15
        return at + 1
    if data[at] == 0xDC and end - at >= 3:
        count[0] = (cython.cast(index, data[at + 1]) << 8) | data[at + 2]
        return at + 3
    if data[at] == 0xDD and end - at >= 5:
        count[0] = (
            (cython.cast(index, data[at + 1]) << 24)
            | (cython.cast(index, data[at + 2]) << 16)
            | (cython.cast(index, data[at + 3]) << 8)
            | data[at + 4]
        )
        return at + 5
    return FAIL


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _ints(
    data: p_bytes, at: index, end: index, start: cython.pointer[u64], stop: cython.pointer[u64], count: cython.pointer[index]
) -> index:
    """An int-array of any length: where its elements are and how many."""
    at = _array(data, at, end, count)
    if at < 0:
        return FAIL
    start[0] = at
    at = _skip_ints(data, at, end, count[0])
    stop[0] = at
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _hash(data: p_bytes, at: index, end: index, out: p_out) -> index:
    """A 32-byte int-array."""
    stop: index
    if at < 0 or end - at < 35 or data[at] != 0xDC or data[at + 1] != 0 or data[at + 2] != 32:
        return FAIL
    stop = _skip_ints(data, at + 3, end, 32)
    if stop >= 0:
        _copy_ints(data, at + 3, stop, out, 32)
    return stop


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _text(
    data: p_bytes, at: index, end: index, start: cython.pointer[u64], size: cython.pointer[cython.uint]
) -> index:
    """A string up to 65535 bytes."""
    length: index
    if at < 0 or at >= end:
        return FAIL
    if (data[at] & 0xE0) == 0xA0:
        length = data[at] & 31
        at += 1
    elif data[at] == 0xD9 and end - at >= 2:
        length = data[at + 1]
        at += 2
    elif data[at] == 0xDA and end - at >= 3:
        length = (cython.cast(index, data[at + 1]) << 8) | data[at + 2]
        at += 3
    else:
        return FAIL
    if end - at < length or not is_utf8(data, at, at + length):
        return FAIL
    start[0] = at
    size[0] = cython.cast(cython.uint, length)
    return at + length


# -- the canonical layout ---------------------------------------------------------------------------------
@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _number_at(data: p_bytes, at: index, end: index, key: p_text, size: index, most: u64, value: cython.pointer[u64]) -> index:
    return _uint(data, _key(data, at, end, key, size), end, most, value)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _ids(data: p_bytes, at: index, end: index, row: p_row) -> index:
    at = _id(data, _key(data, at, end, b"\xa8event_id", 9), end, row.event_id)
    at = _id(data, _key(data, at, end, b"\xaecorrelation_id", 15), end, row.correlation_id)
    at = _key(data, at, end, b"\xaccausation_id", 13)
    if at < 0 or at >= end:
        return FAIL
    if data[at] == 0xC0:
        return at + 1
    return _id(data, at, end, row.causation_id)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _position(data: p_bytes, at: index, end: index, row: p_row) -> index:
    value: u64 = 0
    at = _number_at(data, at, end, b"\xactimestamp_us", 13, ~cython.cast(u64, 0) >> 1, cython.address(value))
    row.timestamp_us = cython.cast(cython.longlong, value)
    at = _key(data, at, end, b"\xa8position\x85", 10)
    at = _number_at(data, at, end, b"\xa7wall_ms", 8, ~cython.cast(u64, 0), cython.address(value))
    row.wall_ms = value
    at = _number_at(data, at, end, b"\xa7counter", 8, U16_MAX, cython.address(value))
    at = _number_at(data, at, end, b"\xa5depth", 6, U32_MAX, cython.address(value))
    row.depth = cython.cast(cython.uint, value)
    at = _number_at(data, at, end, b"\xa4lane", 5, U32_MAX, cython.address(value))
    row.lane = cython.cast(cython.uint, value)
    at = _number_at(data, at, end, b"\xa8sequence", 9, U32_MAX, cython.address(value))
    row.clock = cython.cast(cython.uint, value)
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _encryption(data: p_bytes, at: index, end: index, row: p_row) -> index:
    count: index = 0
    start: u64 = 0
    stop: u64 = 0
    at = _key(data, at, end, b"\xb2payload_encryption\x82\xabkeyscope_id", 32)
    at = _ints(data, at, end, cython.address(row.keyscope_start), cython.address(row.keyscope_end), cython.address(count))
    at = _key(data, at, end, b"\xa5nonce", 6)
    at = _ints(data, at, end, cython.address(start), cython.address(stop), cython.address(count))
    if at < 0 or count != 24:
        return FAIL
    row.encrypted = 1
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _header(data: p_bytes, at: index, end: index, row: p_row, fields: cython.int) -> index:
    """The map of 9 (before ``payload_version``), 10, or 11 (encrypted) fields."""
    value: u64 = 0
    at = _position(data, _ids(data, at, end, row), end, row)
    at = _number_at(data, at, end, b"\xacpayload_size", 13, U32_MAX, cython.address(value))
    row.payload_size = cython.cast(cython.uint, value)
    at = _number_at(data, at, end, b"\xaaevent_kind", 11, U16_MAX, cython.address(value))
    row.kind = cython.cast(cython.ushort, value)
    at = _number_at(data, at, end, b"\xa5flags", 6, 255, cython.address(value))
    row.flags = cython.cast(cython.uchar, value)
    at = _hash(data, _key(data, at, end, b"\xaccontent_hash", 13), end, row.content_hash)
    if fields >= 10:
        at = _number_at(data, at, end, b"\xafpayload_version", 16, U16_MAX, cython.address(value))
        row.payload_version = cython.cast(cython.ushort, value)
    if fields == 11:
        at = _encryption(data, at, end, row)
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _chain(data: p_bytes, at: index, end: index, row: p_row) -> index:
    if at < 0 or at >= end:
        return FAIL
    if data[at] == 0xC0:
        return at + 1
    row.has_chain = 1
    at = _hash(data, _key(data, at, end, b"\x82\xa9prev_hash", 11), end, row.prev_hash)
    return _hash(data, _key(data, at, end, b"\xaaevent_hash", 11), end, row.event_hash)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _extensions(data: p_bytes, at: index, end: index, row: p_row) -> index:
    """A map of up to 15 strings to int-arrays."""
    left: cython.int
    start: u64 = 0
    stop: u64 = 0
    size: cython.uint = 0
    count: index = 0
    if at < 0 or at >= end or (data[at] & 0xF0) != 0x80:
        return FAIL
    row.extensions_start = at
    left = data[at] & 15
    at += 1
    while left > 0:
        at = _text(data, at, end, cython.address(start), cython.address(size))
        at = _ints(data, at, end, cython.address(start), cython.address(stop), cython.address(count))
        left -= 1
    row.extensions_end = at
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _parse(data: p_bytes, at: index, end: index, row: p_row) -> cython.bint:
    """Fill ``row`` from one body in the canonical layout; False leaves it half filled."""
    fields: cython.int
    count: index = 0
    at = _key(data, at, end, b"\x84\xa5event\x83\xa6header", 15)
    if at < 0 or at >= end or data[at] < 0x89 or data[at] > 0x8B:
        return False
    fields = data[at] & 15
    at = _header(data, at + 1, end, row, fields)
    at = _key(data, at, end, b"\xa7payload", 8)
    at = _ints(data, at, end, cython.address(row.payload_start), cython.address(row.payload_end), cython.address(count))
    row.payload_count = cython.cast(cython.uint, count)
    at = _chain(data, _key(data, at, end, b"\xaahash_chain", 11), end, row)
    at = _key(data, at, end, b"\xa6entity", 7)
    at = _text(data, at, end, cython.address(row.entity_start), cython.address(row.entity_size))
    at = _key(data, at, end, b"\xa5scope", 6)
    at = _text(data, at, end, cython.address(row.scope_start), cython.address(row.scope_size))
    at = _key(data, at, end, b"\xb2receipt_extensions", 19)
    return _extensions(data, at, end, row) >= 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _parse_all(
    data: p_bytes, offsets: u64[::1], lengths: cython.uint[::1], statuses: cython.uchar[::1], out: p_row
) -> index:
    """Parse every row whose status is FRAME_OK; the number that the fast path could not do."""
    i: index
    unusual: index = 0
    for i in range(offsets.shape[0]):
        memset(cython.address(out[i]), 0, cython.sizeof(Row))
        out[i].status = statuses[i]
        if statuses[i] == FRAME_OK and not _parse(data, offsets[i] + 8, offsets[i] + lengths[i], cython.address(out[i])):
            memset(cython.address(out[i]), 0, cython.sizeof(Row))
            out[i].status = UNUSUAL
            unusual += 1
    return unusual


def parse_frames(buffer: Any, offsets: Any, lengths: Any, check_crc: bool = True) -> Any:
    """See ``format.rows.parse_frames``."""
    view = np.frombuffer(buffer, np.uint8)
    starts = np.ascontiguousarray(offsets, np.uint64)
    sizes = np.ascontiguousarray(lengths, np.uint32)
    frames = np.empty(len(starts), FRAME_DTYPE)
    data: cython.const[cython.uchar][::1] = view
    raw: cython.uchar[::1] = frames.view(np.uint8)
    start_view: u64[::1] = starts
    size_view: cython.uint[::1] = sizes
    statuses: cython.uchar[::1] = check_frames(view, starts, sizes, check_crc)
    unusual: index
    with cython.nogil:
        unusual = _parse_all(
            cython.address(data[0]), start_view, size_view, statuses, cython.cast(p_row, cython.address(raw[0]))
        )
    if unusual:
        for i in np.flatnonzero(frames["status"] == UNUSUAL).tolist():
            frames[i]["status"] = FRAME_OK
            readable.parse_row(view, int(starts[i]) + 8, int(starts[i]) + int(sizes[i]), frames[i])
    return frames


# -- payload bytes ----------------------------------------------------------------------------------------
@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _room(rows: p_row, count: index, total: u64) -> u64:
    """Bytes that the payloads may need: never more than there are in the buffer for each row."""
    i: index
    room: u64 = 0
    for i in range(count):
        if _inside(cython.address(rows[i]), total):
            room += rows[i].payload_count
    return room


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _inside(row: p_row, total: u64) -> cython.bint:
    """Whether a good row's payload lies in the buffer and may have as many bytes as it says."""
    return (
        row.status == FRAME_OK
        and row.payload_start <= row.payload_end
        and row.payload_end <= total
        and row.payload_count <= row.payload_end - row.payload_start
    )


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _copy_payload(data: p_bytes, row: p_row, out: p_out) -> index:
    """Write one payload; the number of bytes, or FAIL when they are not what the row says."""
    start: index = row.payload_start
    end: index = row.payload_end
    count: index = row.payload_count
    if row.payload_form == FORM_BIN:
        if end - start != count:
            return FAIL
        memcpy(out, data + start, count)
        return count
    if row.payload_form != FORM_INTS or _skip_ints(data, start, end, count) != end:
        return FAIL
    return _copy_ints(data, start, end, out, count)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _copy_payloads(data: p_bytes, total: u64, rows: p_row, out: p_out, offsets: cython.longlong[::1]) -> index:
    """Copy until a row in another encoding turns up; the row after the last one done."""
    i: index
    size: index
    at: index = offsets[0]
    for i in range(offsets.shape[0] - 1):
        if _inside(cython.address(rows[i]), total):
            if rows[i].payload_form != FORM_INTS and rows[i].payload_form != FORM_BIN:
                return i
            size = _copy_payload(data, cython.address(rows[i]), out + at)
            if size > 0:
                at += size
        offsets[i + 1] = at
    return offsets.shape[0] - 1


def unescape(buffer: Any, frames: Any) -> tuple[Any, Any]:
    """See ``format.rows.unescape``."""
    view = np.frombuffer(buffer, np.uint8)
    rows = np.ascontiguousarray(frames)
    offsets = np.zeros(len(rows) + 1, np.int64)
    data: cython.const[cython.uchar][::1] = view
    raw: cython.const[cython.uchar][::1] = rows.view(np.uint8)
    first: p_row = cython.cast(p_row, cython.address(raw[0]))
    count: index = len(rows)
    done: index = 0
    total: u64 = data.shape[0]
    taken = np.empty(_room(first, count, total), np.uint8)
    out: cython.uchar[::1] = taken
    bounds: cython.longlong[::1] = offsets
    while done < count:
        with cython.nogil:
            done += _copy_payloads(cython.address(data[0]), total, first + done, cython.address(out[0]), bounds[done:])
        if done < count:
            stored = readable.stored_payload(view.data, rows[done])
            taken[bounds[done] : bounds[done] + len(stored)] = np.frombuffer(stored, np.uint8)
            bounds[done + 1] = bounds[done] + len(stored)
            done += 1
    return taken[: bounds[count]], offsets
