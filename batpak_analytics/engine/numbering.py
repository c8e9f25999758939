"""What the rows of a view have besides themselves: numbers, what is hidden, and commit order. Found out when asked for.

A count needs no number and a scan of one entity no commit order, and both cost a pass over all rows and the index
image. All inputs were pinned when the view was made, so it makes no difference when this is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.engine.duplicates import drop_duplicates
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.recount import Recount, may_swallow, recount, report_swallowed
from batpak_analytics.engine.sequences import (
    SYNTHESISED,
    Numbers,
    ascending,
    assign_sequences,
    given_again,
    in_file_order,
)
from batpak_analytics.engine.stretches import AnyScan, StretchScan
from batpak_analytics.engine.visibility import hidden_rows, report_given_twice
from batpak_analytics.format.sidecars.image import IndexImage
from batpak_analytics.format.sidecars.visibility import HiddenRanges
from batpak_analytics.format.survey import ids_differ

TIME = 16
"""Above these bits of its upper half, an id that is a UUIDv7 holds the milliseconds."""


@dataclass(frozen=True, slots=True)
class Run:
    """Rows `start` to `stop` of one segment, consecutive in commit order."""

    segment: int
    start: int
    stop: int


class Numbered:
    """What the numbering of a view says of the rows of one of its parts."""

    __slots__ = ()
    numbering: Any
    position: int

    @property
    def sequence(self) -> Any:
        """The global sequence of each row."""
        return self.numbering.sequence(self.position)

    @property
    def source(self) -> Any:
        """Where each row's sequence came from, as an index into `SOURCE_NAMES`."""
        return self.numbering.source(self.position)

    @property
    def excluded(self) -> Any:
        """True for rows that are never shown: hidden by a cancelled fence, or a second copy of the same event."""
        return self.numbering.excluded(self.position)

    @property
    def hides_rows(self) -> bool:
        """Whether `excluded` is True anywhere; cheaper to ask than `excluded`."""
        hides: bool = self.numbering.hides(self.position)
        return hides


class Numbering:
    """Sequences, sources, excluded rows and runs of the segments of one view. Safe to share between threads."""

    def __init__(
        self,
        scans: list[AnyScan],
        load_image: Callable[[Problems], IndexImage | None],
        hidden: HiddenRanges,
        problems: Problems,
    ) -> None:
        self._scans, self._load_image, self._hidden, self._problems = scans, load_image, hidden, problems
        self._lock = threading.RLock()
        self._found: dict[str, Any] = {}

    def _once(self, name: str, find: Callable[[], Any]) -> Any:
        """What `find` gives, found by one thread and kept.

        Not a `cached_property`: before Python 3.12 that holds a lock of its own, and two locks can deadlock.
        """
        if name not in self._found:
            with self._lock:
                if name not in self._found:
                    self._found[name] = find()
        return self._found[name]

    def settle(self) -> Problems:
        """Find everything out; what was found wrong on the way."""
        _ = self._numbers, self._masks
        return self._problems

    @property
    def _numbers(self) -> Numbers:
        return self._both[1]

    @property
    def _both(self) -> tuple[Numbers, Numbers]:
        """The numbers that image and footers give, by which events were hidden; and those that are shown.

        They differ where the reference gave a number again; the order that it shows is then that of the files.
        """
        found: tuple[Numbers, Numbers] = self._once("numbers", self._find_numbers)
        return found

    @property
    def _image(self) -> IndexImage | None:
        image: IndexImage | None = self._once("image", lambda: self._load_image(self._problems))
        return image

    @property
    def _recount(self) -> Recount | None:
        """What the reference, opening the store now, would count anew."""
        found: Recount | None = self._once("recount", lambda: recount(self._scans, self._image))
        return found

    def _find_numbers(self) -> tuple[Numbers, Numbers]:
        image = self._image
        recorded = assign_sequences(self._scans, image)
        if not may_swallow(self._scans) and not given_again(recorded[0]):
            return recorded, recorded
        found = self._recount
        if found is None or self._is_settled(recorded[0], found):
            return recorded, recorded
        numbers = assign_sequences(self._scans, image, found.only_swallowed)
        unseen = {index: rows & (numbers[1][index] == SYNTHESISED) for index, rows in found.swallowed.items()}
        report_swallowed(self._scans, unseen, self._problems)  # those that no image knows
        return recorded, ascending(numbers)

    def _is_settled(self, recorded: list[Any], found: Recount) -> bool:
        """Whether the reference shows the recorded numbers too, repeated ones as well, or an order of its own."""
        counted = assign_sequences(self._scans, self._image, found)[0]
        if not in_file_order(counted):
            return True
        return not any(rows.any() for rows in found.swallowed.values()) and _same(counted, recorded)

    @property
    def is_recounted(self) -> bool:
        """Whether events are shown with other numbers than image and footers give."""
        recorded, shown = self._both
        return recorded is not shown and not _same(recorded[0], shown[0])

    def recorded(self, segment: int) -> Any:
        """The sequence of each row by image and footers alone: what it was when events were hidden."""
        return self._both[0][0][segment]

    def sequence(self, segment: int) -> Any:
        """The global sequence of each row."""
        return self._numbers[0][segment]

    def kept(self, segment: int) -> Any:
        """The sequence to write down when a file is mended: the recorded one where hidden ranges name such numbers."""
        return self.recorded(segment) if self._hidden.ranges else self.sequence(segment)

    @property
    def hides_otherwise(self) -> bool:
        """Whether hidden ranges would hide other events if each had the number that it is shown with."""
        if not self._hidden.ranges or not self.is_recounted:
            return False
        by_recorded, by_shown = ([self._hidden.hides(sequence) for sequence in numbers] for numbers, _ in self._both)
        return not _same(by_recorded, by_shown)

    def source(self, segment: int) -> Any:
        """Where each number came from."""
        return self._numbers[1][segment]

    def frame_bytes(self, segment: int) -> int:
        """Bytes of the frames of all rows, which whoever has looked through them knows."""
        scan = self._scans[segment]
        known = scan.facts if isinstance(scan, StretchScan) else scan.survey
        return known.frame_bytes if known else int(self.lengths(segment).sum(dtype=np.uint64))

    def lengths(self, segment: int) -> Any:
        """Bytes of the frame of each row."""
        return self._scans[segment].rows["length"]

    def hides(self, segment: int) -> bool:
        """Whether any row is never shown."""
        masks = self._masks
        return masks is not None and bool(masks[segment].any())

    def excluded(self, segment: int) -> Any:
        """Which rows are never shown."""
        masks = self._masks
        return np.broadcast_to(False, self._scans[segment].count) if masks is None else masks[segment]

    @property
    def _masks(self) -> list[Any] | None:
        """For each segment, which rows are never shown; None where all are."""
        found: list[Any] | None = self._once("masks", self._find_masks)
        return found

    def _find_masks(self) -> list[Any] | None:
        unique = self._ids_differ()
        if unique and not self._hidden.ranges:
            return None
        if self._hidden.ranges:
            numbers, sources = self._both[0]
            found = hidden_rows(self._scans, numbers, sources, self._counted_anew, self._hidden, self._problems)
            if self.is_recounted:
                report_given_twice(self._scans, numbers, found, self._problems)
        else:
            found = [np.zeros(scan.count, bool) for scan in self._scans]
        if not unique:
            drop_duplicates(self._scans, lambda: self._numbers[0], found, self._problems)
        return found

    @property
    def _counted_anew(self) -> list[Any]:
        """The numbers to which that comes: those of the reference's next sessions follow."""
        anew = self._recount
        numbers: list[Any] = self._both[0][0] if anew is None else assign_sequences(self._scans, self._image, anew)[0]
        return numbers

    def _ids_differ(self) -> bool:
        """Whether no two events share an id, as far as their order shows it; False asks for a closer look."""
        moment: list[Any] = []  # the ids of the segments that hold the last moment so far
        reached = 0
        for scan in self._scans:
            if not scan.count:
                continue
            if not (scan.survey or kernels.survey_rows(scan.rows)).ids_differ:
                return False
            head, tail = scan.edge_ids
            first, last = int(head[0, 1]) >> TIME, int(tail[-1, 1]) >> TIME
            if moment and first < reached:
                return False
            # The events of one moment may stand on both sides of the edge between two segments.
            same = bool(moment) and first == reached
            if same and not ids_differ(_of_one_moment([*moment, head], reached)):
                return False
            moment = [*(moment if same and last == reached else ()), tail]
            reached = last
        return True

    @property
    def runs(self) -> tuple[Run, ...]:
        """Row ranges in commit order: by global sequence, and by place in the files where numbers repeat."""
        found: tuple[Run, ...] = self._once("runs", self._find_runs)
        return found

    def _find_runs(self) -> tuple[Run, ...]:
        filled = [index for index, scan in enumerate(self._scans) if scan.count]
        sequences = self._numbers[0]
        if self._ascending(filled):
            return tuple(Run(index, 0, len(sequences[index])) for index in filled)
        where = np.concatenate([np.full(len(sequences[index]), index) for index in filled])
        row = np.concatenate([np.arange(len(sequences[index])) for index in filled])
        order = np.argsort(np.concatenate([sequences[index] for index in filled]), kind="stable")
        where, row = where[order], row[order]
        breaks = np.flatnonzero((np.diff(where) != 0) | (np.diff(row) != 1)) + 1
        edges = [0, *breaks.tolist(), len(row)]
        return tuple(Run(int(where[start]), int(row[start]), int(row[stop - 1]) + 1) for start, stop in pairwise(edges))

    def _ascending(self, filled: list[int]) -> bool:
        last = -1
        for index in filled:
            scan, sequence = self._scans[index], self._numbers[0][index]
            known = scan.survey is not None and scan.survey.sequence_ascends and scan.records(sequence)
            if int(sequence[0]) < last or not (known or bool((sequence[1:] >= sequence[:-1]).all())):
                return False
            last = int(sequence[-1])
        return True


def _same(some: list[Any], others: list[Any]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))


def _of_one_moment(parts: list[Any], time: int) -> Any:
    """The ids that have this time."""
    return np.concatenate([words[words[:, 1] >> np.uint64(TIME) == time] for words in parts])
