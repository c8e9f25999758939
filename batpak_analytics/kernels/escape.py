"""Int-arrays -> the bytes they stand for: twin of ``unescape`` in ``format/rows.py``.

batpak writes a byte vector as an array of integers, in which a byte from 80 is ``cc xx``. As xx is 80 or more
itself, in every run of bytes with the high bit set each second one is a prefix. That makes it possible to
take eight bytes a step by tables, without a branch on the data: a branch would go wrong every other byte.
"""

from __future__ import annotations

from typing import Any

import cython
import numpy as np
from cython.cimports.batpak_analytics.kernels.wide import wide_ints, wide_prepare
from cython.cimports.batpak_analytics.kernels.wire import start_of
from cython.cimports.libc.string import memcpy

from batpak_analytics.format import rows as readable

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
p_out = cython.typedef(cython.pointer[cython.uchar])
p_row = cython.typedef(cython.pointer[Row])
index = cython.typedef(cython.Py_ssize_t)
u64 = cython.typedef(cython.ulonglong)

FRAME_OK = cython.declare(cython.int, 0)
FORM_INTS = cython.declare(cython.int, 0)
FORM_BIN = cython.declare(cython.int, 1)
FAIL = cython.declare(index, -1)
SLACK = cython.declare(index, 64)  # whole blocks are written, so up to 63 bytes too many

HIGH_BITS = cython.declare(u64, 0x8080808080808080)
PREFIX_BYTES = cython.declare(u64, 0xCCCCCCCCCCCCCCCC)
GATHER = cython.declare(u64, 0x0102040810204080)
# By 256 * (the byte before was a prefix) + mask of high bits: mask of prefixes + 256 * (the last byte is one).
STEP = cython.declare(cython.ushort[512])
# By mask of prefixes: the bytes that are none; where the n-th of them ends; how to close the gaps.
KEPT = cython.declare(cython.uchar[256])
ENDS = cython.declare(cython.uchar[2048])
SQUEEZE = cython.declare(u64[1024])


@cython.cfunc
def _fill_step() -> cython.void:
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


@cython.cfunc
def _fill_squeeze() -> cython.void:
    """For each mask of prefixes: the kept bytes, then which of them move down by 1, by 2 and by 4 bytes."""
    mask: cython.int
    k: cython.int
    move: cython.int
    kept: cython.int
    gaps: cython.int
    place: cython.int
    octet: u64
    for mask in range(256):
        kept = 0
        for move in range(4):
            SQUEEZE[4 * mask + move] = 0
        for k in range(8):
            ENDS[8 * mask + k] = 8
        for k in range(8):
            if (mask >> k) & 1:
                continue
            octet = 255
            SQUEEZE[4 * mask] |= octet << (8 * k)
            gaps = k - kept
            place = k
            for move in range(3):
                if (gaps >> move) & 1:
                    SQUEEZE[4 * mask + 1 + move] |= octet << (8 * place)
                    place -= 1 << move
            ENDS[8 * mask + kept] = k + 1
            kept += 1
        KEPT[mask] = kept


_fill_step()
_fill_squeeze()
WIDE = cython.declare(cython.bint, wide_prepare())


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
def _write_kept(word: u64, prefixes: cython.int, out: p_out) -> cython.void:
    """Write the bytes of ``word`` that are no prefixes, and up to four bytes of no meaning after them."""
    moved: u64
    word &= SQUEEZE[4 * prefixes]
    moved = word & SQUEEZE[4 * prefixes + 1]
    word = (word ^ moved) | (moved >> 8)
    moved = word & SQUEEZE[4 * prefixes + 2]
    word = (word ^ moved) | (moved >> 16)
    moved = word & SQUEEZE[4 * prefixes + 3]
    word = (word ^ moved) | (moved >> 32)
    memcpy(out, cython.address(word), 8)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _last_ints(
    data: p_bytes, at: index, end: index, count: index, carry: cython.int, out: p_out, copying: cython.bint
) -> index:
    """The elements in the last bytes of a region, one by one; ``carry``: their first prefix is behind ``at``."""
    k: index = 0
    while k < count:
        if not carry and at < end and data[at] >= 0x80:
            if data[at] != 0xCC:
                return FAIL
            at += 1
            carry = 1
        if at >= end or (carry and data[at] < 0x80):
            return FAIL
        if copying:
            out[k] = data[at]
        carry = 0
        at += 1
        k += 1
    return at


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _ints(data: p_bytes, at: index, end: index, count: index, out: p_out, copying: cython.bint) -> index:
    k: index = 0
    carry: cython.int = 0
    word: u64
    kept: u64
    wrong: u64
    mask: cython.int
    step: cython.int
    prefixes: cython.int
    lone: cython.int
    used: cython.int
    if WIDE and end - at >= 64:
        at = wide_ints(data, at, end, count, out, copying, cython.address(k), cython.address(carry))
        if at < 0 or k == count:
            return at
    while k < count and end - at >= 8:
        memcpy(cython.address(word), data + at, 8)
        if word & HIGH_BITS == 0 and not carry and count - k >= 8:  # text, mostly
            if copying:
                memcpy(out + k, cython.address(word), 8)
            k += 8
            at += 8
            continue
        mask = _mask(word & HIGH_BITS)
        step = STEP[256 * carry + mask]
        prefixes = step & 255
        wrong = (word ^ PREFIX_BYTES) & ~SQUEEZE[4 * prefixes]  # a prefix that is not cc
        lone = ((prefixes << 1) | carry) & ~mask & 255  # a byte behind a prefix without its high bit
        if copying:
            _write_kept(word, prefixes, out + k)
        if KEPT[prefixes] >= count - k:
            used = ENDS[8 * prefixes + (count - k - 1)]
            kept = ~cython.cast(u64, 0) >> (64 - 8 * used)
            return FAIL if wrong & kept or lone & ((1 << used) - 1) else at + used
        if wrong or lone:
            return FAIL
        k += KEPT[prefixes]
        carry = step >> 8
        at += 8
    return _last_ints(data, at, end, count - k, carry, out + k, copying)


def skip_ints(data, at, end, count):
    """The end of ``count`` minimal integers from 0 to 255, or -1 where they are something else."""
    out: p_out = cython.NULL
    return _ints(data, at, end, count, out, False)


def read_ints(data, at, end, count, out):
    """The same, and their values in ``out``, which has room for ``count + 64`` bytes."""
    return _ints(data, at, end, count, out, True)


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
    """Write one payload; the number of bytes, 0 when they are not what the row says."""
    start: index = row.payload_start
    end: index = row.payload_end
    count: index = row.payload_count
    if row.payload_form == FORM_INTS:
        return count if read_ints(data, start, end, count, out) == end else 0
    if end - start != count:
        return 0
    memcpy(out, data + start, count)
    return count


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _copy_payloads(data: p_bytes, total: u64, rows: p_row, out: p_out, offsets: cython.longlong[::1]) -> index:
    """Copy until a row in another encoding turns up; the row after the last one done."""
    i: index
    at: index = offsets[0]
    for i in range(offsets.shape[0] - 1):
        if _inside(cython.address(rows[i]), total):
            if rows[i].payload_form != FORM_INTS and rows[i].payload_form != FORM_BIN:
                return i
            at += _copy_payload(data, cython.address(rows[i]), out + at)
        offsets[i + 1] = at
    return offsets.shape[0] - 1


def unescape(buffer: Any, frames: Any) -> tuple[Any, Any]:
    """See ``format.rows.unescape``."""
    view = np.frombuffer(buffer, np.uint8)
    rows = np.ascontiguousarray(frames)
    offsets = np.zeros(len(rows) + 1, np.int64)
    data: cython.const[cython.uchar][::1] = view
    raw: cython.const[cython.uchar][::1] = rows.view(np.uint8)
    first: p_row = cython.cast(p_row, start_of(raw))
    count: index = len(rows)
    done: index = 0
    total: u64 = data.shape[0]
    taken = np.empty(_room(first, count, total) + SLACK, np.uint8)
    out: cython.uchar[::1] = taken
    bounds: cython.longlong[::1] = offsets
    while done < count:
        with cython.nogil:
            done += _copy_payloads(start_of(data), total, first + done, cython.address(out[0]), bounds[done:])
        if done < count:
            stored = readable.stored_payload(view.data, rows[done])
            taken[bounds[done] : bounds[done] + len(stored)] = np.frombuffer(stored, np.uint8)
            bounds[done + 1] = bounds[done] + len(stored)
            done += 1
    return taken[: bounds[count]], offsets
