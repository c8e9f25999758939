"""Whether anything is missing where a segment ends in a part of a frame, and another session went on behind it.

A writer that dies in the middle of a write and a file of which the end was cut off leave the same bytes. What follows
tells them apart. After a crash the next session begins with its opening event, which has the next number, and every
lane goes on with its next clock (segments spec 2.7, 2.10). Where a number or a clock was passed over, events that had
been acknowledged stood in what is gone.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from batpak_analytics.engine.view import SegmentRows, View
from batpak_analytics.format.layout import KIND_OPEN_COMPLETED
from batpak_analytics.model import Finding

_LANE_BITS = np.uint64(32)


def is_cut(finding: Finding) -> bool:
    """Whether it tells of a part of a frame with another segment behind it."""
    return (finding.rule, finding.severity) == ("unfinished-tail", "warning")


def missing_behind_cuts(view: View) -> dict[int, str]:
    """What is missing, by the id of the segment whose end it stood in; empty where nothing is.

    Cost: one pass over the index rows where a segment is cut, kept with the view.
    """
    cut = {one.segment for one in view.findings if one.segment is not None and is_cut(one)}
    if not cut:
        return {}
    found: dict[int, str] | None = view.cache.get("missing-behind-cuts")
    if found is None:
        found = view.cache["missing-behind-cuts"] = _Walk(cut).over(view.segments)
    return found


class _Walk:
    """Segment by segment: what each lane and the numbers have reached, and where the cuts are."""

    def __init__(self, cut: set[int]) -> None:
        self._cut = cut
        self._missing: dict[int, str] = {}
        self._reached: dict[tuple[str, int], tuple[int, int]] = {}  # by lane: its highest clock, and in which segment
        self._last_sequence = -1
        self._passed: list[int] = []  # the ids of the cut segments so far
        self._behind_cut = False

    def over(self, segments: Iterable[SegmentRows]) -> dict[int, str]:
        """What is missing, by segment."""
        for segment in segments:
            if segment.count:
                self._meet_session(segment)
                self._meet_lanes(segment)
                self._last_sequence = max(self._last_sequence, int(segment.sequence.max()))
                self._behind_cut = False
            if segment.segment_id in self._cut:
                self._passed.append(segment.segment_id)
                self._behind_cut = True
        return self._missing

    def _meet_session(self, segment: SegmentRows) -> None:
        """The first event behind a cut is that of an opening, and has the next number."""
        if not self._behind_cut:
            return
        first, number = segment.rows[0], int(segment.sequence[0])
        if first["kind"] != KIND_OPEN_COMPLETED:
            self._tell(self._passed[-1], f"{segment.name} goes on without the opening of a session")
        elif number > self._last_sequence + 1:
            count = number - self._last_sequence - 1
            self._tell(self._passed[-1], f"{segment.name} begins with sequence {number}, so {count} events are missing")

    def _meet_lanes(self, segment: SegmentRows) -> None:
        for lane, (first, top) in _clocks(segment).items():
            reached, where = self._reached.get(lane, (-1, -1))
            between = [one for one in self._passed if one >= where]
            if first > reached + 1 and between:
                entity, number = lane
                what = f"lane {number} of {entity!r} goes on in {segment.name} with clock {first}, after {reached}"
                self._tell(between[-1], what if reached >= 0 else what.replace("goes on", "begins").partition(",")[0])
            self._reached[lane] = max(reached, top), segment.segment_id

    def _tell(self, segment_id: int, what: str) -> None:
        self._missing.setdefault(segment_id, what)


def _clocks(segment: SegmentRows) -> dict[tuple[str, int], tuple[int, int]]:
    """The first and the highest clock of each (entity, lane) of a segment."""
    rows = segment.rows
    code = {name: index for index, name in enumerate(segment.strings)}
    same = np.array([code[name] for name in segment.strings], np.uint64)  # a table may hold a string twice
    keys = same[rows["entity_idx"]] << _LANE_BITS | rows["lane"]
    lanes, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    top = np.zeros(len(lanes), np.uint32)
    np.maximum.at(top, inverse, rows["clock"])
    found = {}
    for lane, clock, highest in zip(lanes.tolist(), rows["clock"][first].tolist(), top.tolist(), strict=True):
        found[segment.strings[lane >> 32], lane & 0xFFFFFFFF] = clock, highest
    return found
