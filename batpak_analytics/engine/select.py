"""Which rows a query is about, and in which order it gives them (engine-read 3).

A query of a region gives its events by global sequence, a stream those of one entity by (wall_ms, clock, id). Both look
at the index alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from batpak_analytics.engine.entries import Entries
from batpak_analytics.engine.region import Region, in_namespace
from batpak_analytics.engine.snapshot import Snapshot
from batpak_analytics.engine.view import SegmentRows
from batpak_analytics.format.survey import id_words

FIRST_BLOCK = 4096
"""Rows that a page looks at first; each look that was not enough is followed by one twice as long."""
Found = tuple[int, Any]
"""A segment's place, and rows of it."""


def region_entries(snapshot: Snapshot, region: Region) -> Entries:
    """Every visible event of the region, by global sequence. Cost: a pass over the rows of the index."""
    found = [
        (at, rows) for at, segment in enumerate(snapshot.segments) if len(rows := _matching(snapshot, segment, region))
    ]
    return _by_sequence(snapshot, found)


def page_entries(snapshot: Snapshot, region: Region, after: int | None, limit: int) -> Entries:
    """The first `limit` events of the region whose global sequence is above `after`.

    Cost: a search for the place, then the rows up to the last one found; a pass over all rows where compaction put
    them into another order than their numbers.
    """
    if not snapshot.in_order():
        everything = region_entries(snapshot, region)
        start = 0 if after is None else int(np.searchsorted(everything.global_sequences, after, side="right"))
        return everything[start : start + limit]
    found: list[Found] = []
    left = limit
    for at, block in _blocks(snapshot, after):
        if left <= 0:
            break
        rows = _matching(snapshot, snapshot.segments[at], region, block)[:left]
        found.append((at, rows))
        left -= len(rows)
    return _entries(snapshot, found)


def stream_entries(snapshot: Snapshot, entity: str, lane: int | None, *, hidden: bool = False) -> Entries:
    """The visible events of exactly this entity, by (wall_ms, clock, id); with `hidden` those too that are not shown.

    Cost: as of a region.
    """
    region = Region(entity=entity, lane=lane)
    found = [
        (at, rows)
        for at, segment in enumerate(snapshot.segments)
        if len(rows := _matching(snapshot, segment, region, exact=True, hidden=hidden))
    ]
    entries = _entries(snapshot, found)
    words = id_words(entries.column("event_id"))
    return entries.taken(np.lexsort((words[:, 0], words[:, 1], entries.column("clock"), entries.column("wall_ms"))))


def _blocks(snapshot: Snapshot, after: int | None) -> Iterator[tuple[int, slice]]:
    """Ranges of rows, in commit order, that hold every event above `after` and few others."""
    filled = [at for at, segment in enumerate(snapshot.segments) if len(segment.rows)]
    segments, size = snapshot.segments, FIRST_BLOCK
    floor = -1 if after is None else after
    first = bisect_right(filled, floor, key=lambda at: int(segments[at].sequence[-1]))
    for at in filled[first:]:
        start, count = bisect_right(segments[at].sequence, floor), len(segments[at].rows)
        while start < count:
            yield at, slice(start, min(start + size, count))
            start, size = start + size, 2 * size


def _matching(
    snapshot: Snapshot,
    segment: SegmentRows,
    region: Region,
    part: slice = slice(None),
    *,
    exact: bool = False,
    hidden: bool = False,
) -> Any:
    """The rows of (a part of) a segment that are visible and in the region, ascending.

    `exact` takes the entity itself, without those below it; `hidden` what is not visible too.
    """
    start, stop, _ = part.indices(len(segment.rows))
    mask = np.ones(stop - start, bool)
    conditions = _conditions(segment, region, part, exact=exact)
    for condition in conditions if hidden else chain(conditions, _visible(snapshot, segment, region.lane, part)):
        mask &= condition
        if not mask.any():
            break
    return np.flatnonzero(mask) + start


def _conditions(segment: SegmentRows, region: Region, part: slice, *, exact: bool) -> Iterator[Any]:
    rows = segment.rows[part]
    if region.entity is not None:
        within = partial(in_namespace, wanted=(region.entity,))
        yield _with_string(segment, rows["entity_idx"], region.entity.__eq__ if exact else within)
    if region.scope is not None:
        yield _with_string(segment, rows["scope_idx"], region.scope.__eq__)
    if region.kind is not None:
        yield rows["kind"] == region.kind
    if region.category is not None:
        yield rows["kind"] >> 12 == region.category
    if region.clock is not None:
        yield (rows["clock"] >= region.clock[0]) & (rows["clock"] <= region.clock[1])
    if region.lane is not None:
        yield rows["lane"] == region.lane


def _visible(snapshot: Snapshot, segment: SegmentRows, lane: int | None, part: slice) -> Iterator[Any]:
    if lane is not None and lane in snapshot.hidden.lane_ranges:
        yield ~snapshot.hidden.hides_in_lane(lane, segment.sequence[part].astype(np.uint64))
    if segment.hides_rows:
        yield ~segment.excluded[part]
    if snapshot.shown_below is not None:
        yield segment.sequence[part] < snapshot.shown_below


def _with_string(segment: SegmentRows, codes: Any, wanted: Callable[[str], bool]) -> Any:
    """Decide each string of the segment's table once, then look the rows up."""
    strings = tuple(segment.strings)
    table = np.fromiter(map(wanted, strings), bool, len(strings))
    return table[codes] if table.any() else np.False_


def _by_sequence(snapshot: Snapshot, found: list[Found]) -> Entries:
    """By global sequence; by place in the files where numbers repeat, which a damaged store can have."""
    entries = _entries(snapshot, found)
    if snapshot.in_order():
        return entries
    return entries.taken(np.argsort(entries.global_sequences, kind="stable"))


def _entries(snapshot: Snapshot, found: list[Found]) -> Entries:
    where = [np.full(len(rows), at, np.uint32) for at, rows in found]
    return Entries(
        snapshot.segments,
        np.concatenate([np.empty(0, np.uint32), *where]),
        np.concatenate([np.empty(0, np.uint32), *(rows.astype(np.uint32) for _, rows in found)]),
    )
