"""Where to read: the byte ranges that cover the frames of some rows of a segment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from batpak_analytics.arrow.columns import as_slice, take

MAX_WINDOW_BYTES = 32 * 1024 * 1024

MAX_GAP_BYTES = 256 * 1024
"""Bytes between two frames that a positioned read skips rather than reads; a map reads nothing it is not
asked for.
"""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Some rows of a segment and the bytes that hold their frames: `buffer` is the file from `start` on."""

    rows: slice | Rows
    start: int
    buffer: Any

    def row(self, at: int) -> int:
        """The row number of the row at place `at`."""
        return self.rows.start + at if isinstance(self.rows, slice) else int(self.rows[at])

    def places(self, segment: Any) -> tuple[Any, Any]:
        """Offsets into `buffer` and lengths of the frames."""
        entries = segment.rows[self.rows]
        return entries["offset"] - np.uint64(self.start), entries["length"].astype(np.uint32)


def windows(segment: Any, rows: slice | Rows, *, small: bool = False) -> Iterator[Window]:
    """Windows over the frames of `rows`, in their order: the whole map where there is one, else about
    `MAX_WINDOW_BYTES` each, as also where they have to be `small`.

    Offsets that go backwards, which no view has that the engine made, start a new window. Nothing outside the file is
    asked for, whatever the numbers are.
    """
    if segment.mapped and not small:
        yield Window(rows, 0, segment.window(0, segment.size_bytes))
        return
    numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
    offsets, lengths = take(segment.rows["offset"], rows), take(segment.rows["length"], rows)
    size = np.uint64(segment.size_bytes)
    good = np.flatnonzero((offsets <= size) & (lengths <= size - np.minimum(offsets, size)))
    starts = offsets[good].astype(np.int64)
    ends = starts + lengths[good]
    cuts = _cuts(starts, ends, None if segment.mapped else MAX_GAP_BYTES)
    edges = [0, *good[cuts[1:]].tolist(), len(numbers)]
    for position, (first, last) in enumerate(pairwise(edges)):
        low, high = _span(starts, ends, cuts, position)
        yield Window(as_slice(numbers[first:last]), low, segment.window(low, high))


def _cuts(starts: Rows, ends: Rows, max_gap: int | None) -> list[int]:
    """Where windows begin, as positions in `starts`; the first is 0 even where there are no frames."""
    broken = starts[1:] < ends[:-1]
    if max_gap is not None:
        broken |= starts[1:] - ends[:-1] > max_gap
    forced = [*(np.flatnonzero(broken) + 1).tolist(), len(starts)]
    cuts, at = [], 0
    for end in forced:
        while at < end:
            cuts.append(at)
            fits = int(np.searchsorted(ends[at:end], starts[at] + MAX_WINDOW_BYTES, side="right"))
            at += max(fits, 1)
    return cuts or [0]


def _span(starts: Rows, ends: Rows, cuts: list[int], position: int) -> tuple[int, int]:
    if not len(starts):
        return 0, 0
    last = cuts[position + 1] if position + 1 < len(cuts) else len(starts)
    return int(starts[cuts[position]]), int(ends[last - 1])


def release_pages(view: Any, chunk: Any) -> None:
    """Give the pages of a chunk's frames back to the system; they stay in the file cache and can be read again."""
    for group in chunk.groups:
        segment, rows = view.stretches[group.segment], group.rows
        first, last = (rows.start, rows.stop - 1) if isinstance(rows, slice) else (int(rows[0]), int(rows[-1]))
        low, end = segment.rows[first], segment.rows[last]
        segment.release(int(low["offset"]), int(end["offset"]) + int(end["length"]))
