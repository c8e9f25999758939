"""What stands between the events of a segment: markers of batches, and items of batches that were never committed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.engine.recovery import parse_rows
from batpak_analytics.engine.view import SegmentRows
from batpak_analytics.format.layout import (
    FRAME_OK,
    KIND_BATCH_BEGIN,
    KIND_BATCH_COMMIT,
    MAX_BATCH_RECOVERY_ITEMS,
)


class Between(NamedTuple):
    """Frames that are no committed event, in file order. `before` is how many rows of the segment precede each.

    `unread` are bytes of the gaps that are no frame: damage.
    """

    offsets: Any
    lengths: Any
    kinds: Any
    counts: Any
    before: Any
    unread: int


def frames_between(segment: SegmentRows) -> Between:
    """Every frame of the segment that its rows do not name. Cost: nothing where rows stand back to back."""
    lows, highs = _gaps(segment)
    if not len(lows):
        return _NOTHING
    offsets, lengths, unread = [np.empty(0, np.uint64)], [np.empty(0, np.uint32)], 0
    for low, high in zip(lows.tolist(), highs.tolist(), strict=True):
        found, sizes, stop, _ = kernels.walk_frames(segment.window(low, high), 0, high - low)
        offsets.append(found + np.uint64(low))
        lengths.append(sizes)
        unread += high - low - stop
    places, sizes = np.concatenate(offsets), np.concatenate(lengths)
    frames = parse_rows(segment.file, places, sizes)
    sound = frames["status"] == FRAME_OK
    unread += int(sizes[~sound].sum(dtype=np.uint64))
    places, sizes, frames = places[sound], sizes[sound], frames[sound]
    before = np.searchsorted(segment.rows["offset"], places)
    return Between(places, sizes, frames["kind"].copy(), frames["payload_size"].copy(), before, unread)


_NOTHING = Between(
    np.empty(0, np.uint64), np.empty(0, np.uint32), np.empty(0, np.uint16), np.empty(0, np.uint32),
    np.empty(0, np.int64), 0,
)  # fmt: skip


def _gaps(segment: SegmentRows) -> tuple[Any, Any]:
    """Where the frame region holds bytes that no row names."""
    rows = segment.rows
    ends = np.concatenate([[segment.frames_start], rows["offset"] + rows["length"]]).astype(np.int64)
    starts = np.concatenate([rows["offset"], [_region_end(segment)]]).astype(np.int64)
    gap = np.flatnonzero(starts > ends)
    return ends[gap], starts[gap]


def _region_end(segment: SegmentRows) -> int:
    return max(segment.frames_end, segment.frames_start)


def whole_batch_markers(segments: list[SegmentRows]) -> list[tuple[Any, Any]]:
    """(offsets, lengths) for each segment of the BEGIN and COMMIT markers that go into a merged one.

    They stand around whole batches, which may end in the next segment. A marker of any other batch would hide events
    that follow it, in 0.9.0. And a batch at the very end goes without: 0.9.0 takes sequence numbers from a footer only
    where the last event ends the frames (segments spec 6.3), and what is sealed whole needs no COMMIT.
    """
    between = [frames_between(segment) for segment in segments]
    starts = np.cumsum([0, *(segment.count for segment in segments)])
    before = np.concatenate([np.empty(0, np.int64), *(one.before + starts[at] for at, one in enumerate(between))])
    kinds = np.concatenate([np.empty(0, np.uint16), *(one.kinds for one in between)])
    counts = np.concatenate([np.empty(0, np.uint32), *(one.counts for one in between)])
    begins = np.zeros(len(kinds), bool)
    if len(kinds) > 1:
        pairs = (kinds[:-1] == KIND_BATCH_BEGIN) & (kinds[1:] == KIND_BATCH_COMMIT)
        items = before[1:] - before[:-1]
        begins[:-1] = pairs & (items == counts[:-1]) & (items >= 1) & (items <= MAX_BATCH_RECOVERY_ITEMS)
    whole = begins.copy()
    whole[1:] |= begins[:-1]
    at = np.flatnonzero(whole)
    if len(at) and before[at[-1]] == starts[-1]:
        whole[at[-2:]] = False
    edges = np.cumsum([0, *(len(one.kinds) for one in between)])
    return [
        (one.offsets[whole[low:high]], one.lengths[whole[low:high]])
        for one, low, high in zip(between, edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
