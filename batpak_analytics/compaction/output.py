"""The very bytes of the segment that a plan leaves behind, before anything is written.

Header, frames, footer. Frames that stay are copied byte for byte, encrypted ones too. A merge keeps the markers of
whole batches, but for one at the very end; a retention and a tombstone leave markers out, as 0.9.0 does (segments spec
2.12). Items of a batch that was never committed are left out by all three: 0.9.0's retention would make events of them
(engine-read.md T-9), and its merge would let them swallow what follows (segments spec, trap 2). Unlike 0.9.0, a footer
follows, with the numbers that the events have: without it 0.9.0 would count them anew (T-1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from batpak_analytics.compaction.markers import whole_batch_markers
from batpak_analytics.compaction.plan import CompactionPlan
from batpak_analytics.compaction.sources import sources_in
from batpak_analytics.compaction.tombstone import tombstone_lengths, tombstones
from batpak_analytics.engine.view import SegmentRows, View
from batpak_analytics.errors import CompactionPlanError
from batpak_analytics.format.codec import pack_array, pack_str
from batpak_analytics.format.footer import footer_pieces
from batpak_analytics.format.layout import (
    CATEGORY_EFFECT,
    CATEGORY_SYSTEM,
    FOOTER_CRC_SIZE,
    FOOTER_DTYPE,
    FOOTER_ENTRY_SIZE,
    FOOTER_TRAILER_SIZE,
    KIND_TOMBSTONE,
    KNOWN_EFFECT_KINDS,
    KNOWN_SYSTEM_KINDS,
    U32_MAX,
    FooterState,
)
from batpak_analytics.format.segment import canonical_name, encode_segment_header

PIECE_BYTES = 1 << 23
FIRST_CREATED_NS = U32_MAX + 1
"""From here a creation time takes nine bytes, and so does every one since four seconds after 1970 began."""


@dataclass(frozen=True, slots=True, eq=False)
class SourcePart:
    """What of one source goes into the output: frames at `offsets` of `lengths`, ascending.

    `row` is the row of each in the source, -1 for a marker; `marked` is True for those that become tombstones, and
    `new_lengths` what each takes in the output.
    """

    segment: SegmentRows
    offsets: Any
    lengths: Any
    row: Any
    marked: Any
    new_lengths: Any

    @property
    def events(self) -> int:
        """How many of the frames are events."""
        return int((self.row >= 0).sum())

    def used_strings(self) -> set[str]:
        """The entities and scopes of the events."""
        mask = None
        if self.events < self.segment.count:
            mask = np.zeros(self.segment.count, bool)
            mask[self.row[self.row >= 0]] = True
        entities, scopes = self.segment.used_strings(mask)
        both = zip(self.segment.strings, entities.tolist(), scopes.tolist(), strict=True)
        return {text for text, entity, scope in both if entity or scope}


@dataclass(frozen=True, eq=False)
class OutputLayout:
    """The output of a plan: its bytes in pieces, and how many they are. Nothing is written.

    Without a `footer` the file ends behind the frames, as those of 0.9.0 do.
    """

    segment_id: int
    parts: tuple[SourcePart, ...]
    footer: bool

    @property
    def name(self) -> str:
        """The file name that batpak would give it."""
        return canonical_name(self.segment_id)

    @property
    def rows(self) -> Any:
        """The rows of the footer, with the offsets in the new file and the numbers that the events have."""
        return self._listed[0]

    @property
    def strings(self) -> tuple[str, ...]:
        """The texts that they refer to."""
        return self._listed[1]

    @cached_property
    def _listed(self) -> tuple[Any, tuple[str, ...]]:
        return _footer_rows(self.parts, self.frames_start)

    @property
    def frames_start(self) -> int:
        """Where the first frame begins."""
        return len(encode_segment_header(self.segment_id, FIRST_CREATED_NS))

    @cached_property
    def frames_end(self) -> int:
        """Where the frames end."""
        return self.frames_start + sum(int(part.new_lengths.sum(dtype=np.uint64)) for part in self.parts)

    @cached_property
    def size_bytes(self) -> int:
        """How long the file will be, exactly. Cost: no footer is made to see it."""
        if not self.footer:
            return self.frames_end
        used: set[str] = set()
        for part in self.parts:
            used |= part.used_strings()
        table = len(pack_array([pack_str(text) for text in used]))
        entries = FOOTER_ENTRY_SIZE * sum(part.events for part in self.parts)
        return self.frames_end + table + entries + FOOTER_CRC_SIZE + FOOTER_TRAILER_SIZE

    def pieces(self, created_ns: int) -> Iterator[bytes | memoryview]:
        """The bytes of the file, in pieces of at most 8 MiB or one frame, then those of the footer; `created_ns` is the
        time in its header.
        """
        if created_ns < FIRST_CREATED_NS:
            raise ValueError(f"created_ns={created_ns}: give nanoseconds since 1970, as time.time_ns() does.")
        yield encode_segment_header(self.segment_id, created_ns)
        for part in self.parts:
            yield from _frames(part)
        if self.footer:
            yield from footer_pieces(self.rows, self.strings, self.frames_end)


def layout_of(plan: CompactionPlan, view: View) -> OutputLayout:
    """The output of the plan over the sources as they are in the view, which has to be one that it fits.

    Raises `CompactionPlanError` for a plan that has no output: a skipped one, a refused one, an estimate.
    """
    if not plan.applicable:
        raise CompactionPlanError(f"This plan has no output: {plan!r}. Plan again, with other options.")
    segments = sources_in(plan, view)
    masks = [
        source.struck.choose(segment.rows["offset"]) for source, segment in zip(plan.sources, segments, strict=True)
    ]
    return lay_out(plan.strategy, segments, masks)


def lay_out(strategy: str, segments: list[SegmentRows], struck: list[Any]) -> OutputLayout:
    """The output of compacting these segments in this order; `struck` has one mask over the rows of each."""
    markers = whole_batch_markers(segments) if strategy == "merge" else [None] * len(segments)
    parts = tuple(
        _part(strategy, segment, mask, marks) for segment, mask, marks in zip(segments, struck, markers, strict=True)
    )
    return OutputLayout(segments[0].segment_id, parts, footer=_footer_holds(segments))


def _footer_holds(segments: list[SegmentRows]) -> bool:
    """Whether a footer can say of all events what the reference says of them now.

    It reads an unknown reserved kind from a frame as it is, and from a footer as DATA or EFFECT_ERROR (segments spec
    2.8). So such an event, if it has no footer yet, gets none.
    """
    for segment in segments:
        if segment.footer_state != FooterState.TRUSTED:
            kinds = segment.rows["kind"]
            reserved = np.isin(kinds >> 12, (CATEGORY_SYSTEM, CATEGORY_EFFECT))
            if bool((reserved & ~np.isin(kinds, sorted(KNOWN_SYSTEM_KINDS | KNOWN_EFFECT_KINDS))).any()):
                return False
    return True


def _part(strategy: str, segment: SegmentRows, struck: Any, markers: Any) -> SourcePart:
    row = np.arange(segment.count)
    marked = np.zeros(segment.count, bool)
    if strategy == "retention":
        row = row[~struck]
        marked = marked[row]
    elif strategy == "tombstone":
        marked = struck.copy()
    offsets, lengths = segment.rows["offset"][row], segment.rows["length"][row]
    if markers is not None and len(markers[0]):
        offsets, lengths = np.concatenate([offsets, markers[0]]), np.concatenate([lengths, markers[1]])
        row, marked = (
            np.concatenate([values, np.full(len(markers[0]), rest)]) for values, rest in ((row, -1), (marked, False))
        )
        order = np.argsort(offsets, kind="stable")
        offsets, lengths, row, marked = (values[order] for values in (offsets, lengths, row, marked))
    new_lengths = lengths.astype(np.int64)
    at = np.flatnonzero(marked)
    if len(at):
        new_lengths[at] = tombstone_lengths(segment, row[at])
    return SourcePart(segment, offsets.astype(np.int64), lengths.astype(np.int64), row, marked, new_lengths)


def _frames(part: SourcePart) -> Iterator[bytes]:
    """The frames of one source, as they go into the output."""
    marked = np.flatnonzero(part.marked)
    made = tombstones(part.segment, part.row[marked])
    done = 0
    for at in marked.tolist():
        yield from _copied(part, done, at)
        yield next(made)
        done = at + 1
    yield from _copied(part, done, len(part.offsets))


def _copied(part: SourcePart, first: int, last: int) -> Iterator[bytes]:
    """Frames `first` to `last` of a part as they are: neighbours in one piece."""
    if first == last:
        return
    offsets, ends = part.offsets[first:last], part.offsets[first:last] + part.lengths[first:last]
    breaks = np.flatnonzero(offsets[1:] != ends[:-1]) + 1
    starts = offsets[np.concatenate([[0], breaks])].tolist()
    stops = ends[np.concatenate([breaks - 1, [len(ends) - 1]])].tolist()
    for start, stop in zip(starts, stops, strict=True):
        for low in range(start, stop, PIECE_BYTES):
            yield bytes(part.segment.window(low, min(low + PIECE_BYTES, stop)))


def _footer_rows(parts: tuple[SourcePart, ...], start: int) -> tuple[Any, tuple[str, ...]]:
    """The rows of all events in the output and their strings, each where it is first used, entity before scope."""
    found, tables, at = [np.empty(0, FOOTER_DTYPE)], [np.empty(0, np.int64)], start
    names: dict[str, int] = {}
    for part in parts:
        places = at + np.cumsum(part.new_lengths) - part.new_lengths
        at += int(part.new_lengths.sum())
        events = part.row >= 0
        rows = part.segment.rows[part.row[events]].copy()
        rows["offset"], rows["length"] = places[events], part.new_lengths[events]
        rows["global_sequence"] = part.segment.sequence[part.row[events]]
        rows["kind"][part.marked[events]] = KIND_TOMBSTONE
        codes = np.array([names.setdefault(text, len(names)) for text in part.segment.strings], np.int64)
        tables.append(np.stack([codes[rows["entity_idx"]], codes[rows["scope_idx"]]], axis=1).ravel())
        found.append(rows)
    rows, used = np.concatenate(found), np.concatenate(tables)
    first = np.full(len(names), len(used), np.int64)
    first[used[::-1]] = np.arange(len(used))[::-1]  # of equal numbers the last is kept, which is the first use
    order = np.argsort(first, kind="stable")[: int((first < len(used)).sum())]
    place = np.empty(len(names), np.uint32)
    place[order] = np.arange(len(order), dtype=np.uint32)
    rows["entity_idx"], rows["scope_idx"] = place[used[::2]], place[used[1::2]]
    texts = list(names)
    return rows, tuple(texts[at] for at in order.tolist())
