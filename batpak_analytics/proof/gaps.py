"""What stands between the committed events of a segment: batch markers, items never committed, damage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.engine.recovery import READ_AHEAD, pieces
from batpak_analytics.format.layout import (
    FRAME_DTYPE,
    FRAME_HEADER_SIZE,
    FRAME_OK,
    KIND_BATCH_BEGIN,
    KIND_BATCH_COMMIT,
)

FEW_GAPS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Gaps:
    """Frames outside the index rows of a segment, in file order, and the bytes that are no frame.

    `before` is, for each frame, the number of index rows before it.
    """

    offsets: Any
    lengths: Any
    frames: Any
    before: Any
    lost_bytes: int

    @property
    def markers(self) -> Any:
        """Which frames begin or commit a batch."""
        return (self.frames["kind"] == KIND_BATCH_BEGIN) | (self.frames["kind"] == KIND_BATCH_COMMIT)

    @property
    def dead_bytes(self) -> int:
        """Bytes of items that were never committed, of the BEGIN before them, and of what is no frame."""
        if not len(self.frames):
            return self.lost_bytes
        dead = ~self.markers
        begins = self.frames["kind"] == KIND_BATCH_BEGIN
        followed = np.append(dead[1:] & (self.before[1:] == self.before[:-1]), False)
        return self.lost_bytes + int(self.lengths[dead | (begins & followed)].sum(dtype=np.uint64))


NO_GAPS = Gaps(
    np.empty(0, np.uint64), np.empty(0, np.uint32), np.empty(0, FRAME_DTYPE), np.empty(0, np.int64), 0
)  # fmt: skip


def read_gaps(segment: Any) -> Gaps:
    """Walk the bytes of the frame region that no index row covers.

    Costs one look at each gap; where there are many, as in a store of small batches, one walk over all frames.
    """
    rows = segment.rows
    offsets = rows["offset"].astype(np.int64)
    ends = offsets + rows["length"].astype(np.int64)
    lows = np.concatenate([[segment.frames_start], ends])
    highs = np.append(offsets, segment.frames_end)
    at = np.flatnonzero(highs > lows)
    if not len(at):
        return NO_GAPS
    walked = _walk_all(segment) if len(at) > FEW_GAPS else None
    if walked is not None:
        starts, lengths = walked
        number = np.searchsorted(offsets, starts)
        listed = offsets[np.minimum(number, len(offsets) - 1)] == starts
        return _parsed(segment, starts[~listed], lengths[~listed], number[~listed], 0)
    places: list[tuple[int, int, int]] = []
    lost = 0
    for gap in at.tolist():
        low, high = int(lows[gap]), int(highs[gap])
        found, sizes, stop, _ = kernels.walk_frames(segment.window(low, high), 0, high - low)
        places += [(low + start, size, gap) for start, size in zip(found.tolist(), sizes.tolist(), strict=True)]
        lost += high - low - stop
    table = np.array(places, np.int64).reshape(-1, 3)
    return _parsed(segment, table[:, 0], table[:, 1], table[:, 2], lost)


def _walk_all(segment: Any) -> tuple[Any, Any] | None:
    """Offsets and lengths of all frames of a segment, or None where something between them is no frame."""
    starts, lengths = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    low, end = int(segment.frames_start), int(segment.frames_end)
    while low < end:
        high = min(low + READ_AHEAD, end)
        found, sizes, stop, _ = kernels.walk_frames(segment.window(low, high), 0, high - low)
        if stop == 0 or (high == end and low + stop < end):
            return None
        starts.append(found.astype(np.int64) + low)
        lengths.append(sizes.astype(np.int64))
        low += stop
    return np.concatenate(starts), np.concatenate(lengths)


def _parsed(segment: Any, starts: Any, sizes: Any, before: Any, lost: int) -> Gaps:
    offsets, lengths = starts.astype(np.uint64), sizes.astype(np.uint32)
    parts = [np.empty(0, FRAME_DTYPE)]
    for run, buffer, low in pieces(segment.file, offsets, lengths):
        parts.append(kernels.parse_frames(buffer, offsets[run] - np.uint64(low), lengths[run], check_crc=False))
    frames = np.concatenate(parts)
    good = (frames["status"] == FRAME_OK) & (lengths > FRAME_HEADER_SIZE)
    lost += int(lengths[~good].sum(dtype=np.uint64))
    return Gaps(offsets[good], lengths[good], frames[good], before[good], lost)
