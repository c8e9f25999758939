"""Batches as moments: they are committed as one, so no moment lies inside of one (engine-read.md 19.9)."""

from __future__ import annotations

from typing import Any

import numpy as np

from batpak_analytics.format.layout import KIND_BATCH_BEGIN
from batpak_analytics.proof.gaps import read_gaps


def settled_at(view: Any, sequence: int) -> int:
    """The last sequence number up to `sequence` that does not cut a batch in two: -1 where the first batch is cut.

    Markers tell; where they are gone, as after a compaction that rewrote the events, every number is a moment.
    """
    span = _batch_around(view, sequence)
    return sequence if span is None or sequence >= span[1] else span[0] - 1


def _batch_around(view: Any, sequence: int) -> tuple[int, int] | None:
    """The first and the last sequence number of the batch that an event belongs to, None where it is in none."""
    wanted = np.uint64(sequence)
    for stretch in view.stretches:
        if not stretch.count or not bool((stretch.sequence == wanted).any()):
            continue
        for segment in view.segments if stretch.joined else (stretch,):
            rows = np.flatnonzero(segment.sequence == wanted)
            if len(rows):
                return _batch_in(segment, int(rows[0]))
    return None


def _batch_in(segment: Any, row: int) -> tuple[int, int] | None:
    gaps = read_gaps(segment)
    markers = np.flatnonzero(gaps.markers)
    begins = np.flatnonzero((gaps.frames["kind"][markers] == KIND_BATCH_BEGIN) & (gaps.before[markers] <= row))
    if not len(begins):
        return None
    begin = markers[begins[-1]]
    first = int(gaps.before[begin])
    stop = first + int(gaps.frames["payload_size"][begin])
    behind = markers[begins[-1] + 1 :]
    # Its COMMIT, or where that stands in the next segment the end of this one.
    closed = int(gaps.before[behind[0]]) == stop if len(behind) else stop == segment.count
    if not closed or not first <= row < stop:
        return None
    numbers = segment.sequence[first:stop]
    return int(numbers.min()), int(numbers.max())
