"""From selected rows to chunks in commit order: what one record batch will be made of.

Commit order runs over the view's runs, which may be as short as one row. Inside a segment rows are read in file order,
so a chunk groups its rows by segment and remembers how to put them back.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from batpak_analytics.arrow.columns import take

Rows = npt.NDArray[np.int64]

MAX_CHUNK_BYTES = 32 * 1024 * 1024
"""Frame bytes in one chunk, so that memory stays bounded however large the events are."""

BLOCK_ROWS = 65_536
"""Rows of runs expanded at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows of one segment (by position in the view), ascending."""

    segment: int
    rows: Rows


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Rows to read together. `order[i]` is where commit row `i` stands in the groups; None where they are in order."""

    groups: tuple[Piece, ...]
    order: Rows | None
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class _Flat:
    """Rows in commit order, each with its segment and, where it matters, the bytes of its frame."""

    segments: Rows
    rows: Rows
    sizes: Rows | None

    def part(self, start: int, stop: int | None) -> _Flat:
        sizes = None if self.sizes is None else self.sizes[start:stop]
        return _Flat(self.segments[start:stop], self.rows[start:stop], sizes)

    def joined(self, other: _Flat) -> _Flat:
        sizes = None
        if self.sizes is not None and other.sizes is not None:
            sizes = np.concatenate([self.sizes, other.sizes])
        return _Flat(np.concatenate([self.segments, other.segments]), np.concatenate([self.rows, other.rows]), sizes)


def chunks(view: Any, selection: Any, max_rows: int, *, frames: bool, limit: int | None = None) -> Iterator[Chunk]:
    """The first `limit` selected rows in commit order, in chunks of at most `max_rows` rows.

    With `frames`, a chunk also has at most about `MAX_CHUNK_BYTES` of frames, but always one row.
    """
    waiting: _Flat | None = None
    for block in _selected(view, selection, frames):
        if limit is not None:
            block = block.part(0, limit)
            limit -= len(block.rows)
        waiting = block if waiting is None else waiting.joined(block)
        waiting = yield from _full(waiting, max_rows)
        if limit == 0:
            break
    while waiting is not None and len(waiting.rows):
        end = _fitting(waiting, max_rows)
        yield _assemble(waiting.segments[:end], waiting.rows[:end])
        waiting = waiting.part(end, None)


def _full(flat: _Flat, max_rows: int) -> Generator[Chunk, None, _Flat]:
    """Chunks that no further row fits into; returns what is left."""
    end = _fitting(flat, max_rows)
    while end < len(flat.rows):
        yield _assemble(flat.segments[:end], flat.rows[:end])
        flat = flat.part(end, None)
        end = _fitting(flat, max_rows)
    return flat


def _fitting(flat: _Flat, max_rows: int) -> int:
    """How many of the first rows make one chunk."""
    count = min(len(flat.rows), max_rows)
    if flat.sizes is None:
        return count
    ends = np.cumsum(flat.sizes[:count])
    return max(int(np.searchsorted(ends, MAX_CHUNK_BYTES, side="right")), min(count, 1))


def _selected(view: Any, selection: Any, frames: bool) -> Iterator[_Flat]:
    """The selected rows in commit order, some runs at a time."""
    lengths = [segment.rows["length"] for segment in view.segments]
    for runs in _blocks(view, selection.counts):
        segments, rows = _expanded(runs)
        if any(selection.masks[run[0]] is not None for run in runs):
            kept = _looked_up(segments, rows, bool, lambda at, found: _is_selected(selection.masks[at], found))
            segments, rows = segments[kept], rows[kept]
        sizes = None
        if frames:
            sizes = _looked_up(segments, rows, np.int64, lambda at, found: _taken(lengths[at], found))
        if len(rows):
            yield _Flat(segments, rows, sizes)


def _blocks(view: Any, counts: tuple[int, ...]) -> Iterator[list[tuple[int, int, int]]]:
    """Runs with a selected row, cut and gathered to about `BLOCK_ROWS` rows a block."""
    block: list[tuple[int, int, int]] = []
    size = 0
    for run in view.runs:
        if not counts[run.segment]:
            continue
        for start in range(run.start, run.stop, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, run.stop)
            block.append((run.segment, start, stop))
            size += stop - start
            if size >= BLOCK_ROWS:
                yield block
                block, size = [], 0
    if block:
        yield block


def _expanded(runs: list[tuple[int, int, int]]) -> tuple[Rows, Rows]:
    """Runs as one segment and one row number for each of their rows."""
    if len(runs) == 1:
        segment, start, stop = runs[0]
        return np.full(stop - start, segment), np.arange(start, stop)
    segments, starts, stops = np.array(runs, np.int64).T
    sizes = stops - starts
    firsts = np.cumsum(sizes) - sizes
    return np.repeat(segments, sizes), np.arange(int(sizes.sum())) + np.repeat(starts - firsts, sizes)


def _looked_up(segments: Rows, rows: Rows, dtype: Any, look: Callable[[int, Rows], Any]) -> Any:
    """`look(segment, rows)` for the rows of each segment, put in place."""
    found = np.empty(len(rows), dtype)
    if not len(rows):
        return found
    if (segments == segments[0]).all():
        found[:] = look(int(segments[0]), rows)
        return found
    by_segment = np.argsort(segments, kind="stable")
    for places in np.split(by_segment, np.flatnonzero(np.diff(segments[by_segment])) + 1):
        found[places] = look(int(segments[places[0]]), rows[places])
    return found


def _is_selected(mask: Any, rows: Rows) -> Any:
    return True if mask is None else _taken(mask, rows)


def _taken(values: Any, rows: Rows) -> Any:
    """`values[rows]`, as a slice where each row follows the one before. In commit order rows may go back and forth."""
    return take(values, rows) if bool((rows[1:] - rows[:-1] == 1).all()) else values[rows]


def _assemble(segments: Rows, rows: Rows) -> Chunk:
    """One group per segment, in file order; the order to restore where the runs of segments interleave."""
    same = segments[1:] == segments[:-1]
    cuts = np.flatnonzero(~same) + 1
    ascending = bool((rows[1:] > rows[:-1])[same].all())
    if ascending and len(np.unique(segments[np.concatenate([[0], cuts])])) == len(cuts) + 1:
        return Chunk(_groups(segments, rows, cuts), None, len(rows))
    by_file = np.lexsort((rows, segments))
    segments, rows = segments[by_file], rows[by_file]
    order = np.empty(len(rows), np.int64)
    order[by_file] = np.arange(len(rows))
    return Chunk(_groups(segments, rows, np.flatnonzero(np.diff(segments)) + 1), order, len(rows))


def _groups(segments: Rows, rows: Rows, cuts: Rows) -> tuple[Piece, ...]:
    starts = [0, *cuts.tolist()]
    return tuple(Piece(int(segments[at]), part) for at, part in zip(starts, np.split(rows, cuts), strict=True))
