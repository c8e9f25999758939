"""Does each frame say what its footer row says? Twin of ``differing_rows`` in ``format/rows.py``.

A footer row is 162 packed bytes, so its fields are read by the places that FOOTER_DTYPE gives them. Ids are
little-endian there and big-endian in frames (spec segments 5.2).
"""

from __future__ import annotations

from typing import Any

import cython
import numpy as np
from cython.cimports.batpak_analytics.kernels.escape import Row
from cython.cimports.batpak_analytics.kernels.wire import start_of
from cython.cimports.batpak_analytics.kernels.words import big_u64_at, u32_at, u64_at
from cython.cimports.libc.string import memcmp, memcpy

from batpak_analytics.format.layout import FOOTER_DTYPE, FRAME_DTYPE

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
index = cython.typedef(cython.Py_ssize_t)
u64 = cython.typedef(cython.ulonglong)
u32 = cython.typedef(cython.uint)
p_row = cython.typedef(cython.pointer[cython.const[Row]])
p_strings = cython.typedef(cython.pointer[cython.const[Strings]])

if cython.sizeof(Row) != FRAME_DTYPE.itemsize:
    raise ImportError("FRAME_DTYPE has changed. Rebuild the kernels.")
_PLACES = {name: int(place[1]) for name, place in (FOOTER_DTYPE.fields or {}).items()}
SIZE = cython.declare(index, FOOTER_DTYPE.itemsize)
EVENT_ID = cython.declare(index, _PLACES["event_id"])
CORRELATION_ID = cython.declare(index, _PLACES["correlation_id"])
CAUSATION_ID = cython.declare(index, _PLACES["causation_id"])
ENTITY = cython.declare(index, _PLACES["entity_idx"])
SCOPE = cython.declare(index, _PLACES["scope_idx"])
KIND = cython.declare(index, _PLACES["kind"])
WALL = cython.declare(index, _PLACES["wall_ms"])
CLOCK = cython.declare(index, _PLACES["clock"])
LANE = cython.declare(index, _PLACES["lane"])
DEPTH = cython.declare(index, _PLACES["depth"])
PREV_HASH = cython.declare(index, _PLACES["prev_hash"])
EVENT_HASH = cython.declare(index, _PLACES["event_hash"])


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _same_id(frame: p_bytes, entry: p_bytes) -> cython.bint:
    return big_u64_at(frame) == u64_at(entry + 8) and big_u64_at(frame + 8) == u64_at(entry)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _same_text(
    data: p_bytes,
    total: u64,
    start: u64,
    size: u32,
    code: u32,
    strings: p_strings,
) -> cython.bint:
    """Whether a frame's string is string ``code`` of the table."""
    at: index
    if code >= strings.count or start > total or size > total - start:
        return False
    at = strings.bounds[code]
    return strings.bounds[code + 1] - at == size and memcmp(data + start, strings.text + at, size) == 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _same_numbers(row: p_row, entry: p_bytes) -> cython.bint:
    kind: cython.ushort
    memcpy(cython.address(kind), entry + KIND, 2)
    return (
        row.kind == kind
        and row.wall_ms == u64_at(entry + WALL)
        and row.clock == u32_at(entry + CLOCK)
        and row.lane == u32_at(entry + LANE)
        and row.depth == u32_at(entry + DEPTH)
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _same_keys(row: p_row, entry: p_bytes) -> cython.bint:
    if row.has_chain and (
        memcmp(row.prev_hash, entry + PREV_HASH, 32) != 0 or memcmp(row.event_hash, entry + EVENT_HASH, 32) != 0
    ):
        return False
    return (
        _same_id(row.event_id, entry + EVENT_ID)
        and _same_id(row.correlation_id, entry + CORRELATION_ID)
        and _same_id(row.causation_id, entry + CAUSATION_ID)
    )


def same_row(data, total, row, entry, strings):
    """Whether a good frame says what its footer row says."""
    return (
        _same_numbers(row, entry)
        and _same_keys(row, entry)
        and _same_text(data, total, row.entity_start, row.entity_size, u32_at(entry + ENTITY), strings)
        and _same_text(data, total, row.scope_start, row.scope_size, u32_at(entry + SCOPE), strings)
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _compare(
    data: p_bytes,
    total: u64,
    frames: p_row,
    numbers: cython.const[cython.longlong][::1],
    entries: cython.const[cython.uchar][::1],
    strings: p_strings,
    out: cython.uchar[::1],
) -> cython.void:
    i: index
    count: index = entries.shape[0] // SIZE
    for i in range(numbers.shape[0]):
        if frames[i].status != 0:
            out[i] = 0
        elif numbers[i] < 0 or numbers[i] >= count:
            out[i] = 1
        else:
            out[i] = not same_row(data, total, frames + i, cython.address(entries[0]) + numbers[i] * SIZE, strings)


def differing_rows(buffer: Any, frames: Any, entries: Any, numbers: Any, text: Any, bounds: Any) -> Any:
    """See ``format.rows.differing_rows``."""
    view = np.frombuffer(buffer, np.uint8)
    if not len(frames):
        return np.zeros(0, bool)
    data: cython.const[cython.uchar][::1] = view
    rows: cython.const[cython.uchar][::1] = np.ascontiguousarray(frames).view(np.uint8)
    packed: cython.const[cython.uchar][::1] = np.ascontiguousarray(entries).view(np.uint8)
    places: cython.const[cython.longlong][::1] = np.ascontiguousarray(numbers, np.int64)
    letters: cython.const[cython.uchar][::1] = np.frombuffer(text, np.uint8) if len(text) else np.zeros(1, np.uint8)
    edges: cython.const[cython.longlong][::1] = np.ascontiguousarray(bounds, np.int64)
    strings: Strings
    found = np.empty(len(frames), np.uint8)
    out: cython.uchar[::1] = found
    if places.shape[0] != out.shape[0]:
        raise ValueError("frames and numbers differ in length. Pass one row number for each frame.")
    strings.text = cython.address(letters[0])
    strings.bounds = cython.address(edges[0])
    strings.count = edges.shape[0] - 1
    with cython.nogil:
        _compare(
            start_of(data),
            data.shape[0],
            cython.cast(p_row, cython.address(rows[0])),
            places,
            packed,
            cython.address(strings),
            out,
        )
    return found.view(bool)
