"""Which rows a scan reads, decided from the index alone: no frame is touched here.

The rules are those of the reference's regions (engine-read.md 3.1): entity by namespace, scope and kind
exactly, lane with the lane's own hidden ranges. Segments that cannot hold a match are pruned before their
rows are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from batpak_analytics.arrow.columns import LabelSpace, index_arrays
from batpak_analytics.arrow.criteria import Criteria
from batpak_analytics.arrow.filters import Filters, RowFilter, TupleFilters
from batpak_analytics.arrow.pruning import cannot_match, covers, outside
from batpak_analytics.arrow.stats import column_range, kinds_present
from batpak_analytics.engine.region import in_namespace
from batpak_analytics.format.layout import LIFECYCLE_ENTITY, LIFECYCLE_SCOPE, U16_MAX

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The rows of one scan: a mask for each segment (None: every row), how many, and why a segment has
    none.
    """

    masks: tuple[Mask | None, ...]
    counts: tuple[int, ...]
    reasons: tuple[str | None, ...]

    @property
    def count(self) -> int:
        """Rows selected in the whole store."""
        return sum(self.counts)

    def frame_bytes(self, view: Any) -> int:
        """Bytes of all selected frames."""
        return sum(
            segment.frame_bytes(mask)
            for segment, mask, count in zip(view.stretches, self.masks, self.counts, strict=True)
            if count
        )


def select(view: Any, criteria: Criteria, filters: Filters | None) -> Selection:
    """Decide every row of `view` by `criteria` and the index part of `filters`."""
    part = None if filters is None else filters.index_part()
    groups = filters.groups if isinstance(filters, TupleFilters) else ()
    masks: list[Mask | None] = []
    counts, reasons = [], []
    for position, segment in enumerate(view.stretches):
        reason = _pruned(view, position, criteria) or cannot_match(view, position, groups)
        mask = np.zeros(0, bool) if reason else _mask(view, position, criteria, part)
        count = segment.count if mask is None else int(np.count_nonzero(mask))
        masks.append(None if count == segment.count else mask)
        counts.append(count)
        reasons.append(reason if count == 0 else None)
    return Selection(tuple(masks), tuple(counts), tuple(reasons))


def _pruned(view: Any, position: int, criteria: Criteria) -> str | None:
    """Why no row of the segment can match, from its string table and its minima and maxima alone."""
    segment = view.stretches[position]
    if not segment.count:
        return "no events"
    if criteria.entities is not None and not any(in_namespace(s, criteria.entities) for s in segment.strings):
        return f"no entity in {', '.join(map(repr, criteria.entities))}"
    if criteria.scopes is not None and not set(criteria.scopes) & set(segment.strings):
        return f"no scope {', '.join(map(repr, criteria.scopes))}"
    if criteria.kinds is not None and criteria.kinds.isdisjoint(kinds_present(view, position).tolist()):
        return "no event of the kinds asked for"
    if criteria.lanes is not None:
        low, high = column_range(view, position, "lane")
        if not any(low <= lane <= high for lane in criteria.lanes):
            return f"lanes {low} to {high} only"
    if criteria.since_ms is not None or criteria.until_ms is not None:
        bounds = column_range(view, position, "wall_time")
        if outside(bounds, criteria.since_ms, criteria.until_ms):
            return "wall_time outside since/until"
    last = criteria.last_sequence
    if last is not None and column_range(view, position, "global_sequence")[0] > last:
        return f"after as_of (sequence {last})"
    return None


def _mask(view: Any, position: int, criteria: Criteria, part: RowFilter | None) -> Mask | None:
    """The rows of one segment that match, None for all of them."""
    conditions = list(_conditions(view, position, criteria))
    mask: Mask | None = None
    for condition in conditions:
        mask = condition if mask is None else mask & condition
    if part is None or (mask is not None and not mask.any()):
        return mask
    count = view.stretches[position].count
    rows = np.arange(count) if mask is None else np.flatnonzero(mask)
    passed = rows[part.positions(_filter_columns(view, position, rows, part.names), len(rows))]
    mask = np.zeros(count, bool)
    mask[passed] = True
    return mask


def _conditions(view: Any, position: int, criteria: Criteria) -> Iterable[Mask]:
    """One mask for each restriction that does not hold for the segment as a whole."""
    segment = view.stretches[position]
    # No rows and no sequence before they are needed: rows may have to be joined, and numbers cost a pass.
    if segment.hides_rows:
        yield ~segment.excluded
    if not criteria.system:
        yield from _without_lifecycle(segment)
    if criteria.entities is not None:
        wanted = criteria.entities
        yield _by_string(segment, "entity_idx", lambda entity: in_namespace(entity, wanted))
    if criteria.scopes is not None:
        yield _by_string(segment, "scope_idx", set(criteria.scopes).__contains__)
    if criteria.kinds is not None:
        table = np.zeros(U16_MAX + 1, bool)
        table[sorted(criteria.kinds)] = True
        yield table[segment.rows["kind"]]
    if criteria.lanes is not None:
        yield _on_lanes(segment.rows["lane"], segment.sequence, criteria.lanes, view.hidden.lane_ranges)
    bounds = column_range(view, position, "wall_time") if criteria.since_ms or criteria.until_ms else (0, 0)
    if criteria.since_ms is not None and bounds[0] < criteria.since_ms:
        yield segment.rows["wall_ms"] >= np.uint64(criteria.since_ms)
    if criteria.until_ms is not None and bounds[1] >= criteria.until_ms:
        yield segment.rows["wall_ms"] < np.uint64(criteria.until_ms)
    last = criteria.last_sequence
    if last is not None and column_range(view, position, "global_sequence")[1] > last:
        yield segment.sequence <= np.uint64(last)


def _by_string(segment: Any, field: str, wanted: Callable[[str], bool]) -> Mask:
    """Decide each string of the segment's table once, then look the rows up."""
    table = np.fromiter((wanted(text) for text in segment.strings), bool, len(segment.strings))
    found: Mask = table[segment.rows[field]]
    return found


def _without_lifecycle(segment: Any) -> Iterable[Mask]:
    """Drop the store's own open and close events (engine-read.md 1.3)."""
    if covers(segment.strings, (LIFECYCLE_ENTITY, LIFECYCLE_SCOPE)):
        # They are few: what else the segment holds is not looked at twice.
        entities, scopes = (_codes(segment.strings, text) for text in (LIFECYCLE_ENTITY, LIFECYCLE_SCOPE))
        codes = segment.rows["entity_idx"]
        at = np.flatnonzero(codes == entities[0] if len(entities) == 1 else np.isin(codes, entities))
        at = at[np.isin(segment.rows["scope_idx"][at], scopes)]
        if len(at):
            mask = np.ones(len(codes), bool)
            mask[at] = False
            yield mask


def _codes(strings: Sequence[str], wanted: str) -> list[int]:
    """Where a string stands in a table: once, in one that a store has written."""
    return [code for code, text in enumerate(strings) if text == wanted]


def _on_lanes(lane: Any, sequence: Any, lanes: tuple[int, ...], hidden: Mapping[int, Any]) -> Mask:
    """Rows on one of `lanes` that are visible there: a lane query consults the lane's ranges (engine-read.md
    5).
    """
    mask: Mask = np.isin(lane, lanes)
    for number in lanes:
        for start, end in hidden.get(number, ()):
            mask &= ~((lane == number) & (sequence >= np.uint64(start)) & (sequence < np.uint64(end)))
    return mask


@dataclass(frozen=True, slots=True)
class _Group:
    segment: int
    rows: Any


def _filter_columns(view: Any, position: int, rows: Any, names: tuple[str, ...]) -> dict[str, Any]:
    group = _Group(position, rows)
    labels = LabelSpace(view, (), ())
    if "entity" in names or "scope" in names:
        labels.add_all(view, position)
    return index_arrays(view, [group], names, labels, {})
