"""What 0.9.0 makes of a store in which a batch was begun and never committed.

Without a COMMIT it goes on to take the frames behind the batch for its items, those of the next segments too, until it
has as many as BEGIN says, and then drops them, and one more (segments spec 6.4, trap 2). A segment that it reads in
such a state it numbers anew, whatever the footer says. So in every session after that it gives numbers that were given
before. The events are there and were acknowledged: they are shown, with numbers of their own, and in their places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from batpak_analytics.engine.listing import ListedSegment
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.recovery import scan_frames
from batpak_analytics.engine.segments import SegmentScan
from batpak_analytics.engine.stretches import AnyScan, StretchScan
from batpak_analytics.format.layout import KIND_BATCH_BEGIN, KIND_BATCH_COMMIT, FooterState
from batpak_analytics.format.segment import canonical_name
from batpak_analytics.format.sidecars.image import IndexImage
from batpak_analytics.model import Finding


@dataclass(frozen=True, slots=True)
class Recount:
    """By the place of a scan: which of its rows 0.9.0 takes for items of an unfinished batch, and which it counts."""

    swallowed: dict[int, Any] = field(default_factory=dict)
    counted: dict[int, Any] = field(default_factory=dict)

    @property
    def only_swallowed(self) -> Recount:
        """The same, but for the segments that it merely counts."""
        return Recount(self.swallowed, self.swallowed)


NO_RECOUNT = Recount()


def may_swallow(scans: list[AnyScan]) -> bool:
    """Whether a batch was begun and never committed, and anything stands behind it."""
    return any(scan.unfinished for scan in scans) or any(scan.open_batch is not None for scan in scans[:-1])


def recount(scans: list[AnyScan], image: IndexImage | None) -> Recount | None:
    """What 0.9.0 would do with the segments, or None where it believes all footers.

    Cost: the frames of the segments with such a batch, and of those that it reads in the middle of one.
    """
    valid = image if image is not None and _is_valid(image, scans) else None
    if valid is None and all(scan.footer_state == FooterState.TRUSTED for scan in scans):
        return None
    found, machine = Recount(), _Batches()
    taken = []
    for index, scan in enumerate(scans):
        for part, rows in _segments(scan):
            if isinstance(scan, StretchScan) and not machine.open:
                break  # its segments hold nothing but events, and their footers say so
            reads = valid is None or part.listed.segment_id >= valid.watermark_segment
            if valid is not None and part.listed.segment_id == valid.watermark_segment:
                machine = _Batches()  # it begins to read here
            if reads and (machine.open or not _is_covered(part)):
                found.counted.setdefault(index, np.zeros(scan.count, bool))[rows] = True
            if machine.open or part.unfinished or part.open_batch is not None:
                frames = scan_frames(part.listed.file, part.frames_start, part.frames_end)
                dropped = machine.walk(frames.frames["kind"], frames.frames["payload_size"])
                taken.append((index, rows, part.rows["offset"], frames.offsets, dropped))
            if part.lost_bytes or part.is_cut:
                machine = _Batches()  # the last session that it began was the one behind this segment
    # Only now is it known what became of the frames with which it was waiting for a COMMIT.
    for index, rows, events, offsets, dropped in taken:
        swallowed = np.isin(events, offsets[dropped])
        for notes in (found.swallowed, found.counted):
            notes.setdefault(index, np.zeros(scans[index].count, bool))[rows] |= swallowed
    return found


def report_swallowed(scans: list[AnyScan], swallowed: dict[int, Any], problems: Problems) -> None:
    """One finding for each segment that has such events."""
    for index, rows in swallowed.items():
        if not rows.any():
            continue
        listed, offset = scans[index].place(int(np.flatnonzero(rows)[0]))
        problems.add(
            Finding("info", "events-swallowed", listed.segment_id, listed.file.name, offset,
                    f"0.9.0 takes {int(rows.sum())} events from here on for items of a batch that was never "
                    f"committed, and shows none of them.",
                    "They are events like any other, and are shown here; Store.open() brings them back for 0.9.0.")
        )  # fmt: skip


def _is_valid(image: IndexImage, scans: list[AnyScan]) -> bool:
    """Whether 0.9.0 believes the image (sidecars spec 6.2)."""
    name = canonical_name(image.watermark_segment)
    files = (listed.file for scan in scans for listed in _listed(scan))
    return any(file.name == name and file.size_bytes >= image.watermark_offset for file in files)


def _listed(scan: AnyScan) -> Iterator[ListedSegment]:
    if isinstance(scan, StretchScan):
        yield from (scan.member(at) for at in range(scan.last - scan.first))
    else:
        yield scan.listed


def _segments(scan: AnyScan) -> Iterator[tuple[SegmentScan, slice]]:
    """Each segment of a scan, and its rows there."""
    if isinstance(scan, StretchScan):
        for at in range(scan.last - scan.first):
            yield scan.single(at), scan.rows_of(at)
    else:
        yield scan, slice(0, scan.count)


def _is_covered(scan: SegmentScan) -> bool:
    """Whether 0.9.0 believes the footer: its last row ends where the frames do (segments spec 6.3)."""
    if scan.footer_state != FooterState.TRUSTED or not scan.count:
        return False
    last = scan.rows[-1]
    return int(last["offset"]) + int(last["length"]) == scan.frames_end


class _Batches:
    """The reference's state while it reads frames, kept from one segment to the next (segments spec 6.4)."""

    def __init__(self) -> None:
        self.open = False
        self._remaining = 0
        self._staged: list[Any] = []

    def walk(self, kinds: Any, counts: Any) -> Any:
        """Which of the frames it drops, by their kinds and the counts of items in them.

        While a batch is open, what the array says of its items changes when the COMMIT is met in a later segment.
        """
        dropped = np.zeros(len(kinds), bool)
        start = 0
        markers = np.flatnonzero((kinds == KIND_BATCH_BEGIN) | (kinds == KIND_BATCH_COMMIT))
        for marker in [*markers.tolist(), len(kinds)]:
            if self.open:
                self._take(dropped[start:marker])
            if marker < len(kinds):
                self._meet(int(kinds[marker]), int(counts[marker]))
            start = marker + 1
        return dropped

    def _take(self, frames: Any) -> None:
        items = frames[: self._remaining]
        items[:] = True
        self._staged.append(items)
        self._remaining -= len(items)
        if len(items) < len(frames):
            frames[len(items)] = True
            self._end()

    def _meet(self, kind: int, count: int) -> None:
        if kind == KIND_BATCH_BEGIN:
            self._end()
            self.open, self._remaining = True, count
        elif self.open:
            if self._remaining == 0:
                for items in self._staged:
                    items[:] = False
            self._end()

    def _end(self) -> None:
        self.open, self._remaining, self._staged = False, 0, []
