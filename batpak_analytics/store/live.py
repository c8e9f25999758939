"""The rows of a store that is open for writing, those just appended included.

They are those of the view that the open made, then those of the segments sealed since, each mapped with its footer,
then those of the segment being written, which its writer keeps in memory anyway. So nothing is listed or scanned twice,
and no payload is held. The caller keeps threads apart; what is given out never changes.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from batpak_analytics.engine.filesystem import DescriptorCache, FileIdentity
from batpak_analytics.engine.ids import IdIndex, Place, place_of
from batpak_analytics.engine.listing import ListedSegment
from batpak_analytics.engine.mapping import SegmentFile, open_segment
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.segments import scan_segment
from batpak_analytics.engine.snapshot import Snapshot
from batpak_analytics.engine.view import SegmentRows, View
from batpak_analytics.format.layout import ID_SIZE, FooterState
from batpak_analytics.format.segment import canonical_name
from batpak_analytics.format.sidecars.visibility import HiddenRanges

if TYPE_CHECKING:
    from batpak_analytics.store.segment import ActiveSegment
    from batpak_analytics.store.writer import Writer

RECENT = 1024
"""Ids that are kept in a dict before they are sorted into the index."""


class LiveRows:
    """What queries on a store look at, and where the event with an id stands."""

    def __init__(self, view: View | None) -> None:
        """`view` is the store as it was found; None for a new one."""
        self._view = view
        self._in_order: bool | None = None if view else True
        self._descriptors = DescriptorCache()
        self._found_descriptors = view.descriptors if view else self._descriptors
        self._begin_with(view.segments if view else (), len(view.segments) if view else 0)

    def _begin_with(self, sealed: Iterable[SegmentRows], found: int) -> None:
        """Take these segments for those that are sealed, of which so many were there when the store was opened."""
        self._sealed: list[SegmentRows] = []
        self._segments: tuple[SegmentRows, ...] = ()
        self._starts = [0]
        for segment in sealed:
            self._add(segment)
        self._found = found
        self._index = IdIndex()
        self._recent: dict[bytes, int] = {}
        self._learned = 0

    def follow(self, writer: Writer) -> None:
        """Take the rows of what `writer` appends."""
        self._writer = writer
        self._hidden = writer.hidden
        self._begin(writer.segment)

    def snapshot(self) -> Snapshot:
        """What is visible now."""
        segments, view, known, writer = self._caught_up(), self._view, self._in_order, self._writer
        in_order = (lambda: view.in_order) if known is None and view is not None else lambda: known is not False
        keyset = None if view is None else view.keyset
        return Snapshot(segments, writer.hidden, in_order, writer.shown_below, keyset)

    def find(self, event_id: bytes) -> Place | None:
        """The event with this id; behind a fence that is open too, unless it was taken back."""
        segments = self._caught_up()
        self._learn_ids(segments)
        ordinals, recent = self._index.candidates(event_id), self._recent.get(event_id[::-1])
        return place_of(event_id, ordinals if recent is None else [*ordinals, recent], segments, self._starts)

    def catch_up(self) -> None:
        """Look at every segment that was sealed so far, while its file is there. Raises OSError."""
        self._caught_up()

    def first_sealed(self, gone: Collection[int]) -> SegmentRows | None:
        """The first segment with events that is sealed and not of these; None where that is the one being written."""
        return next((one for one in self._sealed if one.segment_id not in gone and one.count), None)

    def prepared(self, path: Path, segment_id: int) -> SegmentRows:
        """The rows of a sealed segment that does not count yet, for `replace`. Raises OSError, or what reading does."""
        file = self._opened(path)
        scan = scan_segment(ListedSegment(segment_id, file), Problems("raise"), last=False)
        rows = scan.rows
        if scan.footer_state != FooterState.TRUSTED:  # the first segment of a store is counted from 0
            rows = rows.copy()
            rows["global_sequence"] = np.arange(len(rows))
        return _own(file, segment_id, rows, scan.strings, _NOTHING)

    def replace(self, gone: Collection[int], segment: SegmentRows, path: Path) -> None:
        """From now on a prepared segment, at this path, stands for those of the ids `gone`, which are the lowest.

        `catch_up` was called in the same turn. Every other segment is one whose footer has the numbers that are shown:
        the view of the open is let go, and with it the files that are gone.
        """
        first = replace(segment, name=path.name, file=replace(segment.file, location=str(path), name=path.name))
        staying = [first, *(one for one in self._sealed if one.segment_id not in gone)]
        self._view, self._in_order = None, all_ascend(staying)
        self._begin_with([self._hidden_now(one) for one in staying], 0)

    def reopen(self, one: SegmentRows) -> None:
        """A segment was written anew under its name, with the numbers that are shown in its footer."""
        at = next(at for at, known in enumerate(self._sealed) if known.segment_id == one.segment_id)
        self._sealed[at] = self._hidden_now(self.prepared(Path(one.path), one.segment_id))
        self._segments = ()

    def _hidden_now(self, one: SegmentRows) -> SegmentRows:
        mask = self._writer.hidden.hides(one.rows["global_sequence"])
        return _own(one.file, one.segment_id, one.rows, one.strings, mask)

    def _opened(self, path: Path) -> SegmentFile:
        identity = FileIdentity.of(os.stat(path))
        return open_segment(str(path.parent), path.name, identity, self._descriptors, mapped=True)

    def close(self) -> None:
        """Let go of descriptors."""
        self._descriptors.close()
        self._found_descriptors.close()

    def _add(self, segment: SegmentRows) -> None:
        self._sealed.append(segment)
        self._starts.append(self._starts[-1] + len(segment.rows))

    def _caught_up(self) -> tuple[SegmentRows, ...]:
        """The segments, with what was appended since the last look."""
        writer = self._writer
        if self._active is not writer.segment:
            for segment_id in range(self._active.segment_id, writer.segment.segment_id):
                self._add(self._sealed_rows(segment_id))
            self._begin(writer.segment)
        if self._hidden is not writer.hidden:
            self._hide(writer.hidden)
        active = self._active
        if self._segments and self._segments[-1].size_bytes == active.size:
            return self._segments
        self._names += list(islice(reversed(active.strings), len(active.strings) - len(self._names)))[::-1]
        identity = self._identity._replace(size=active.size)
        file = SegmentFile(str(active.path), active.path.name, identity, None, self._descriptors)
        self._segments = *self._sealed, _own(file, active.segment_id, active.rows, self._names, self._mask)
        return self._segments

    def _begin(self, segment: ActiveSegment) -> None:
        """Go on to the segment that is being written now."""
        self._active = segment
        self._identity = FileIdentity.of(os.stat(segment.path))
        self._names: list[str] = []
        self._mask = _NOTHING
        self._segments = ()

    def _sealed_rows(self, segment_id: int) -> SegmentRows:
        """A segment that was sealed since the open: what it held in memory is in its footer now."""
        file = self._opened(self._active.path.with_name(canonical_name(segment_id)))
        scan = scan_segment(ListedSegment(segment_id, file), Problems("report"), last=False)
        return _own(file, segment_id, scan.rows, scan.strings, self._writer.hidden.hides(scan.rows["global_sequence"]))

    def _hide(self, hidden: HiddenRanges) -> None:
        """Take back what a fence that was cancelled had written; all of it since the open."""
        self._hidden = hidden
        self._segments = ()
        self._mask = hidden.hides(self._active.rows["global_sequence"])
        for place in range(self._found, len(self._sealed)):
            self._sealed[place] = self._hidden_now(self._sealed[place])

    def _learn_ids(self, segments: Sequence[SegmentRows]) -> None:
        count = self._starts[-1] + len(segments[-1].rows)
        if count - self._index.count > RECENT or self._index.count < self._starts[self._found]:
            self._index = self._index.extended(_ids_from(self._index.count, segments, self._starts))
            self._recent.clear()
        elif count > self._learned:
            data = b"".join(ids.tobytes() for ids in _ids_from(self._learned, segments, self._starts))
            for at in range(0, len(data), ID_SIZE):
                self._recent[data[at : at + ID_SIZE]] = self._learned + at // ID_SIZE
        self._learned = count


_NOTHING = np.empty(0, bool)


def all_ascend(segments: Sequence[SegmentRows]) -> bool:
    """Whether commit order is segment by segment, row by row."""
    last = -1
    for segment in segments:
        sequence = segment.sequence.astype(np.int64)
        if len(sequence) and (sequence[0] <= last or bool((np.diff(sequence) <= 0).any())):
            return False
        last = int(sequence[-1]) if len(sequence) else last
    return True


def _ids_from(first: int, segments: Sequence[SegmentRows], starts: Sequence[int]) -> list[Any]:
    """The ids of all rows from this ordinal on."""
    at = bisect_right(starts, first) - 1
    rest = [segments[at].rows["event_id"][first - starts[at] :]]
    return rest + [segment.rows["event_id"] for segment in segments[at + 1 :]]


class _OwnNumbering:
    """Of a segment written here: its numbers are in the rows, and few of its rows were ever taken back."""

    def __init__(self, rows: Any, mask: Any) -> None:
        """`mask` is True for a row that was taken back, and may be shorter than `rows`."""
        self._rows, self._mask = rows, mask if len(mask) and mask.any() else _NOTHING

    def sequence(self, segment: int) -> Any:
        return self._rows["global_sequence"]

    def kept(self, segment: int) -> Any:
        return self.sequence(segment)

    def hides(self, segment: int) -> bool:
        return bool(len(self._mask))

    def excluded(self, segment: int) -> Any:
        return np.concatenate([self._mask, np.zeros(len(self._rows) - len(self._mask), bool)])


def _own(file: SegmentFile, segment_id: int, rows: Any, strings: Any, mask: Any) -> SegmentRows:
    numbering: Any = _OwnNumbering(rows, mask)
    return SegmentRows(
        segment_id, file.name, file.location, "sealed" if file.map is not None else "tail", file.size_bytes,
        FooterState.TRUSTED.value if file.map is not None else FooterState.ABSENT.value, 0, file.size_bytes,
        rows, strings, numbering, 0, file,
    )  # fmt: skip
