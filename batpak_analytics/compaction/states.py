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


@dataclass(frozen=True, slots=True, eq=False)
class StateChange:
    """The state of one entity by one projection, before and after."""

    projection: str
    entity: str
    before: Any
    after: Any


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
    asked = [(_name(one), one, _kinds(one), getattr(one, "entity", None)) for one in projections]
    found: list[StateChange] = []
    for low, high in pairwise(edges):
        mine = order[low:high]
        name = rows.names[int(entity[mine[0]])]
        wanted = [one for one in asked if one[3] is None or one[3] == name]
        if wanted:
            found += _of_entity(rows, mine, struck, strategy, name, wanted)
    found.sort(key=lambda one: one.projection)
    return tuple(found)


def _of_entity(
    rows: EventRows, mine: Any, struck: Any, strategy: str, entity: str, wanted: list[Any]
) -> Iterator[StateChange]:
    every = frozenset().union(*(kinds for _, _, kinds, _ in wanted if kinds is not None))
    kinds = rows.column("kind")[mine]
    if all(known is not None for _, _, known, _ in wanted):
        mine = mine[np.isin(kinds, list(every))]
    if not struck[mine].any():
        return
    events = list(_events(rows, mine))
    for name, projection, known, _ in wanted:
        before = _fold(projection, known, (event for event, _ in events))
        after = _fold(projection, known, _after(events, struck, strategy))
        if not same(before, after):
            yield StateChange(name, entity, before, after)


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


def _fold(projection: Any, kinds: frozenset[int] | None, events: Iterable[Any]) -> Any:
    state = projection.initial()
    for event in events:
        if kinds is None or event.kind in kinds:
            state = projection.apply(state, event)
    return state


def _kinds(projection: Any) -> frozenset[int] | None:
    given = getattr(projection, "kinds", None)
    if given is None:
        return None
    kinds: set[int] = set()
    for one in (given,) if hasattr(given, "__index__") or hasattr(given, "kinds") else given:
        kinds.update(one.kinds() if hasattr(one, "kinds") else (one.__index__(),))
    return frozenset(kinds) or None


def _name(projection: Any) -> str:
    if not callable(getattr(projection, "initial", None)) or not callable(getattr(projection, "apply", None)):
        raise TypeError(f"{projection!r:.60} is no projection: it needs initial() and apply(state, event).")
    return type(projection).__qualname__


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
