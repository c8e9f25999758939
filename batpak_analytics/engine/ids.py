"""Where the event with an id stands: ids folded to 64 bits, in sorted runs of which few are ever searched.

A row has an ordinal, its place when the rows of all segments are counted through. Rows are only ever added behind the
others, so what is known of the first rows stays true when a store grows: an index is extended by a run of the new rows,
and runs are merged before they are many. Two ids may fold to one number, so whoever asks compares the ids themselves.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from batpak_analytics.engine.view import SegmentRows, View
from batpak_analytics.format.survey import fold_id, fold_ids

RATIO = 4
"""Two neighbouring runs become one when the earlier is not so many times longer."""


class _Run(NamedTuple):
    """Folds in ascending order, and the ordinals of their rows; equal folds by ordinal."""

    folds: np.ndarray[tuple[int], np.dtype[np.uint64]]
    ordinals: np.ndarray[tuple[int], np.dtype[np.uint32]]

    def merged(self, later: _Run) -> _Run:
        """Of both."""
        folds = np.concatenate([self.folds, later.folds])
        return _sorted(folds, np.concatenate([self.ordinals, later.ordinals]))


def _sorted(folds: Any, ordinals: Any) -> _Run:
    order = np.argsort(folds, kind="stable")  # which merges two runs as fast as it can
    return _Run(folds[order], ordinals[order])


@dataclass(frozen=True, slots=True, eq=False)
class IdIndex:
    """An index of the first `count` rows. Takes 12 bytes a row; threads may share it."""

    runs: tuple[_Run, ...] = ()
    count: int = 0

    def extended(self, ids: Iterable[Any]) -> IdIndex:
        """With the rows that follow; `ids` are arrays of little-endian ids."""
        folds = [fold_ids(some) for some in ids if len(some)]
        added = sum(map(len, folds))
        if not added:
            return self
        ordinals = np.arange(self.count, self.count + added, dtype=np.uint32)
        runs = [*self.runs, _sorted(np.concatenate(folds), ordinals)]
        while len(runs) > 1 and len(runs[-2].folds) <= RATIO * len(runs[-1].folds):
            runs[-2:] = [runs[-2].merged(runs[-1])]
        return IdIndex(tuple(runs), self.count + added)

    def candidates(self, key: bytes) -> list[int]:
        """The ordinals of the rows that may have this id (16 big-endian bytes)."""
        wanted = np.uint64(fold_id(key))
        found = []
        for folds, ordinals in self.runs:
            at = int(folds.searchsorted(wanted))
            while at < len(folds) and folds[at] == wanted:
                found.append(int(ordinals[at]))
                at += 1
        return found


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event is: its segment, its row there and its global sequence."""

    segment: SegmentRows
    row: int
    global_sequence: int


def place_of(
    key: bytes, ordinals: Iterable[int], segments: Sequence[SegmentRows], starts: Sequence[int]
) -> Place | None:  # fmt: skip
    """Of the rows with these ordinals, the one that has the id and is shown; the latest where several are.

    `starts` has the ordinal of each segment's first row.
    """
    stored = key[::-1]
    best: Place | None = None
    for ordinal in ordinals:
        at = bisect_right(starts, ordinal) - 1
        segment, row = segments[at], ordinal - starts[at]
        if segment.rows["event_id"][row].tobytes() != stored or (segment.hides_rows and segment.excluded[row]):
            continue
        sequence = int(segment.sequence[row])
        if best is None or sequence >= best.global_sequence:
            best = Place(segment, row, sequence)
    return best


class _Ids(NamedTuple):
    """Of one view."""

    known: IdIndex
    starts: list[int]


def find(view: View, key: bytes) -> Place | None:
    """The visible event with this id, the later one where two share it.

    Cost: the first call on a view sorts all ids, 0.1 s for a million; then a search.
    """
    ids = view.cache.get("ids")
    if ids is None:
        with view.lock:
            ids = view.cache.get("ids") or _of_view(view)
            view.cache["ids"] = ids
    return place_of(key, ids.known.candidates(key), view.segments, ids.starts)


def _of_view(view: View) -> _Ids:
    starts = list(accumulate((len(segment.rows) for segment in view.segments), initial=0))
    before: IdIndex = view.cache.pop("ids-before", None) or IdIndex()
    added = [
        segment.rows["event_id"][max(before.count - start, 0) :]
        for segment, start in zip(view.segments, starts, strict=False)
        if start + len(segment.rows) > before.count
    ]
    return _Ids(before.extended(added), starts[:-1])


def carry(old: View, new: View) -> None:
    """Lend `new` what is known of the rows of `old`, where `new` has the same and maybe more behind them."""
    ids: _Ids | None = old.cache.get("ids")
    waiting: IdIndex | None = old.cache.get("ids-before")
    index = ids.known if ids else waiting
    if index is not None and _continues(old.segments, new.segments):
        new.cache["ids-before"] = index


def _continues(old: Sequence[SegmentRows], new: Sequence[SegmentRows]) -> bool:
    if len(old) > len(new):
        return False
    for place, (was, now) in enumerate(zip(old, new, strict=False)):
        count = len(was.rows)
        grown = len(now.rows) > count and place == len(old) - 1
        if not was.file.identity.same_file(now.file.identity) or not (grown or len(now.rows) == count):
            return False
        if count and now.rows["event_id"][count - 1] != was.rows["event_id"][count - 1]:
            return False
    return True
