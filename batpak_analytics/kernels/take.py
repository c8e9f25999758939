"""Frames by their footer rows: twin of ``take_frames`` in ``format/rows.py``.

They are placed, checked, parsed and compared in blocks that stay in the processor's cache.
"""

from __future__ import annotations

from typing import Any

import cython
import numpy as np
from cython.cimports.batpak_analytics.kernels.compare import Strings, same_row
from cython.cimports.batpak_analytics.kernels.escape import Row
from cython.cimports.batpak_analytics.kernels.frames import parse_body
from cython.cimports.batpak_analytics.kernels.walk import check_places
from cython.cimports.batpak_analytics.kernels.wire import start_of
from cython.cimports.batpak_analytics.kernels.words import u32_at, u64_at
from cython.cimports.libc.string import memset

from batpak_analytics.format import rows as readable
from batpak_analytics.format.gather import row_count
from batpak_analytics.format.layout import FOOTER_DTYPE, FRAME_DTYPE
from batpak_analytics.kernels.compare import differing_rows
from batpak_analytics.kernels.escape import unescape
from batpak_analytics.kernels.frames import parse_frames

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
p_out = cython.typedef(cython.pointer[cython.uchar])
p_numbers = cython.typedef(cython.pointer[cython.const[cython.longlong]])
p_row = cython.typedef(cython.pointer[Row])
index = cython.typedef(cython.Py_ssize_t)
u64 = cython.typedef(cython.ulonglong)

FRAME_OK = cython.declare(cython.int, 0)
SLACK = cython.declare(index, 64)  # read_ints writes whole blocks
ENTRY_SIZE = cython.declare(index, FOOTER_DTYPE.itemsize)
OFFSET = cython.declare(index, FOOTER_DTYPE.fields["offset"][1])
LENGTH = cython.declare(index, FOOTER_DTYPE.fields["length"][1])
BLOCK_ROWS = cython.declare(index, 1024)
BLOCK_BYTES = cython.declare(u64, 1 << 18)
USUAL_PAYLOAD = cython.declare(index, 128)

Work = cython.struct(
    count=cython.Py_ssize_t,  # rows to take: from `first` on, or those that `picks` numbers
    first=cython.Py_ssize_t,
    picks=cython.pointer[cython.const[cython.longlong]],
    entry=cython.pointer[cython.const[cython.uchar]],  # the first footer row, and how many there are
    entries=cython.Py_ssize_t,
    base=cython.ulonglong,
    compare=cython.bint,
    strings=Strings,
    frames=cython.pointer[Row],
    statuses=cython.pointer[cython.uchar],
    encrypted=cython.pointer[cython.uchar],
    differs=cython.pointer[cython.uchar],
    bounds=cython.pointer[cython.longlong],
    payloads=cython.pointer[cython.uchar],
    taken=cython.Py_ssize_t,  # bytes of payloads so far; the room for them; and what the next block may need
    room=cython.Py_ssize_t,
    wanted=cython.Py_ssize_t,
    unusual=cython.bint,  # a frame that the fast path cannot do was met
)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _places(
    work: cython.pointer[Work], done: index, starts: cython.pointer[u64], sizes: cython.pointer[cython.uint]
) -> index:
    """Where the frames of the next rows should be; how many rows make a block."""
    i: index = 0
    row: index
    entry: p_bytes
    total: u64 = 0
    while done + i < work.count and i < BLOCK_ROWS and total < BLOCK_BYTES:
        row = work.first + done + i if work.picks == cython.NULL else cython.cast(index, work.picks[done + i])
        if row < 0 or row >= work.entries:
            starts[i] = sizes[i] = 0  # a size that no frame has
        else:
            entry = work.entry + row * ENTRY_SIZE
            starts[i] = u64_at(entry + OFFSET) - work.base
            sizes[i] = u32_at(entry + LENGTH)
        total += sizes[i]
        i += 1
    return i


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take(
    data: p_bytes,
    total: u64,
    work: cython.pointer[Work],
    done: index,
    size: index,
    starts: cython.pointer[u64],
    sizes: cython.pointer[cython.uint],
    statuses: p_out,
) -> cython.bint:
    """Parse and compare one block; False where the fast path cannot do a frame."""
    i: index
    at: index
    number: index
    one: Row
    row: p_row = cython.address(one)
    place: p_out = cython.NULL
    for i in range(size):
        at = done + i
        if work.frames != cython.NULL:
            row = work.frames + at
        if work.payloads != cython.NULL:
            place = work.payloads + work.taken
        memset(row, 0, cython.sizeof(Row))
        row.status = statuses[i]
        if row.status == FRAME_OK and not parse_body(data, starts[i] + 8, starts[i] + sizes[i], row, place):
            return False
        work.taken += row.payload_count
        work.bounds[at + 1] = work.taken
        work.statuses[at] = row.status
        work.encrypted[at] = row.encrypted
        work.differs[at] = 0
        if work.compare and row.status == FRAME_OK:
            number = work.first + at if work.picks == cython.NULL else cython.cast(index, work.picks[at])
            work.differs[at] = not same_row(
                data, total, row, work.entry + number * ENTRY_SIZE, cython.address(work.strings)
            )
    return True


@cython.cfunc
def _start(array: Any) -> p_out:
    """Where a contiguous array begins, which has to outlive what is done there; nowhere, for an empty one."""
    octets: cython.const[cython.uchar][::1] = array.view(np.uint8)
    return cython.cast(p_out, start_of(octets))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_all(work: cython.pointer[Work], data: p_bytes, total: u64, done: index) -> index:
    """Block after block from row ``done`` on, while there is room; the row to go on with."""
    starts: u64[1024]
    sizes: cython.uint[1024]
    verdicts: cython.uchar[1024]
    size: index
    i: index
    work.wanted = 0
    while done < work.count:
        size = _places(work, done, starts, sizes)
        check_places(data, total, starts, sizes, verdicts, size)
        if work.payloads != cython.NULL:
            work.wanted = work.taken + SLACK
            for i in range(size):
                if verdicts[i] == FRAME_OK:
                    work.wanted += sizes[i]  # an element is a byte or more, so a payload is shorter than its frame
            if work.wanted > work.room:
                break
        if not _take(data, total, work, done, size, starts, sizes, verdicts):
            work.unusual = True
            break
        done += size
    return done


@cython.cfunc
def _with_room(taken: Any, work: cython.pointer[Work]):
    """``taken``, or a copy of what it has so far, with twice the room that was wanted last."""
    if work.wanted <= work.room:
        return taken
    work.room = 2 * work.wanted
    grown = np.empty(work.room, np.uint8)
    grown[: work.taken] = taken[: work.taken]
    work.payloads = _start(grown)
    return grown


@cython.cfunc
def _step(work: cython.pointer[Work], count: index) -> cython.void:
    """Go on behind the ``count`` rows of a source."""
    work.statuses += count
    work.encrypted += count
    work.differs += count
    work.bounds += count
    if work.frames != cython.NULL:
        work.frames += count


def take_frames(sources: Any, payloads: bool = True, keep: bool = False) -> Any:
    """See ``format.rows.take_frames``."""
    counts = [row_count(source.rows) for source in sources]
    count: index = sum(counts)
    work: Work
    data: cython.const[cython.uchar][::1]
    statuses, encrypted, differs = (np.empty(count, np.uint8) for _ in range(3))
    bounds = np.zeros(count + 1, np.int64)
    frames = np.empty(count, FRAME_DTYPE) if keep else None
    taken = np.empty(min(sum([len(source.buffer) for source in sources]), USUAL_PAYLOAD * count) + SLACK, np.uint8)
    done: index
    work.frames = cython.cast(p_row, _start(frames)) if keep else cython.NULL
    work.statuses = _start(statuses)
    work.encrypted = _start(encrypted)
    work.differs = _start(differs)
    work.bounds = cython.cast(cython.pointer[cython.longlong], _start(bounds))
    work.payloads = _start(taken) if payloads else cython.NULL
    work.taken = work.wanted = 0
    work.room = len(taken)
    work.unusual = False
    for (buffer, base, entries, rows, strings), one in zip(sources, counts, strict=True):
        view = np.frombuffer(buffer, np.uint8)
        data = view
        numbers = None if isinstance(rows, slice) else np.ascontiguousarray(rows, np.int64)
        packed = np.ascontiguousarray(entries, FOOTER_DTYPE)
        text, edges = strings or (b"", NO_EDGES)
        letters, edges = np.frombuffer(text, np.uint8), np.ascontiguousarray(edges, np.int64)
        work.count = one
        work.first = rows.start if numbers is None else 0
        work.picks = cython.NULL if numbers is None else cython.cast(p_numbers, _start(numbers))
        work.entry = _start(packed)
        work.entries = len(packed)
        work.base = base
        work.compare = strings is not None
        work.strings.text = _start(letters)
        work.strings.bounds = cython.cast(p_numbers, _start(edges))
        work.strings.count = len(edges) - 1
        done = 0
        while done < work.count:
            with cython.nogil:
                done = _take_all(cython.address(work), start_of(data), data.shape[0], done)
            if work.unusual:
                return readable.taken_apart(_TOOLS, sources, payloads, keep)
            taken = _with_room(taken, cython.address(work))
        _step(cython.address(work), work.count)
    if not payloads:
        bounds[:] = 0
    return readable.Taken(statuses, encrypted, differs.view(bool), taken[: bounds[count]], bounds, frames)


NO_EDGES = np.zeros(1, np.int64)
_TOOLS = (parse_frames, unescape, differing_rows)
