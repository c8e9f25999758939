"""All events of a view side by side, hidden ones too, in the order of the files: the columns that plans look at.

Columns are gathered when they are asked for and kept with the view, so that a second plan of it costs little.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.engine.duplicates import event_folds
from batpak_analytics.format.gather import Form, Job, Part
from batpak_analytics.format.layout import (
    CATEGORY_EFFECT,
    CATEGORY_SYSTEM,
    FOOTER_DTYPE,
    LIFECYCLE_ENTITY,
    U16_MAX,
)

IDS = ("event_id", "correlation_id", "causation_id")
CODES = {"entity": "entity_idx", "scope": "scope_idx"}
NOBODY = -1


class EventRows:
    """Row `i` of segment `k` of the view is row `starts[k] + i` here."""

    def __init__(self, view: Any) -> None:
        self.view = view
        self.segments = view.segments
        self.starts = np.concatenate([[0], np.cumsum([one.count for one in self.segments], dtype=np.int64)]).astype(int)
        self.count = int(self.starts[-1])
        self._found: dict[str, Any] = {}

    @classmethod
    def of(cls, view: Any) -> EventRows:
        """Those of a view, made once."""
        with view.lock:
            found = view.cache.get("event-rows")
            if found is None:
                found = view.cache["event-rows"] = cls(view)
        rows: EventRows = found
        return rows

    def _once(self, name: str, find: Callable[[], Any]) -> Any:
        if name not in self._found:  # two threads may both find it: the results are equal
            self._found[name] = find()
        return self._found[name]

    def column(self, name: str) -> Any:
        """A field of the rows: ids as (n, 2) words whose bytes are the id's, `entity` and `scope` as codes."""
        return self._once(name, lambda: self._gather(name))

    def _gather(self, name: str) -> Any:
        field = CODES.get(name, name)
        if name in IDS:
            out: Any = np.empty((self.count, 2), np.uint64)
            form = Form.REVERSED
        elif name in CODES:
            out, form = np.empty(self.count, np.int32), Form.CODE
        else:
            out, form = np.empty(self.count, FOOTER_DTYPE[name].newbyteorder("=")), Form.COPY
        tables = self._tables[1] if name in CODES else [None] * len(self.segments)
        parts = [
            Part(segment.rows, slice(0, segment.count), {} if table is None else {field: table})
            for segment, table in zip(self.segments, tables, strict=True)
        ]
        kernels.gather_rows(parts, [Job(field, form, out)])
        return out

    @property
    def _tables(self) -> tuple[list[str], list[Any]]:
        def find() -> tuple[list[str], list[Any]]:
            names: dict[str, int] = {}
            tables = [
                np.array([names.setdefault(text, len(names)) for text in one.strings], np.int32)
                for one in self.segments
            ]
            return list(names), tables

        found: tuple[list[str], list[Any]] = self._once("tables", find)
        return found

    @property
    def names(self) -> list[str]:
        """The text of each code of `entity` and `scope`."""
        return self._tables[0]

    @property
    def sequence(self) -> Any:
        """The global sequence of each event."""
        parts = [np.empty(0, np.uint64)]
        return self._once("sequence", lambda: np.concatenate([*parts, *(one.sequence for one in self.segments)]))

    @property
    def visible(self) -> Any:
        """True for events that are shown."""
        parts = [np.empty(0, bool)]
        return self._once("visible", lambda: ~np.concatenate([*parts, *(one.excluded for one in self.segments)]))

    @property
    def own(self) -> Any:
        """True for the store's own events: of a reserved kind (tombstones and denials too), or of its own entity."""

        def find() -> Any:
            table = np.zeros(U16_MAX + 1, bool)
            for category in (CATEGORY_SYSTEM, CATEGORY_EFFECT):
                table[category << 12 : (category + 1) << 12] = True
            mine = np.array([name == LIFECYCLE_ENTITY for name in self.names], bool)
            entity = self.column("entity")
            return table[self.column("kind")] | (mine[entity] if len(mine) else np.zeros(self.count, bool))

        return self._once("own", find)

    @property
    def ranks(self) -> Any:
        """The place of each event in commit order, as `sequence` has it, and by place in the files where it repeats."""

        def find() -> Any:
            sequence = self.sequence
            if bool((sequence[1:] >= sequence[:-1]).all()):
                return np.arange(self.count)
            ranks = np.empty(self.count, np.int64)
            ranks[np.argsort(sequence, kind="stable")] = np.arange(self.count)
            return ranks

        return self._once("ranks", find)

    @property
    def by_entity(self) -> Any:
        """The rows entity by entity, each in commit order."""
        return self._once("by_entity", lambda: self._grouped(self.column("entity")))

    def _grouped(self, group: Any) -> Any:
        small = group.astype(np.uint16) if len(group) and int(group.max()) <= U16_MAX else group
        by_commit = np.argsort(self.sequence, kind="stable")  # which is at once where they ascend
        return by_commit[np.argsort(small[by_commit], kind="stable")]

    @property
    def lanes(self) -> Any:
        """The chain, (entity, lane), of each event as a number."""

        def find() -> Any:
            lane, entity = self.column("lane"), self.column("entity").astype(np.int64)
            if not lane.any():
                return entity
            known, code = np.unique(lane, return_inverse=True)
            return np.unique(entity * len(known) + code, return_inverse=True)[1]

        return self._once("lanes", find)

    @property
    def heads(self) -> Any:
        """The rows of the last event of each chain, by clock: the next append links to it."""

        def find() -> Any:
            if not self.count:
                return np.empty(0, np.int64)
            lanes = self.lanes
            order = np.lexsort((self.ranks, self.column("clock"), lanes))
            return order[np.append(lanes[order][1:] != lanes[order][:-1], True)]

        return self._once("heads", find)

    @property
    def correlation(self) -> Any:
        """For each event the first row of its correlation, which stands for it."""
        ids = self.column("correlation_id")
        return self._once("correlation", lambda: kernels.join_ids(ids, ids, last=False))

    @property
    def cause(self) -> Any:
        """The row of the visible event that each names as its cause, `NOBODY` where there is none."""

        def find() -> Any:
            shown = np.flatnonzero(self.visible)
            causes = self.column("causation_id")
            at = kernels.join_ids(self.column("event_id")[shown], causes, last=True)
            at[(causes[:, 0] | causes[:, 1]) == 0] = NOBODY
            return np.where(at >= 0, shown[at] if len(shown) else NOBODY, NOBODY)

        return self._once("cause", find)

    @property
    def twins(self) -> Any:
        """For each event that is not shown, the row of the same event that is; `NOBODY` for all others."""

        def find() -> Any:
            twins = np.full(self.count, NOBODY)
            unseen = np.flatnonzero(~self.visible)
            if len(unseen):
                folds = np.concatenate([event_folds(one.rows) for one in self.segments])
                shown = np.flatnonzero(self.visible)
                shown = shown[np.argsort(folds[shown], kind="stable")]
                at = np.minimum(np.searchsorted(folds[shown], folds[unseen]), max(len(shown) - 1, 0))
                if len(shown):
                    same = folds[shown[at]] == folds[unseen]
                    twins[unseen[same]] = shown[at[same]]
            return twins

        return self._once("twins", find)

    def masks(self, whole: Any) -> list[Any]:
        """A mask over all rows as one for each segment."""
        return [whole[low:high] for low, high in zip(self.starts[:-1], self.starts[1:], strict=True)]
