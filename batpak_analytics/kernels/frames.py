"""Frame bodies -> FRAME_DTYPE rows: twin of ``parse_frames`` in ``format/rows.py``.

The fast path knows one layout, the one batpak writes (spec segments 2.6): every key in its place, lengths and
integers in any width the writer uses, byte vectors as minimal int-arrays. Anything else, hostile or merely
unusual, goes through ``format.rows.parse_row`` one row at a time.
"""

from __future__ import annotations

from typing import Any

import cython
import numpy as np
from cython.cimports.batpak_analytics.kernels.escape import Row, read_ints, skip_ints
from cython.cimports.batpak_analytics.kernels.wire import is_utf8, start_of
from cython.cimports.batpak_analytics.kernels.words import big_u64_at, u32_at, u64_at
from cython.cimports.libc.string import memcmp, memcpy, memset

from batpak_analytics.format import rows as readable
from batpak_analytics.format.layout import FRAME_DTYPE
from batpak_analytics.kernels.walk import check_frames

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
p_text = cython.typedef(cython.pointer[cython.const[cython.char]])  # a literal
p_out = cython.typedef(cython.pointer[cython.uchar])
index = cython.typedef(cython.Py_ssize_t)
p_index = cython.typedef(cython.pointer[cython.Py_ssize_t])
u64 = cython.typedef(cython.ulonglong)

p_row = cython.typedef(cython.pointer[Row])
if cython.sizeof(Row) != FRAME_DTYPE.itemsize:
    raise ImportError("FRAME_DTYPE has changed. Rebuild the kernels.")

FRAME_OK = cython.declare(cython.int, 0)
UNUSUAL = cython.declare(cython.int, 254)  # not the layout that the fast path knows
FAIL = cython.declare(index, -1)
U16_MAX = cython.declare(u64, 0xFFFF)
U32_MAX = cython.declare(u64, 0xFFFFFFFF)


# -- pieces of the canonical layout: each gives where the next one starts, or FAIL -------------------------
@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _key(data: p_bytes, at: index, end: index, key: p_text, size: index) -> index:
    """Past a known key. Where its size is a constant, this compiles to two comparisons of words."""
    known: p_bytes = cython.cast(p_bytes, key)
    same: cython.bint
    if at < 0 or end - at < size:
        return FAIL
    if size >= 8 and size <= 16:
        same = u64_at(data + at) == u64_at(known) and u64_at(data + at + size - 8) == u64_at(known + size - 8)
    elif size >= 4 and size < 8:
        same = u32_at(data + at) == u32_at(known) and u32_at(data + at + size - 4) == u32_at(known + size - 4)
    else:
        same = memcmp(data + at, key, size) == 0
    return at + size if same else FAIL


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
    if end - at > 8:
        value[0] = big_u64_at(data + at + 1) >> (64 - 8 * width)
    elif end - at - 1 < width:
        return FAIL
    else:
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
    data: p_bytes,
    at: index,
    end: index,
    start: cython.pointer[u64],
    stop: cython.pointer[u64],
    count: cython.pointer[index],
) -> index:
    """An int-array of any length: where its elements are and how many."""
    at = _array(data, at, end, count)
    if at < 0:
        return FAIL
    start[0] = at
    at = skip_ints(data, at, end, count[0])
    stop[0] = at
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _hash(data: p_bytes, at: index, end: index, out: p_out) -> index:
    """A 32-byte int-array."""
    roomy: cython.uchar[96]  # read_ints wants 64 bytes more
    if at < 0 or end - at < 35 or data[at] != 0xDC or data[at + 1] != 0 or data[at + 2] != 32:
        return FAIL
    at = read_ints(data, at + 3, end, 32, roomy)
    memcpy(out, roomy, 32)
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _text(data: p_bytes, at: index, end: index, start: cython.pointer[u64], size: cython.pointer[cython.uint]) -> index:
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
    at = _uint(
        data, _key(data, at, end, b"\xactimestamp_us", 13), end, ~cython.cast(u64, 0) >> 1, cython.address(value)
    )
    row.timestamp_us = cython.cast(cython.longlong, value)
    at = _key(data, at, end, b"\xa8position\x85", 10)
    at = _uint(data, _key(data, at, end, b"\xa7wall_ms", 8), end, ~cython.cast(u64, 0), cython.address(value))
    row.wall_ms = value
    at = _uint(data, _key(data, at, end, b"\xa7counter", 8), end, U16_MAX, cython.address(value))
    at = _uint(data, _key(data, at, end, b"\xa5depth", 6), end, U32_MAX, cython.address(value))
    row.depth = cython.cast(cython.uint, value)
    at = _uint(data, _key(data, at, end, b"\xa4lane", 5), end, U32_MAX, cython.address(value))
    row.lane = cython.cast(cython.uint, value)
    at = _uint(data, _key(data, at, end, b"\xa8sequence", 9), end, U32_MAX, cython.address(value))
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
    at = _ints(
        data, at, end, cython.address(row.keyscope_start), cython.address(row.keyscope_end), cython.address(count)
    )
    at = _key(data, at, end, b"\xa5nonce", 6)
    at = _ints(data, at, end, cython.address(start), cython.address(stop), cython.address(count))
    if at < 0 or count != 24:
        return FAIL
    row.encrypted = 1
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _header(data: p_bytes, at: index, end: index, row: p_row, fields: cython.int, content: p_index) -> index:
    """The map of 9 (before ``payload_version``), 10, or 11 (encrypted) fields; where ``content_hash`` is."""
    value: u64 = 0
    at = _position(data, _ids(data, at, end, row), end, row)
    at = _uint(data, _key(data, at, end, b"\xacpayload_size", 13), end, U32_MAX, cython.address(value))
    row.payload_size = cython.cast(cython.uint, value)
    at = _uint(data, _key(data, at, end, b"\xaaevent_kind", 11), end, U16_MAX, cython.address(value))
    row.kind = cython.cast(cython.ushort, value)
    at = _uint(data, _key(data, at, end, b"\xa5flags", 6), end, 255, cython.address(value))
    row.flags = cython.cast(cython.uchar, value)
    content[0] = _key(data, at, end, b"\xaccontent_hash", 13)
    at = content[1] = _hash(data, content[0], end, row.content_hash)
    if fields >= 10:
        at = _uint(data, _key(data, at, end, b"\xafpayload_version", 16), end, U16_MAX, cython.address(value))
        row.payload_version = cython.cast(cython.ushort, value)
    if fields == 11:
        at = _encryption(data, at, end, row)
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _chain(data: p_bytes, at: index, end: index, row: p_row, content: p_index) -> index:
    """Nil, or both hashes. The ``event_hash`` mostly has the very bytes of ``content_hash``."""
    size: index = content[1] - content[0]
    if at < 0 or at >= end:
        return FAIL
    if data[at] == 0xC0:
        return at + 1
    row.has_chain = 1
    at = _hash(data, _key(data, at, end, b"\x82\xa9prev_hash", 11), end, row.prev_hash)
    at = _key(data, at, end, b"\xaaevent_hash", 11)
    if at >= 0 and end - at >= size and memcmp(data + at, data + content[0], size) == 0:
        memcpy(row.event_hash, row.content_hash, 32)
        return at + size
    return _hash(data, at, end, row.event_hash)


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
def _payload(data: p_bytes, at: index, end: index, row: p_row, out: p_out) -> index:
    """The int-array of the payload; its values too, where there is an ``out``."""
    count: index = 0
    at = _array(data, _key(data, at, end, b"\xa7payload", 8), end, cython.address(count))
    if at < 0:
        return FAIL
    row.payload_start = at
    at = skip_ints(data, at, end, count) if out == cython.NULL else read_ints(data, at, end, count, out)
    row.payload_end = at
    row.payload_count = cython.cast(cython.uint, count)
    return at


def parse_body(data, at, end, row, out):
    """Fill ``row`` from one body in the canonical layout; False leaves it half filled.

    The payload goes to ``out`` too, where there is one; that has room for as many bytes as the body has, and 64.
    """
    fields: cython.int
    content: index[2]
    at = _key(data, at, end, b"\x84\xa5event\x83\xa6header", 15)
    if at < 0 or at >= end or data[at] < 0x89 or data[at] > 0x8B:
        return False
    fields = data[at] & 15
    at = _header(data, at + 1, end, row, fields, content)
    if at < 0:
        return False
    at = _payload(data, at, end, row, out)
    at = _chain(data, _key(data, at, end, b"\xaahash_chain", 11), end, row, content)
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
        if statuses[i] == FRAME_OK and not parse_body(
            data, offsets[i] + 8, offsets[i] + lengths[i], cython.address(out[i]), cython.NULL
        ):
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
        unusual = _parse_all(start_of(data), start_view, size_view, statuses, cython.cast(p_row, start_of(raw)))
    if unusual:
        for i in np.flatnonzero(frames["status"] == UNUSUAL).tolist():
            frames[i]["status"] = FRAME_OK
            readable.parse_row(view, int(starts[i]) + 8, int(starts[i]) + int(sizes[i]), frames[i])
    return frames
