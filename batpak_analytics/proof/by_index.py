"""The rules that index rows alone decide: links, clocks, sequences, ids and the names of segments."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from batpak_analytics.errors import FormatError
from batpak_analytics.format.layout import MAX_SEGMENT_HEADER, SEGMENT_PREFIX_SIZE, FooterState
from batpak_analytics.format.segment import read_segment_header
from batpak_analytics.proof.faults import Fault
from batpak_analytics.proof.links import Link, Links
from batpak_analytics.proof.rows import AllRows

COMPARE = "Compare with a backup or a fork of the store, and with an earlier checkpoint."
_LINK_FAULTS: dict[Link, tuple[str, Any, str]] = {
    Link.MISMATCH: (
        "link-mismatch",
        "error",
        "the event before it on its chain has another hash than the one it names",
    ),
    Link.FORKED: ("link-forked", "error", "another event has the same place in the chain and the same parent"),
    Link.PARENT_MISSING: (
        "link-missing",
        "warning",
        "the event before it is not there: a compaction dropped it, or it was removed",
    ),
    Link.AMBIGUOUS: (
        "link-ambiguous",
        "warning",
        "the event before it is not there, and only another event of the entity has the hash it names",
    ),
}


def fault_at(rows: AllRows, row: int, severity: Any, rule: str, meaning: str, **said: Any) -> Fault:
    """A fault at the place of a row."""
    segment, at = rows.place(row)
    offset = int(segment.rows["offset"][at])
    return Fault(severity, rule, meaning, COMPARE, segment.segment_id, offset, rows.event(row), **said)


def check_links(rows: AllRows, links: Links) -> Iterator[Fault]:
    """Links that do not hold."""
    for state, (rule, severity, meaning) in _LINK_FAULTS.items():
        for row in np.flatnonzero(links.state == state).tolist():
            named = bytes(rows.columns["prev_hash"][row]).hex()
            yield fault_at(rows, row, severity, rule, meaning, expected=named, actual=_hash_before(rows, links, row))


def _hash_before(rows: AllRows, links: Links, row: int) -> str | None:
    parent = int(links.parent[row])
    return bytes(rows.columns["event_hash"][parent]).hex() if parent >= 0 else None


def check_clocks(rows: AllRows) -> Iterator[Fault]:
    """Wall clocks that run backwards along a chain, which the writer never lets them (engine-read.md 19.1).

    Sequence numbers ascend along it too, but 0.9.0 gives numbers anew after some crashes (T-1): that is a warning.
    """
    order = rows.order
    group, clock = rows.groups[0][order], rows.columns["clock"][order]
    wall, sequence = rows.columns["wall_ms"][order], rows.sequence[order]
    follows = (group[1:] == group[:-1]) & (clock[1:] != clock[:-1])
    for at in (np.flatnonzero(follows & (wall[1:] < wall[:-1])) + 1).tolist():
        meaning = "its wall clock is before that of the event before it on its chain"
        said = {"expected": f"at least {wall[at - 1]}", "actual": str(wall[at])}
        yield fault_at(rows, int(order[at]), "error", "clock-backwards", meaning, **said)
    for at in (np.flatnonzero(follows & (sequence[1:] <= sequence[:-1])) + 1).tolist():
        meaning = "its sequence number is not above that of the event before it on its chain"
        said = {"expected": f"above {sequence[at - 1]}", "actual": str(sequence[at])}
        yield fault_at(rows, int(order[at]), "warning", "sequence-order", meaning, **said)


def check_sequences(rows: AllRows) -> Iterator[Fault]:
    """Sequence numbers that are used twice or for no event that is there or was taken back."""
    if not len(rows):
        return
    kept = np.flatnonzero(~_second_copies(rows))
    ordered = rows.sequence[kept]
    order = kept
    for at in (np.flatnonzero(ordered[1:] < ordered[:-1]) + 1).tolist():
        meaning = "its sequence number is below that of the event before it in the files"
        said = {"expected": f"above {ordered[at - 1]}", "actual": str(ordered[at])}
        yield fault_at(rows, int(kept[at]), "warning", "sequence-order", meaning, **said)
    if bool((ordered[1:] < ordered[:-1]).any()):
        order = kept[np.argsort(ordered, kind="stable")]
        ordered = rows.sequence[order]
    for at in (np.flatnonzero(ordered[1:] == ordered[:-1]) + 1).tolist():
        meaning = "another event has the same sequence number"
        yield fault_at(rows, int(order[at]), "warning", "sequence-repeated", meaning, actual=str(ordered[at]))
    holes = np.flatnonzero(np.diff(ordered.astype(np.int64)) > 1).tolist()
    hidden = rows.view.hidden.ranges
    for at in [-1, *holes]:
        low = int(ordered[at]) + 1 if at >= 0 else 0
        high = int(ordered[at + 1])
        if low < high and not _inside(low, high, hidden):
            # Not a warning: an append that fails leaves its numbers unused, as 0.9.0 does with a whole batch.
            meaning = "no event has the sequence numbers before this one: an append failed, a compaction or somebody "
            said = {"expected": _numbers(low, high), "actual": "none"}
            yield fault_at(rows, int(order[at + 1]), "info", "sequence-missing", meaning + "dropped them", **said)


def _numbers(low: int, high: int) -> str:
    return str(low) if high == low + 1 else f"{low} to {high - 1}"


def _inside(low: int, high: int, ranges: Any) -> bool:
    """Whether `[low, high)` lies in the ranges, which are ascending and apart."""
    for start, end in ranges:
        if start <= low < end:
            low = end
    return low >= high


def _second_copies(rows: AllRows) -> Any:
    """Rows that are left out and not hidden: they repeat an event."""
    if not rows.excluded.any():
        return rows.excluded
    hidden = np.zeros(len(rows), bool)
    for start, end in rows.view.hidden.ranges:
        hidden |= (rows.sequence >= np.uint64(start)) & (rows.sequence < np.uint64(end))
    return rows.excluded & ~hidden


def check_segments(view: Any) -> Iterator[Fault]:
    """Holes in the numbers of the segment files.

    A compaction leaves one behind its output. That of 0.9.0 has no footer (engine-read.md 13.3); that of this package
    has one, and was made after the segment behind it, which was being written then.
    """
    present = [segment for segment in view.segments if segment.role != "moved-aside"]
    if present and present[0].segment_id > 1:
        yield _hole(1, present[0].segment_id, present[0].segment_id)
    for left, right in pairwise(present):
        hole = right.segment_id > left.segment_id + 1
        if hole and left.footer_state != FooterState.ABSENT.value and _created_ns(left) <= _created_ns(right):
            yield _hole(left.segment_id + 1, right.segment_id, right.segment_id)


def _created_ns(segment: Any) -> int:
    """When its header says that the segment was begun; 0 where it says nothing."""
    try:
        return read_segment_header(
            segment.window(0, min(segment.size_bytes, SEGMENT_PREFIX_SIZE + MAX_SEGMENT_HEADER))
        ).created_ns
    except FormatError:
        return 0


def _hole(low: int, high: int, segment: int) -> Fault:
    meaning = "there is no segment file of these numbers, and no compaction explains it"
    return Fault("warning", "segment-missing", meaning, COMPARE, segment, expected=_numbers(low, high), actual="none")
