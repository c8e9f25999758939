"""Batch envelopes: BEGIN with a count, that many events of one time, and the COMMIT of the same batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from batpak_analytics.engine.sequences import SYNTHESISED
from batpak_analytics.format.layout import KIND_BATCH_BEGIN
from batpak_analytics.proof.by_frame import NO_TIME
from batpak_analytics.proof.by_index import COMPARE
from batpak_analytics.proof.faults import Fault
from batpak_analytics.proof.gaps import NO_GAPS, Gaps, read_gaps


def check_batches(segment: Any, timestamps: Any) -> tuple[int, list[Fault]]:
    """(how many batches the segment has, what is wrong with them); `timestamps` are those of its rows."""
    gaps = read_gaps(segment)
    if gaps is NO_GAPS:  # nearly always, where no batch was appended
        return 0, []
    markers = np.flatnonzero(gaps.markers)
    begins = gaps.frames["kind"][markers] == KIND_BATCH_BEGIN
    return int(begins.sum()), list(_faults(segment, gaps, markers, begins, timestamps))


def _faults(segment: Any, gaps: Gaps, markers: Any, begins: Any, timestamps: Any) -> Iterator[Fault]:
    """Judge the markers in pairs; a BEGIN without COMMIT is what a crash leaves, and its items are not committed."""
    frames, before = gaps.frames, gaps.before
    follows = np.append(markers[1:], -1)
    paired = begins & np.append(~begins[1:], False)
    for marker in markers[begins & ~paired].tolist():
        yield _fault(segment, gaps, marker, "info", "batch-unfinished", "a batch was begun and never committed")
    alone = ~begins & np.concatenate([[True], ~begins[:-1]]) if len(markers) else begins
    for marker in markers[alone].tolist():
        meaning = "a COMMIT stands here, and no BEGIN before it"
        yield _fault(segment, gaps, marker, "warning", "batch-commit", meaning)
    opens, closes = markers[paired], follows[paired]
    first, count = before[opens], frames["payload_size"][opens].astype(np.int64)
    held = before[closes] - first
    other = frames["event_id"][opens] != frames["event_id"][closes]
    for at in np.flatnonzero(other | (held != count)).tolist():
        said = {"expected": f"{count[at]} events", "actual": f"{held[at]} events"}
        meaning = "the batch does not hold as many events as its BEGIN says, or another batch's COMMIT ends it"
        yield _fault(segment, gaps, int(opens[at]), "warning", "batch-count", meaning, **said)
    good = np.flatnonzero(~other & (held == count) & (count > 0))
    yield from _items(segment, gaps, opens[good], first[good], first[good] + held[good], timestamps)


def _items(segment: Any, gaps: Gaps, opens: Any, first: Any, stop: Any, timestamps: Any) -> Iterator[Fault]:
    """One time for all events of a batch, not after its BEGIN's, and the first one's sequence as its id."""
    if not len(opens):
        return
    edges = np.stack([first, stop], axis=1).reshape(-1)
    padded = np.append(timestamps, 0)  # reduceat wants a place for the last edge
    low, high = np.minimum.reduceat(padded, edges)[::2], np.maximum.reduceat(padded, edges)[::2]
    wrong = (low != NO_TIME) & ((low != high) | (high > gaps.frames["timestamp_us"][opens]))
    for at in np.flatnonzero(wrong).tolist():
        meaning = "the events of a batch share one time, not after that of its BEGIN, and these do not"
        yield _fault(segment, gaps, int(opens[at]), "warning", "batch-time", meaning)
    halves = np.ascontiguousarray(gaps.frames["event_id"][opens]).view(">u8").reshape(-1, 2)
    recorded = segment.source[first] != SYNTHESISED
    named = (halves[:, 0] == 0) & (halves[:, 1] == segment.sequence[first])
    for at in np.flatnonzero(recorded & ~named).tolist():
        meaning = "the id of a batch is the sequence number of its first event, and here it is another"
        said = {"expected": str(segment.sequence[first[at]]), "actual": str(halves[at, 1])}
        yield _fault(segment, gaps, int(opens[at]), "info", "batch-id", meaning, **said)


def _fault(segment: Any, gaps: Gaps, at: int, severity: Any, rule: str, meaning: str, **said: Any) -> Fault:
    return Fault(severity, rule, meaning, COMPARE, segment.segment_id, int(gaps.offsets[at]), **said)
