"""From selected rows to chunks in commit order: what one record batch will be made of.

Commit order runs over the view's runs, which may be as short as one row. Inside a segment rows are read in file order,
so a chunk groups its rows by segment and remembers how to put them back. In a store that nothing has rearranged, runs
are whole segments: their rows stay slices from here to the kernels, and nothing is done for a single row.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from batpak_analytics.arrow.columns import as_slice

Rows = npt.NDArray[np.int64]

MAX_CHUNK_BYTES = 32 * 1024 * 1024
"""Frame bytes in one chunk, so that memory stays bounded however large the events are."""

BLOCK_ROWS = 65_536
"""Rows of runs looked at together."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows of one segment (by position in the view), ascending: a slice where they are neighbours."""

    segment: int
    rows: slice | Rows


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Rows to read together. `order[i]` is where commit row `i` stands in the groups; None where they are in order."""

    groups: tuple[Piece, ...]
    order: Rows | None
    count: int


class _Spans:
    """Neighbouring rows of segments, span after span, no segment twice: `(segment, start, stop)`."""

    def __init__(self, view: Any, spans: list[tuple[int, int, int]]) -> None:
        self.view, self.spans = view, spans
        self.count = sum(stop - start for _, start, stop in spans)

    def fitting(self, max_rows: int, max_bytes: int) -> tuple[int, int]:
        """How many of the first rows fit, and the bytes of their frames (with what stands between them)."""
        count = size = 0
        for segment, start, stop in self.spans:
            rows = self.view.stretches[segment].rows
            first, end = int(rows["offset"][start]), min(stop, start + max_rows - count)
            most = max_bytes - size + first
            fits = end - start
            if fits and _end(rows, end - 1) > most:
                fits = bisect_right(range(start, end), most, key=partial(_end, rows))
            if fits:
                size += _end(rows, start + fits - 1) - first
            count += fits
            if start + fits < stop:
                break
        return count, size

    def cut(self, count: int) -> tuple[_Spans, _Spans]:
        """The first `count` rows and the others."""
        for number, (segment, start, stop) in enumerate(self.spans):
            if count < stop - start:
                first = [*self.spans[:number], *([(segment, start, start + count)] if count else [])]
                return _Spans(self.view, first), _Spans(
                    self.view, [(segment, start + count, stop), *self.spans[number + 1 :]]
                )
            count -= stop - start
        return self, _Spans(self.view, [])

    def flat(self) -> tuple[Rows, Rows]:
        """The segment and the row number of each row."""
        return _expanded(self.spans)


class _Flat:
    """Rows in any order, each with its segment and, where it matters, the bytes of its frame."""

    def __init__(self, segments: Rows, rows: Rows, ends: Rows) -> None:
        self.segments, self.rows, self.ends = segments, rows, ends  # `ends`: the running total of the bytes
        self.count = len(rows)

    def fitting(self, max_rows: int, max_bytes: int) -> tuple[int, int]:
        """How many of the first rows fit, and the bytes of their frames."""
        count = min(max_rows, int(np.searchsorted(self.ends, max_bytes, side="right")))
        return count, int(self.ends[count - 1]) if count else 0

    def cut(self, count: int) -> tuple[_Flat, _Flat]:
        """The first `count` rows and the others."""
        before = self.ends[count - 1] if count else 0
        first = _Flat(self.segments[:count], self.rows[:count], self.ends[:count])
        return first, _Flat(self.segments[count:], self.rows[count:], self.ends[count:] - before)

    def flat(self) -> tuple[Rows, Rows]:
        """The segment and the row number of each row."""
        return self.segments, self.rows


def _end(rows: Any, at: int) -> int:
    return int(rows["offset"][at]) + int(rows["length"][at])


def chunks(view: Any, selection: Any, max_rows: int, *, frames: bool, limit: int | None = None) -> Iterator[Chunk]:
    """The first `limit` selected rows in commit order, in chunks of at most `max_rows` rows.

    With `frames`, a chunk also has at most about `MAX_CHUNK_BYTES` of frames, but always one row.
    """
    most = MAX_CHUNK_BYTES if frames else 1 << 62
    waiting: list[_Spans | _Flat] = []
    count = size = 0
    for block in _selected(view, selection, frames):
        if limit is not None:
            block = block.cut(limit)[0] if limit < block.count else block
            limit -= block.count
        while block.count:
            fits, taken = block.fitting(max_rows - count, most - size)
            if not fits and not count:
                fits, taken = 1, most
            part, block = block.cut(fits) if fits < block.count else (block, block.cut(fits)[1])
            if fits:
                waiting.append(part)
                count, size = count + fits, size + taken
            if block.count or count == max_rows:
                yield _assembled(waiting, count)
                waiting, count, size = [], 0, 0
        if limit == 0:
            break
    if count:
        yield _assembled(waiting, count)


def _selected(view: Any, selection: Any, frames: bool) -> Iterator[_Spans | _Flat]:
    """The selected rows in commit order, some runs at a time."""
    for runs in _blocks(view, selection.counts):
        spans = _spans(runs, selection.masks)
        if spans is not None:
            yield _Spans(view, spans)
            continue
        segments, rows = _expanded(runs)
        if any(selection.masks[run[0]] is not None for run in runs):
            kept = _looked_up(segments, rows, bool, lambda at, found: _is_selected(selection.masks[at], found))
            segments, rows = segments[kept], rows[kept]
        sizes = np.zeros(len(rows), np.int64)
        if frames:
            sizes = _looked_up(segments, rows, np.int64, lambda at, found: view.stretches[at].rows["length"][found])
        yield _Flat(segments, rows, np.cumsum(sizes))


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


def _spans(runs: list[tuple[int, int, int]], masks: Any) -> list[tuple[int, int, int]] | None:
    """The selected rows of runs where they are neighbours in each, and each is of another segment; else None."""
    if len(runs) > 1 and len({segment for segment, _, _ in runs}) < len(runs):
        return None
    spans = []
    for segment, start, stop in runs:
        mask = masks[segment]
        if mask is None:
            spans.append((segment, start, stop))
            continue
        found = np.flatnonzero(mask[start:stop])
        if not len(found):
            continue
        first, last = int(found[0]), int(found[-1]) + 1
        if last - first != len(found):
            return None
        spans.append((segment, start + first, start + last))
    return spans


def _expanded(runs: list[tuple[int, int, int]]) -> tuple[Rows, Rows]:
    """Runs as one segment and one row number for each of their rows."""
    segments, starts, stops = np.array(runs, np.int64).reshape(-1, 3).T
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
    return True if mask is None else mask[rows]


def _assembled(parts: list[_Spans | _Flat], count: int) -> Chunk:
    """One group per segment, in file order; the order to restore where the runs of segments interleave."""
    groups = _joined_spans(parts)
    if groups is not None:
        return Chunk(groups, None, count)
    flat = [part.flat() for part in parts]
    segments = np.concatenate([segments for segments, _ in flat])
    rows = np.concatenate([rows for _, rows in flat])
    same = segments[1:] == segments[:-1]
    cuts = np.flatnonzero(~same) + 1
    ascending = bool((rows[1:] > rows[:-1])[same].all())
    if ascending and len(np.unique(segments[np.concatenate([[0], cuts])])) == len(cuts) + 1:
        return Chunk(_groups(segments, rows, cuts), None, count)
    by_file = np.lexsort((rows, segments))
    segments, rows = segments[by_file], rows[by_file]
    order = np.empty(len(rows), np.int64)
    order[by_file] = np.arange(len(rows))
    return Chunk(_groups(segments, rows, np.flatnonzero(np.diff(segments)) + 1), order, count)


def _joined_spans(parts: list[_Spans | _Flat]) -> tuple[Piece, ...] | None:
    """Spans as groups; None where there are other parts or a segment comes twice."""
    spans: list[tuple[int, int, int]] = []
    for part in parts:
        if not isinstance(part, _Spans):
            return None
        for segment, start, stop in part.spans:
            if spans and spans[-1][0] == segment and spans[-1][2] == start:
                spans[-1] = (segment, spans[-1][1], stop)
            else:
                spans.append((segment, start, stop))
    if len({segment for segment, _, _ in spans}) < len(spans):
        return None
    return tuple(Piece(segment, slice(start, stop)) for segment, start, stop in spans)


def _groups(segments: Rows, rows: Rows, cuts: Rows) -> tuple[Piece, ...]:
    starts = [0, *cuts.tolist()]
    parts = np.split(rows, cuts)
    return tuple(Piece(int(segments[at]), as_slice(part)) for at, part in zip(starts, parts, strict=True))
