"""Whether the states of projections would be others: folded entity by entity, with what goes and without."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from batpak_analytics.compaction.rows import EventRows
from batpak_analytics.engine.ids import Place
from batpak_analytics.engine.point_read import read_value
from batpak_analytics.errors import PayloadEncryptedError, PayloadUndecodableError
from batpak_analytics.format.layout import KIND_TOMBSTONE
from batpak_analytics.model import EventKind
from batpak_analytics.projection.protocol import Fold, fold_of


@dataclass(frozen=True, slots=True, eq=False)
class StateChange:
    """The state of one entity by one projection, before and after."""

    projection: str
    entity: str
    before: Any
    after: Any


def listed(projections: Any) -> tuple[Any, ...]:
    """The projections of a ``projections=``; raises TypeError for one that is in no list."""
    if not isinstance(projections, Iterable):
        raise TypeError(f"projections={projections!r}: give a list, as in projections=[bp.Count()].")
    return tuple(projections)


def state_changes(rows: EventRows, struck: Any, strategy: str, projections: Iterable[Any]) -> tuple[StateChange, ...]:
    """Every entity whose state by a projection differs without the struck events, or with them as tombstones.

    Only entities that lose something are folded, in commit order. Events whose payload is sealed or has no reading are
    left out on both sides.
    """
    order = rows.by_entity
    order = order[rows.visible[order]]
    entity = rows.column("entity")
    touched = np.zeros(len(rows.names), bool)
    touched[entity[struck & rows.visible]] = True
    order = order[touched[entity[order]]]
    edges = [0, *(np.flatnonzero(np.diff(entity[order])) + 1).tolist(), len(order)] if len(order) else [0]
    asked = [fold_of(one) for one in projections]
    found: list[StateChange] = []
    for low, high in pairwise(edges):
        mine = order[low:high]
        name = rows.names[int(entity[mine[0]])]
        wanted = [one for one in asked if one.entity is None or one.entity == name]
        if wanted:
            found += _of_entity(rows, mine, struck, strategy, name, wanted)
    found.sort(key=lambda one: one.projection)
    return tuple(found)


def _of_entity(
    rows: EventRows, mine: Any, struck: Any, strategy: str, entity: str, wanted: list[Fold[Any]]
) -> Iterator[StateChange]:
    kinds = rows.column("kind")[mine]
    if all(one.kinds is not None for one in wanted):
        mine = mine[np.isin(kinds, sorted(frozenset().union(*(one.kinds or () for one in wanted))))]
    if not struck[mine].any():
        return
    events = list(_events(rows, mine))
    for one in wanted:
        before = _state(one, (event for event, _ in events))
        after = _state(one, _after(events, struck, strategy))
        if not same(before, after):
            yield StateChange(one.name.rpartition(".")[2], entity, before, after)


def _state(fold: Fold[Any], events: Iterable[Any]) -> Any:
    """The state after these events."""
    state = fold.initial()
    for event in events:
        if fold.kinds is not None and event.kind not in fold.kinds:
            continue
        kind = fold.types.get(int(event.kind))
        if kind is not None:
            event = replace(event, payload=event.decode(kind, fold.registry))
        state = fold.step(state, event)
    return state


def _events(rows: EventRows, mine: Any) -> Iterator[tuple[Any, int]]:
    segments = np.searchsorted(rows.starts, mine, side="right") - 1
    for row, at in zip(mine.tolist(), segments.tolist(), strict=True):
        try:
            place = Place(rows.segments[at], row - int(rows.starts[at]), int(rows.sequence[row]))
            yield read_value(place), row
        except (PayloadEncryptedError, PayloadUndecodableError):
            continue


def _after(events: list[tuple[Any, int]], struck: Any, strategy: str) -> Iterator[Any]:
    for event, row in events:
        if not struck[row]:
            yield event
        elif strategy == "tombstone":
            yield replace(event, kind=EventKind(KIND_TOMBSTONE))


def same(before: Any, after: Any) -> bool:
    """Whether two states are equal; those that do not compare, or hold NaN, by what they pickle to."""
    try:
        if before is after or bool(before == after):
            return True
    except (ValueError, TypeError):
        pass
    try:
        return pickle.dumps(before) == pickle.dumps(after)
    except (pickle.PicklingError, TypeError, AttributeError):
        return False
