"""Where the top-level fields of many payloads are: twin of ``locate_fields`` in ``format/payload.py``.

Rows of one kind mostly have the same keys in the same order, so each key is first compared with the one that
followed its predecessor in an earlier row, and only then looked up. A key that no row had before is rare:
that row goes through the readable function, which also puts the new names into the table.
"""

from __future__ import annotations

from typing import Any

import cython
import numpy as np
from cython.cimports.batpak_analytics.kernels.wire import Head, hash_bytes, is_utf8, read_head, skip_value, start_of
from cython.cimports.libc.string import memcmp, memcpy

from batpak_analytics.format import payload as readable

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
index = cython.typedef(cython.Py_ssize_t)
i64 = cython.typedef(cython.longlong)
u64 = cython.typedef(cython.ulonglong)
p_pos = cython.typedef(cython.pointer[cython.longlong])

# As format/payload.py and wire.pxd.
ROOT_MAP = cython.declare(cython.int, 1)
ROOT_VALUE = cython.declare(cython.int, 2)
NOT_JSON = cython.declare(cython.int, 16)
MALFORMED = cython.declare(cython.int, 32)
SKIPPED = cython.declare(cython.int, 64)
MISSING = cython.declare(index, -1)
STR = cython.declare(cython.int, 4)
MAP = cython.declare(cython.int, 8)
FEW_FIELDS = cython.declare(index, 8)
AT_ONCE = cython.declare(index, 512)  # rows whose positions are made ready together
HIGH_BITS = cython.declare(u64, 0x8080808080808080)
SIZES = cython.declare(cython.uchar[256])  # by tag: bytes of a nil, bool, number or short string; 0: ask skip_value


@cython.cfunc
def _fill_sizes() -> cython.void:
    tag: cython.int
    for tag in range(256):
        SIZES[tag] = 1 if tag <= 0x7F or tag >= 0xE0 else 0
        if tag >= 0xA0 and tag <= 0xBF:
            SIZES[tag] = 1 + (tag & 31)
        elif tag >= 0xCC and tag <= 0xD3:
            SIZES[tag] = 1 + (1 << (tag & 3))
    SIZES[0xC0] = SIZES[0xC2] = SIZES[0xC3] = 1
    SIZES[0xCA] = 5
    SIZES[0xCB] = 9


_fill_sizes()


@cython.cclass
class _Names:
    """The names of a FieldTable in C arrays: bytes, bounds, a hash table, and which name follows which."""

    table: object
    count: index
    text: cython.const[cython.uchar][::1]
    bounds: i64[::1]
    slots: i64[::1]
    follow: i64[::1]

    def __init__(self, table):
        self.table = table
        self.read()

    @cython.cfunc
    def read(self):
        """Take over the names that the table has now."""
        names: list = self.table.names
        slot: index
        mask: index
        code: index
        size: index = 64
        while size < 4 * (len(names) + 1):
            size *= 2
        self.count = len(names)
        self.text = np.frombuffer(b"".join(names) + bytes(8), np.uint8)
        self.bounds = np.cumsum([0] + [len(name) for name in names], dtype=np.int64)
        self.slots = np.full(size, MISSING, np.int64)
        self.follow = np.arange(len(names) + 1, dtype=np.int64)
        mask = size - 1
        for code in range(self.count):
            slot = (
                cython.cast(
                    index,
                    hash_bytes(
                        cython.address(self.text[0]), self.bounds[code], self.bounds[code + 1] - self.bounds[code]
                    ),
                )
                & mask
            )
            while self.slots[slot] != MISSING:
                slot = (slot + 1) & mask
            self.slots[slot] = code

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def is_name(self, code: index, data: p_bytes, key: index, size: index, end: index) -> cython.bint:
        at: index = self.bounds[code]
        one: u64
        other: u64
        if self.bounds[code + 1] - at != size:
            return False
        if size == 0 or size > 8 or end - key < 8:
            return memcmp(cython.address(self.text[at]), data + key, size) == 0
        # The names have eight bytes after them, so a short one can be compared as a word.
        memcpy(cython.address(one), cython.address(self.text[at]), 8)
        memcpy(cython.address(other), data + key, 8)
        return (one ^ other) << (64 - 8 * size) == 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def search(self, data: p_bytes, key: index, size: index, end: index) -> index:
        """The code of a name, or MISSING."""
        mask: index = self.slots.shape[0] - 1
        slot: index = cython.cast(index, hash_bytes(data, key, size)) & mask
        while self.slots[slot] != MISSING:
            if self.is_name(self.slots[slot], data, key, size, end):
                return self.slots[slot]
            slot = (slot + 1) & mask
        return MISSING

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def find(self, before: index, data: p_bytes, key: index, size: index, end: index) -> index:
        """The code of a name, guessing first that it follows ``before`` (MISSING: that it comes first)."""
        code: index = self.follow[before + 1]
        if code < self.count and self.is_name(code, data, key, size, end):
            return code
        code = self.search(data, key, size, end)
        if code != MISSING:
            self.follow[before + 1] = code
        return code


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_short_ascii(data: p_bytes, at: index, end: index, size: index) -> cython.bint:
    """Whether 1 to 8 bytes are ASCII, where eight can be read; False is no answer."""
    word: u64
    if size == 0 or size > 8 or end - at < 8:
        return False
    memcpy(cython.address(word), data + at, 8)
    return (word << (64 - 8 * size)) & HIGH_BITS == 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _value_end(data: p_bytes, at: index, end: index, json: cython.pointer[cython.bint]) -> index:
    """The end of a value inside the top-level map; numbers and short strings without a call."""
    tag: cython.int
    size: index
    if at >= end:
        return MISSING
    tag = data[at]
    size = SIZES[tag]
    if size == 0:
        return skip_value(data, at, end, 1, json)
    if end - at < size:
        return MISSING
    if (tag & 0xE0) == 0xA0 and not _is_short_ascii(data, at + 1, end, size - 1):
        return skip_value(data, at, end, 1, json)
    return at + size


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _read_key(data: p_bytes, at: index, end: index, head: cython.pointer[Head]) -> cython.bint:
    """The head of a key; short strings without a call."""
    if at < end and (data[at] & 0xE0) == 0xA0:
        head.type = STR
        head.start = at + 1
        head.size = data[at] & 31
        return head.size <= end - head.start
    return read_head(data, at, end, head)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _scan_map(
    data: p_bytes,
    at: index,
    end: index,
    left: index,
    names: _Names,
    pos: p_pos,
    rows: index,
    unknown: cython.pointer[cython.bint],
) -> cython.int:
    """Root bits of a top-level map whose first key is at ``at``; ``pos`` is that row's place in the first field."""
    head: Head
    json: cython.bint = True
    strings: cython.bint = True
    code: index
    before: index = MISSING
    unknown[0] = False
    while left > 0:
        left -= 1
        if not _read_key(data, at, end, cython.address(head)):
            return MALFORMED
        code = MISSING
        if head.type == STR:
            at = head.start + head.size
            code = names.find(before, data, head.start, head.size, end)
            if code == MISSING:
                if is_utf8(data, head.start, at):
                    unknown[0] = True
                else:
                    json = False
        else:
            strings = False
            json = False
            at = skip_value(data, at, end, 1, cython.address(json))
        if code != MISSING:
            pos[code * rows] = at
            before = code
        if at >= 0:
            at = _value_end(data, at, end, cython.address(json))
        if at < 0:
            return MALFORMED
    if not strings:
        return ROOT_VALUE | NOT_JSON
    return ROOT_MAP if json else ROOT_MAP | NOT_JSON


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _scan_row(
    data: p_bytes,
    start: index,
    end: index,
    names: _Names,
    pos: p_pos,
    rows: index,
    unknown: cython.pointer[cython.bint],
) -> cython.int:
    """Root bits of one row, and the positions of its fields if it is ROOT_MAP."""
    head: Head
    json: cython.bint = True
    bits: cython.int
    k: index
    unknown[0] = False
    if not read_head(data, start, end, cython.address(head)):
        return MALFORMED
    if head.type != MAP:
        if skip_value(data, start, end, 0, cython.address(json)) < 0:
            return MALFORMED
        return ROOT_VALUE if json else ROOT_VALUE | NOT_JSON
    if head.size > end - head.start:
        return MALFORMED
    bits = _scan_map(data, head.start, end, head.size // 2, names, pos, rows, unknown)
    if not bits & ROOT_MAP:
        unknown[0] = False
        for k in range(names.count):
            pos[k * rows] = MISSING
    return bits


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _make_ready(pos: p_pos, fields: index, rows: index, low: index, high: index) -> cython.void:
    """No field is in these rows yet: shortly before they are looked at, while they are in the cache."""
    k: index
    i: index
    for k in range(fields):
        for i in range(low, high):
            pos[k * rows + i] = MISSING


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _scan(
    data: p_bytes,
    total: index,
    starts: cython.const[cython.longlong][::1],
    ends: cython.const[cython.longlong][::1],
    wanted: cython.const[cython.uchar][::1],
    names: _Names,
    roots: cython.uchar[::1],
    pos: p_pos,
    full: cython.bint,
    missed: cython.pointer[cython.bint],
    done: index,
    ready: cython.pointer[index],
) -> index:
    """Rows from ``done`` on, until one has a name that the table has room for; the row to go on with.

    The positions of the rows below ``ready`` have been made ready.
    """
    i: index
    rows: index = roots.shape[0]
    unknown: cython.bint = False
    for i in range(done, rows):
        if i == ready[0]:
            ready[0] = min(rows, i + AT_ONCE)
            _make_ready(pos, names.count, rows, i, ready[0])
        if wanted.shape[0] and not wanted[i]:
            roots[i] = SKIPPED
        elif starts[i] < 0 or starts[i] >= ends[i] or ends[i] > total:
            roots[i] = MALFORMED
        else:
            roots[i] = _scan_row(data, starts[i], ends[i], names, pos + i, rows, cython.address(unknown))
            if unknown:
                if not full:
                    return i
                missed[0] = True
    return rows


def locate_fields(data: Any, offsets: Any, table: Any, present: Any = None, ends: Any = None) -> Any:
    """See ``format.payload.locate_fields``."""
    view = np.frombuffer(data, np.uint8)
    bounds = np.ascontiguousarray(offsets, np.int64)
    raw: cython.const[cython.uchar][::1] = view
    first = bounds[: len(bounds) - 1] if ends is None else bounds
    starts: cython.const[cython.longlong][::1] = first
    stops: cython.const[cython.longlong][::1] = bounds[1:] if ends is None else np.ascontiguousarray(ends, np.int64)
    wanted: cython.const[cython.uchar][::1] = (
        np.empty(0, np.uint8) if present is None else np.ascontiguousarray(present).astype(bool).view(np.uint8)
    )
    rows: index = starts.shape[0]
    if stops.shape[0] != rows or (present is not None and wanted.shape[0] != rows):
        raise ValueError("The rows differ in number. Pass one end and one present flag for each row.")
    names = _Names(table)
    pos = np.empty((max(names.count, FEW_FIELDS), rows), np.int64)
    roots = np.empty(rows, np.uint8)
    root_view: cython.uchar[::1] = roots
    pos_view: i64[:, ::1] = pos
    missed: cython.bint = False
    full: cython.bint
    done: index = 0
    ready: index = 0
    known: index
    while rows:
        full = names.count >= table.max_fields
        with cython.nogil:
            done = _scan(
                start_of(raw),
                raw.shape[0],
                starts,
                stops,
                wanted,
                names,
                root_view,
                cython.address(pos_view[0, 0]),
                full,
                cython.address(missed),
                done,
                cython.address(ready),
            )
        if done == rows:
            break
        readable.locate_fields(view[starts[done] : stops[done]], np.array([0, stops[done] - starts[done]]), table)
        known = names.count
        names.read()
        if names.count > pos.shape[0]:
            grown = np.empty((2 * names.count, rows), np.int64)
            grown[:known, :ready] = pos[:known, :ready]
            pos = grown
            pos_view = pos
        pos[known : names.count, :ready] = MISSING
    if missed:
        table.overflow = True
    return readable.Located(roots, pos[: names.count])
