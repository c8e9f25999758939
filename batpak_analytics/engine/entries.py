"""The answer of a query: which rows, and the entries in them when they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np

from batpak_analytics.engine.ids import Place
from batpak_analytics.engine.view import SegmentRows
from batpak_analytics.format.layout import FOOTER_DTYPE, ZERO_ID
from batpak_analytics.markup import Html, clip, element, joined, plural, short_id, table
from batpak_analytics.model import EventKind, HashChain, IndexEntry, Position

AT_ONCE = 1024
_SHOWN = 10
_WIDEST = 80


class Entries(Sequence[IndexEntry]):
    """Entries of the index in the order of the query, made when they are looked at: 8 bytes each until then.

    A slice is another such sequence. What it shows never changes.
    """

    def __init__(self, segments: Sequence[SegmentRows], where: Any, rows: Any) -> None:
        """`where` and `rows` name the segment and the row of each entry."""
        self._segments, self._where, self._rows = segments, where, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> IndexEntry: ...
    @overload
    def __getitem__(self, index: slice) -> Entries: ...
    def __getitem__(self, index: int | slice) -> IndexEntry | Entries:
        if isinstance(index, slice):
            return Entries(self._segments, self._where[index], self._rows[index])
        (one,) = self._made(np.array([self._where[index]]), np.array([self._rows[index]]))
        return one

    def __iter__(self) -> Iterator[IndexEntry]:
        for first in range(0, len(self), AT_ONCE):
            here = slice(first, first + AT_ONCE)
            yield from self._made(self._where[here], self._rows[here])

    def _made(self, where: Any, rows: Any) -> Iterator[IndexEntry]:
        edges = [0, *(np.flatnonzero(where[1:] != where[:-1]) + 1).tolist(), len(where)]
        for start, stop in pairwise(edges):
            segment = self._segments[int(where[start])]
            here = rows[start:stop]
            for row, sequence in zip(segment.rows[here].tolist(), segment.sequence[here].tolist(), strict=True):
                yield entry_of(segment, row, sequence)

    def places(self) -> Iterator[Place]:
        """Where each entry stands, to read its frame."""
        return map(self.place, range(len(self)))

    def place(self, at: int) -> Place:
        """Where one of the events is."""
        segment, row = self._segments[int(self._where[at])], int(self._rows[at])
        return Place(segment, row, int(segment.sequence[row]))

    def by_segment(self) -> Iterator[tuple[SegmentRows, Any, Any]]:
        """For each segment, its rows in ascending order, and the places that they have here."""
        for position in np.unique(self._where).tolist():
            here = np.flatnonzero(self._where == position)
            here = here[np.argsort(self._rows[here], kind="stable")]
            yield self._segments[position], self._rows[here].astype(np.int64), here

    def taken(self, order: Any) -> Entries:
        """The entries at these places, in this order."""
        return Entries(self._segments, self._where[order], self._rows[order])

    @property
    def global_sequences(self) -> Any:
        """The global sequence of each entry, as a NumPy array of uint64."""
        return self._gathered(np.dtype(np.uint64), lambda segment, rows: segment.sequence[rows])

    def column(self, name: str) -> Any:
        """One field of the `FOOTER_DTYPE` rows behind the entries."""
        return self._gathered(FOOTER_DTYPE[name], lambda segment, rows: segment.rows[name][rows])

    def _gathered(self, kind: Any, take: Callable[[SegmentRows, Any], Any]) -> Any:
        found = np.empty(len(self), kind)
        for position in np.unique(self._where).tolist():
            here = self._where == position
            found[here] = take(self._segments[position], self._rows[here])
        return found

    def __repr__(self) -> str:
        shown = [f"  {one!r}" for one in self[:_SHOWN]]
        more = [f"  ... {len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        return "\n".join([f"Entries of {plural(len(self), 'event')}", *shown, *more])

    def _repr_html_(self) -> Html:
        return joined([element("b", "Entries"), f" of {len(self):,} events", _rows(self[:_SHOWN])])


def _rows(entries: Entries) -> Html:
    shown = list(entries)
    return table(
        {
            "sequence": [one.global_sequence for one in shown],
            "event": [short_id(one.event_id) for one in shown],
            "entity": [clip(one.entity, _WIDEST) for one in shown],
            "scope": [clip(one.scope, _WIDEST) for one in shown],
            "kind": [str(one.kind) for one in shown],
            "clock": [one.position.clock for one in shown],
            "lane": [one.position.lane for one in shown],
        }
    )


def entry_of(segment: SegmentRows, row: Sequence[Any], sequence: int) -> IndexEntry:
    """The entry of a `FOOTER_DTYPE` row, given as a sequence of its values."""
    (
        event_id, entity, scope, kind, wall_ms, clock, lane, depth, prev_hash, event_hash, offset, length, _,
        correlation_id, causation_id,
    ) = row  # fmt: skip
    return IndexEntry(
        event_id[::-1], correlation_id[::-1], None if causation_id == ZERO_ID else causation_id[::-1],
        segment.strings[entity], segment.strings[scope], EventKind(kind), Position(wall_ms, 0, depth, lane, clock),
        HashChain(prev_hash, event_hash), segment.segment_id, offset, length, sequence,
    )  # fmt: skip
