"""Stretches: runs of small segments that are read as one, because nothing in them is unusual.

Every segment of a pack that is plain (see `format/plain.py`) needs nothing that is its own: no finding, no batch, no
look at its frames before a scan asks for events. So the rows of neighbours are joined into one array, with offsets
that count from the start of the pack and one string table. To numbering and to scans a stretch is what a segment is.
What tells about single files asks a row for its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.engine.coordinates import refused
from batpak_analytics.engine.joined_rows import ALL, MEMORY
from batpak_analytics.engine.listing import ListedSegment
from batpak_analytics.engine.packs import Pack
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.segments import SegmentScan, scan_segment
from batpak_analytics.format.layout import FOOTER_DTYPE, FOOTER_ENTRY_SIZE, FooterState
from batpak_analytics.format.survey import MAX_ALIKE, Survey, id_words

FEWEST = 8
"""Plain neighbours that are worth a stretch; fewer are read one by one."""


class _Source(NamedTuple):
    """Where the rows of some segments of a pack are: what `join_rows` takes."""

    buffer: Any
    starts: Any
    rows_start: Any
    rows: Any
    strings: Any
    codes: Any

    def join(self) -> Any:
        rows = MEMORY.take(int(self.rows.sum()) * FOOTER_ENTRY_SIZE).view(FOOTER_DTYPE)
        kernels.join_rows(*self, rows)
        return rows


class _Facts(NamedTuple):
    """What is asked of all rows, so that they need not be at hand."""

    survey: Survey
    edge_ids: tuple[Any, Any]
    used_strings: tuple[Any, Any]
    frame_bytes: int

    @classmethod
    def of(cls, rows: Any, strings: int) -> _Facts:
        words = id_words(rows["event_id"])
        edges = words[:MAX_ALIKE].copy(), words[-MAX_ALIKE:].copy()
        size = int(rows["length"].sum(dtype=np.uint64))
        return cls(kernels.survey_rows(rows), edges, kernels.used_strings(rows, None, strings), size)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class StretchScan:
    """What the segments `first` to `last` (exclusive) of a pack hold: what a `SegmentScan` says, for all of them.

    `bounds[i]` is the first row of the i-th of them; one entry more says how many rows there are.
    """

    pack: Pack
    first: int
    last: int
    bounds: Any
    source: _Source
    strings: tuple[str, ...]
    facts: _Facts
    singles: dict[int, SegmentScan] = field(default_factory=dict)

    lost_bytes = 0
    is_cut = False
    unfinished = False
    open_batch = None
    footer_state = FooterState.TRUSTED.value

    @property
    def rows(self) -> Any:
        """A `FOOTER_DTYPE` array of all rows, whose offsets count from the start of the pack."""
        return ALL.of(self, self.source.join)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.bounds[-1])

    @property
    def survey(self) -> Survey:
        """What was seen of the rows."""
        return self.facts.survey

    @property
    def edge_ids(self) -> tuple[Any, Any]:
        """The `id_words` of the first rows and of the last, `MAX_ALIKE` at most."""
        return self.facts.edge_ids

    def records(self, _: Any) -> bool:
        """Whether these are the numbers that the rows hold; nobody knows, as they were copied."""
        return False

    @property
    def recorded(self) -> Any:
        """The sequence of each row as its footer has it, in an array of its own: it may be needed for longer."""
        return self.rows["global_sequence"].copy()

    @property
    def numbered(self) -> Any:
        """Every number was recorded."""
        return np.broadcast_to(True, self.count)

    @property
    def listed(self) -> ListedSegment:
        """The first of the segments."""
        return self.member(0)

    def member(self, at: int) -> ListedSegment:
        """One of the segments by itself."""
        return ListedSegment(self.pack.ids[self.first + at], self.pack.file(self.first + at))

    def single(self, at: int) -> SegmentScan:
        """The scan of one of the segments by itself, kept from one view to the next."""
        found = self.singles.get(at)
        if found is None:  # two threads may both make it: the results are equal
            found = self.singles[at] = scan_segment(self.member(at), Problems(), last=False)
        return found

    def rows_of(self, at: int) -> slice:
        """The rows of one of the segments."""
        return slice(int(self.bounds[at]), int(self.bounds[at + 1]))

    def member_of(self, row: int) -> int:
        """Which of the segments a row is in."""
        return int(np.searchsorted(self.bounds, row, side="right")) - 1

    def place(self, row: int) -> tuple[ListedSegment, int]:
        """The segment of a row, and the offset of its frame there."""
        at = self.member_of(row)
        return self.member(at), int(self.rows["offset"][row]) - self.pack.starts[self.first + at]


AnyScan = SegmentScan | StretchScan


def stretches_of(pack: Pack) -> list[StretchScan | ListedSegment]:
    """The pack in stretches; what is not plain, or is left between, one by one."""
    starts, sizes = np.array(pack.starts, np.int64), np.array([one.size for one in pack.identities], np.int64)
    found = kernels.plain_segments(pack.buffer, starts, sizes, np.array(pack.ids, np.uint64))
    codes, texts = kernels.intern_strings(pack.buffer, found.string_starts, found.string_sizes)
    strings = [text.decode() for text in texts]
    plain = found.plain & _accepted(found, codes, strings)
    edges = np.flatnonzero(np.diff(plain, prepend=False, append=False)).tolist()
    parts: list[StretchScan | ListedSegment] = []
    at = 0
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        if last - first >= FEWEST:
            parts += _one_by_one(pack, at, first)
            parts.append(_stretch(pack, first, last, found, codes, strings))
            at = last
    return [*parts, *_one_by_one(pack, at, len(pack.ids))]


def _one_by_one(pack: Pack, first: int, last: int) -> Iterator[ListedSegment]:
    for member in range(first, last):
        yield ListedSegment(pack.ids[member], pack.file(member))


def _stretch(pack: Pack, first: int, last: int, found: kernels.Plain, codes: Any, strings: list[str]) -> StretchScan:
    """The plain segments `first` to `last`; `codes` number the `strings` of all plain segments of the pack."""
    here = slice(first, last)
    before, mine = int(found.strings[:first].sum()), int(found.strings[here].sum())
    codes = codes[before : before + mine]
    used = np.zeros(len(strings), bool)
    used[codes] = True
    own = (np.cumsum(used) - 1)[codes]
    source = _Source(
        pack.buffer, np.array(pack.starts[first:last], np.int64), found.rows_start[here], found.rows[here],
        found.strings[here], own.astype(np.uint32),
    )  # fmt: skip
    table = tuple(strings[code] for code in np.flatnonzero(used).tolist())
    bounds = np.concatenate([[0], np.cumsum(found.rows[here])])
    rows = source.join()
    scan = StretchScan(pack, first, last, bounds, source, table, _Facts.of(rows, len(table)))
    ALL.keep(scan, rows)  # for a while is too short: all other segments are looked at before a scan begins
    return scan


def _accepted(found: kernels.Plain, codes: Any, strings: list[str]) -> Any:
    """True for each segment whose strings could all have been written: of others there are findings."""
    bad = np.array([refused(text) is not None for text in strings], bool)
    if not bad.any():
        return True
    segment = np.repeat(np.arange(len(found.plain)), found.strings)
    return ~np.isin(np.arange(len(found.plain)), segment[bad[codes]])
