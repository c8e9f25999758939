"""Many small segments in one buffer: twin of ``plain_segments`` and ``join_rows`` in ``format/plain.py``.

A row is 162 packed bytes, so its fields are read by the places that FOOTER_DTYPE gives them (spec segments 5.2).
"""

from __future__ import annotations

from typing import Any

import cython
import numpy as np
from cython.cimports.batpak_analytics.kernels.walk import crc32_of
from cython.cimports.batpak_analytics.kernels.wire import Head, is_utf8, read_head, start_of
from cython.cimports.batpak_analytics.kernels.words import u32_at, u64_at
from cython.cimports.libc.string import memcmp, memcpy, memset

from batpak_analytics.format import layout
from batpak_analytics.format.plain import HEADER_BEFORE_ID, HEADER_BEFORE_TIME, Plain

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
p_out = cython.typedef(cython.pointer[cython.uchar])
index = cython.typedef(cython.Py_ssize_t)
u64 = cython.typedef(cython.ulonglong)
i64 = cython.typedef(cython.longlong)
u32 = cython.typedef(cython.uint)
u16 = cython.typedef(cython.ushort)

_PLACES = {name: int(place[1]) for name, place in (layout.FOOTER_DTYPE.fields or {}).items()}
SIZE = cython.declare(index, layout.FOOTER_DTYPE.itemsize)
ENTITY = cython.declare(index, _PLACES["entity_idx"])
SCOPE = cython.declare(index, _PLACES["scope_idx"])
KIND = cython.declare(index, _PLACES["kind"])
OFFSET = cython.declare(index, _PLACES["offset"])
LENGTH = cython.declare(index, _PLACES["length"])
BEGIN = cython.declare(u16, layout.KIND_BATCH_BEGIN)
COMMIT = cython.declare(u16, layout.KIND_BATCH_COMMIT)
SMALLEST = cython.declare(u32, layout.FRAME_HEADER_SIZE)
PREFIX = cython.declare(index, layout.SEGMENT_PREFIX_SIZE)
LONGEST_HEADER = cython.declare(index, layout.MAX_SEGMENT_HEADER)
TRAILER = cython.declare(index, layout.FOOTER_TRAILER_SIZE)
CRC_SIZE = cython.declare(index, layout.FOOTER_CRC_SIZE)
TOP_BIT = cython.declare(u64, 1 << 63)
# The types of wire.pxd.
INT = cython.declare(cython.int, 2)
STR = cython.declare(cython.int, 4)
ARRAY = cython.declare(cython.int, 7)

Usual = cython.struct(
    magic=cython.pointer[cython.const[cython.uchar]],
    before_time=cython.pointer[cython.const[cython.uchar]],
    time_size=cython.Py_ssize_t,
    before_id=cython.pointer[cython.const[cython.uchar]],
    id_size=cython.Py_ssize_t,
    footer_magic=cython.pointer[cython.const[cython.uchar]],
)
Shape = cython.struct(
    frames_start=cython.Py_ssize_t,
    frames_end=cython.Py_ssize_t,
    rows_start=cython.Py_ssize_t,
    rows=cython.Py_ssize_t,
    strings=cython.Py_ssize_t,
    crc=cython.uint,
)
p_usual = cython.typedef(cython.pointer[cython.const[Usual]])
p_shape = cython.typedef(cython.pointer[Shape])


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _header(file: p_bytes, size: index, segment_id: u64, usual: p_usual, shape: p_shape) -> cython.bint:
    """Whether the file begins with the usual header of this segment."""
    head: Head
    at: index
    end: index
    if size < PREFIX or memcmp(file, usual.magic, 4) != 0:
        return False
    end = (
        (cython.cast(index, file[4]) << 24)
        | (cython.cast(index, file[5]) << 16)
        | (cython.cast(index, file[6]) << 8)
        | cython.cast(index, file[7])
    )
    if end > LONGEST_HEADER or end < usual.time_size or end > size - PREFIX:
        return False
    end += PREFIX
    if memcmp(file + PREFIX, usual.before_time, cython.cast(cython.size_t, usual.time_size)) != 0:
        return False
    at = PREFIX + usual.time_size
    if not read_head(file, at, end, cython.address(head)):
        return False
    if head.type != INT or head.negative or head.bits >= TOP_BIT:
        return False
    at = head.start
    if end - at < usual.id_size or memcmp(file + at, usual.before_id, cython.cast(cython.size_t, usual.id_size)) != 0:
        return False
    if not read_head(file, at + usual.id_size, end, cython.address(head)):
        return False
    shape.frames_start = end
    return head.type == INT and not head.negative and head.bits == segment_id and head.start == end


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _footer(file: p_bytes, size: index, usual: p_usual, shape: p_shape) -> cython.bint:
    """Whether the file ends in a trailer that names a possible place."""
    claimed: u64
    trailer: index = size - TRAILER
    if trailer < CRC_SIZE or memcmp(file + size - 4, usual.footer_magic, 4) != 0:
        return False
    claimed = u64_at(file + trailer)
    shape.rows = u32_at(file + trailer + 8)
    shape.rows_start = trailer - CRC_SIZE - shape.rows * SIZE
    if shape.rows_start < 0 or claimed > cython.cast(u64, shape.rows_start):
        return False
    shape.frames_end = cython.cast(index, claimed)
    shape.crc = u32_at(file + trailer - CRC_SIZE)
    return shape.rows > 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _strings(file: p_bytes, shape: p_shape) -> cython.bint:
    """Whether the string table is one, and nothing else."""
    head: Head
    i: index
    at: index = shape.frames_end
    if not read_head(file, at, shape.rows_start, cython.address(head)) or head.type != ARRAY:
        return False
    shape.strings = head.size
    at = head.start
    for i in range(shape.strings):
        if not read_head(file, at, shape.rows_start, cython.address(head)) or head.type != STR:
            return False
        at = head.start + head.size
        if not is_utf8(file, head.start, at):
            return False
    return at == shape.rows_start


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _rows(file: p_bytes, shape: p_shape) -> cython.bint:
    """Whether the rows are events that stand back to back from the header to the footer."""
    i: index
    kind: u16
    length: u32
    top: u32 = 0
    end: u64 = cython.cast(u64, shape.frames_start)
    row: p_bytes = file + shape.rows_start
    for i in range(shape.rows):
        memcpy(cython.address(kind), row + KIND, 2)
        length = u32_at(row + LENGTH)
        if u64_at(row + OFFSET) != end or length < SMALLEST or kind == BEGIN or kind == COMMIT:
            return False
        top = max(top, max(u32_at(row + ENTITY), u32_at(row + SCOPE)))
        end += length
        row += SIZE
    return end == cython.cast(u64, shape.frames_end) and top < shape.strings


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _is_plain(file: p_bytes, size: index, segment_id: u64, usual: p_usual, shape: p_shape) -> cython.bint:
    return (
        _footer(file, size, usual, shape)
        and _header(file, size, segment_id, usual, shape)
        and _strings(file, shape)
        and _rows(file, shape)
        and crc32_of(file + shape.frames_end, shape.rows_start + shape.rows * SIZE - shape.frames_end, 0) == shape.crc
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _place_strings(
    data: p_bytes, at: index, end: index, count: index, starts: cython.pointer[u64], sizes: cython.pointer[u32]
) -> cython.void:
    """The places of the strings of a table that `_strings` has seen; what a file is no more leaves zeros."""
    head: Head
    i: index
    if not read_head(data, at, end, cython.address(head)):
        return
    at = head.start
    for i in range(count):
        if not read_head(data, at, end, cython.address(head)):
            return
        starts[i] = cython.cast(u64, head.start)
        sizes[i] = cython.cast(u32, head.size)
        at = head.start + head.size


def plain_segments(buffer: Any, starts: Any, sizes: Any, ids: Any) -> Plain:
    """See ``format.plain.plain_segments``."""
    view = np.frombuffer(buffer, np.uint8)
    octets: cython.const[cython.uchar][::1] = view
    raw: p_bytes = start_of(octets)
    total: index = octets.shape[0]
    lows: cython.const[cython.longlong][::1] = np.ascontiguousarray(starts, np.int64)
    lengths: cython.const[cython.longlong][::1] = np.ascontiguousarray(sizes, np.int64)
    names: cython.const[cython.ulonglong][::1] = np.ascontiguousarray(ids, np.uint64)
    count: index = lows.shape[0]
    plain = np.zeros(count, np.uint8)
    rows_start, rows, strings, tables = (np.zeros(count, np.int64) for _ in range(4))
    good: cython.uchar[::1] = plain
    out_start: i64[::1] = rows_start
    out_rows: i64[::1] = rows
    known: i64[::1] = strings
    table: i64[::1] = tables
    magic: bytes = layout.SEGMENT_MAGIC
    before_time: bytes = HEADER_BEFORE_TIME
    before_id: bytes = HEADER_BEFORE_ID
    footer_magic: bytes = layout.FOOTER_MAGIC
    usual: Usual
    shape: Shape
    i: index
    low: index
    found: index = 0
    if lengths.shape[0] != count or names.shape[0] != count:
        raise ValueError("starts, sizes and ids differ in length. Pass one of each for each segment.")
    usual.magic, usual.footer_magic = magic, footer_magic
    usual.before_time, usual.time_size = before_time, len(before_time)
    usual.before_id, usual.id_size = before_id, len(before_id)
    with cython.nogil:
        for i in range(count):
            low = lows[i]
            if low < 0 or lengths[i] < 0 or low > total or lengths[i] > total - low:
                continue
            if _is_plain(raw + low, lengths[i], names[i], cython.address(usual), cython.address(shape)):
                good[i] = True
                out_start[i] = low + shape.rows_start
                out_rows[i] = shape.rows
                known[i] = shape.strings
                table[i] = low + shape.frames_end
                found += shape.strings
    return Plain(plain.view(bool), rows_start, rows, strings, *_string_places(octets, table, known, found))


@cython.cfunc
def _string_places(
    octets: cython.const[cython.uchar][::1], tables: cython.const[cython.longlong][::1], strings: i64[::1], found: index
):
    """Where the strings of all plain segments start, and how long they are."""
    starts, sizes = np.zeros(found + 1, np.uint64), np.zeros(found + 1, np.uint32)  # one more, so that there is a first
    first: u64[::1] = starts
    size: u32[::1] = sizes
    raw: p_bytes = start_of(octets)
    i: index
    at: index = 0
    with cython.nogil:
        for i in range(strings.shape[0]):
            if strings[i]:
                _place_strings(
                    raw, tables[i], octets.shape[0], strings[i], cython.address(first[at]), cython.address(size[at])
                )
                at += strings[i]
    return starts[:found], sizes[:found]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _join(
    row: p_bytes, count: index, base: i64, codes: cython.pointer[cython.const[u32]], known: index, out: p_out
) -> cython.void:
    """Copy ``count`` rows; offsets move by ``base``, strings become codes."""
    i: index
    place: u64
    code: u32
    for i in range(count):
        memcpy(out, row, cython.cast(cython.size_t, SIZE))
        place = u64_at(row + OFFSET) + cython.cast(u64, base)
        memcpy(out + OFFSET, cython.address(place), 8)
        code = u32_at(row + ENTITY)
        code = codes[code] if code < known else 0
        memcpy(out + ENTITY, cython.address(code), 4)
        code = u32_at(row + SCOPE)
        code = codes[code] if code < known else 0
        memcpy(out + SCOPE, cython.address(code), 4)
        row += SIZE
        out += SIZE


def join_rows(buffer: Any, starts: Any, rows_start: Any, rows: Any, strings: Any, codes: Any, out: Any) -> None:
    """See ``format.plain.join_rows``."""
    octets: cython.const[cython.uchar][::1] = np.frombuffer(buffer, np.uint8)
    bases: cython.const[cython.longlong][::1] = np.ascontiguousarray(starts, np.int64)
    firsts: cython.const[cython.longlong][::1] = np.ascontiguousarray(rows_start, np.int64)
    counts: cython.const[cython.longlong][::1] = np.ascontiguousarray(rows, np.int64)
    known: cython.const[cython.longlong][::1] = np.ascontiguousarray(strings, np.int64)
    table = np.append(np.asarray(codes, np.uint32), np.uint32(0))  # one more, so that there is a first
    words: cython.const[cython.uint][::1] = table
    code: cython.pointer[cython.const[u32]] = cython.address(words[0])
    joined: cython.uchar[::1] = out.view(np.uint8)
    place: p_out = cython.cast(p_out, start_of(joined))
    raw: p_bytes = start_of(octets)
    total: index = octets.shape[0]
    i: index
    size: index
    if not (bases.shape[0] == firsts.shape[0] == counts.shape[0] == known.shape[0]):
        raise ValueError("starts, rows_start, rows and strings differ in length. Pass one of each for each segment.")
    if int(np.sum(strings)) != len(codes) or min(map(int, [*rows, *strings]), default=0) < 0:
        raise ValueError("codes has another size than the string tables. Pass one code for each string.")
    if joined.shape[0] != int(np.sum(rows)) * SIZE:
        raise ValueError("out has another size than there are rows. Pass one place for each row.")
    with cython.nogil:
        for i in range(bases.shape[0]):
            size = counts[i] * SIZE
            if firsts[i] < 0 or firsts[i] > total or counts[i] > (total - firsts[i]) // SIZE:
                memset(place, 0, cython.cast(cython.size_t, size))
            else:
                _join(raw + firsts[i], counts[i], bases[i], code, known[i], place)
            code += known[i]
            place += size
