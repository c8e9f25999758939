"""Where to read: the byte ranges that cover the frames of some rows of a segment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from batpak_analytics.arrow.columns import take
from batpak_analytics.format.layout import FRAME_HEADER_SIZE, MAX_FRAME_PAYLOAD

MAX_WINDOW_BYTES = 32 * 1024 * 1024
MAX_WINDOW_ROWS = 4096
"""So few that parsed rows are still in the processor's cache when the next kernel reads them."""

MAX_GAP_BYTES = 256 * 1024
"""Bytes between two frames that a positioned read skips rather than reads; a map reads nothing it is not
asked for.
"""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Some rows of a segment and the bytes that hold their frames.

    `offsets` and `lengths` are relative to `buffer`. A row that points outside the file has zero for both,
    which no frame has, so parsing it gives FRAME_BOUNDS.
    """

    rows: Rows
    start: int
    buffer: Any
    offsets: npt.NDArray[np.uint64]
    lengths: npt.NDArray[np.uint32]


def windows(segment: Any, rows: Rows) -> Iterator[Window]:
    """Windows of at most `MAX_WINDOW_ROWS` and about `MAX_WINDOW_BYTES` over the frames of `rows`, in their order.

    Offsets that go backwards, which only a lying footer has, start a new window. Nothing outside the file is
    asked for, however large the numbers in a footer are.
    """
    offsets = take(segment.rows["offset"], rows).astype(np.uint64)
    lengths = take(segment.rows["length"], rows).astype(np.uint32)
    size = np.uint64(segment.size_bytes)
    inside = (offsets <= size) & (lengths >= FRAME_HEADER_SIZE)
    inside &= lengths <= FRAME_HEADER_SIZE + MAX_FRAME_PAYLOAD
    inside &= lengths <= size - np.minimum(offsets, size)
    good = np.flatnonzero(inside)
    starts = offsets[good].astype(np.int64)
    ends = starts + lengths[good]
    offsets[~inside], lengths[~inside] = 0, 0
    cuts = _cuts(starts, ends, None if segment.mapped else MAX_GAP_BYTES)
    firsts = [0, *good[cuts[1:]].tolist()]
    for position, first in enumerate(firsts):
        last = firsts[position + 1] if position + 1 < len(firsts) else len(rows)
        low, high = _span(starts, ends, cuts, position)
        part, held = slice(first, last), inside[first:last]
        relative = np.where(held, offsets[part] - np.uint64(low), np.uint64(0))
        yield Window(rows[part], low, segment.window(low, high), relative, lengths[part])


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
            most = min(end, at + MAX_WINDOW_ROWS)
            fits = int(np.searchsorted(ends[at:most], starts[at] + MAX_WINDOW_BYTES, side="right"))
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
        segment = view.segments[group.segment]
        first, last = (segment.rows[int(group.rows[at])] for at in (0, -1))
        segment.file.release(int(first["offset"]), int(last["offset"]) + int(last["length"]))
