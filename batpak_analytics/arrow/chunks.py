"""From selected rows to chunks in commit order: what one record batch will be made of.

Commit order runs over the view's runs. Inside a segment rows are read in file order, so a chunk groups its
rows by segment and remembers how to put them back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]

MAX_CHUNK_BYTES = 32 * 1024 * 1024
"""Frame bytes in one chunk, so that memory stays bounded however large the events are."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows of one segment (by position in the view), ascending."""

    segment: int
    rows: Rows


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Rows to read together. `order[i]` is where commit row `i` stands in the groups; None where they are in
    order.
    """

    groups: tuple[Piece, ...]
    order: Rows | None
    count: int


def pieces(view: Any, masks: Any, counts: Any) -> Iterator[Piece]:
    """The selected rows in commit order, one run at a time."""
    for run in view.runs:
        if not counts[run.segment]:
            continue
        mask = masks[run.segment]
        if mask is None:
            yield Piece(run.segment, np.arange(run.start, run.stop))
            continue
        rows = np.flatnonzero(mask[run.start : run.stop]) + run.start
        if len(rows):
            yield Piece(run.segment, rows)


def chunks(
    view: Any, found: Iterator[Piece], max_rows: int, *, frames: bool, limit: int | None = None
) -> Iterator[Chunk]:
    """Cut pieces into chunks of at most `max_rows` rows and, with `frames`, about `MAX_CHUNK_BYTES` of
    frames.
    """
    gathered: list[Piece] = []
    room, space, left = max_rows, MAX_CHUNK_BYTES, limit
    for piece in found:
        rows = piece.rows
        while len(rows) and left != 0:
            fits, size = _fitting(view, piece.segment, rows[:room], space, frames, first=not gathered)
            fits = min(fits, room, len(rows) if left is None else left)
            if fits:
                gathered.append(Piece(piece.segment, rows[:fits]))
                rows, room, left = rows[fits:], room - fits, None if left is None else left - fits
                space -= size
            if len(rows) or not room:
                yield _assemble(gathered)
                gathered, room, space = [], max_rows, MAX_CHUNK_BYTES
        if left == 0:
            break
    if gathered:
        yield _assemble(gathered)


def _fitting(view: Any, segment: int, rows: Rows, space: int, frames: bool, *, first: bool) -> tuple[int, int]:
    """How many of `rows` fit into `space` bytes, and their bytes; a chunk takes one row however large."""
    if not frames:
        return len(rows), 0
    sizes = np.cumsum(view.segments[segment].rows["length"][rows], dtype=np.int64)
    fits = int(np.searchsorted(sizes, space, side="right"))
    if first:
        fits = max(fits, 1)
    return fits, int(sizes[fits - 1]) if fits else 0


def _assemble(gathered: list[Piece]) -> Chunk:
    """One group per segment, in file order; the order to restore when runs of segments interleave."""
    count = sum(len(piece.rows) for piece in gathered)
    merged = _join_neighbours(gathered)
    if len({piece.segment for piece in merged}) == len(merged):
        return Chunk(tuple(merged), None, count)
    segments = np.repeat([piece.segment for piece in merged], [len(piece.rows) for piece in merged])
    rows = np.concatenate([piece.rows for piece in merged])
    by_file = np.lexsort((rows, segments))
    segments, rows = segments[by_file], rows[by_file]
    cuts = np.flatnonzero(np.diff(segments)) + 1
    starts = np.concatenate(([0], cuts))
    groups = [Piece(int(segments[at]), part) for at, part in zip(starts, np.split(rows, cuts), strict=True)]
    order = np.empty(count, np.int64)
    order[by_file] = np.arange(count)
    return Chunk(tuple(groups), order, count)


def _join_neighbours(gathered: list[Piece]) -> list[Piece]:
    joined: list[list[Piece]] = []
    for piece in gathered:
        last = joined[-1][-1] if joined else None
        if last is not None and last.segment == piece.segment and last.rows[-1] < piece.rows[0]:
            joined[-1].append(piece)
        else:
            joined.append([piece])
    return [Piece(g[0].segment, g[0].rows if len(g) == 1 else np.concatenate([p.rows for p in g])) for g in joined]
