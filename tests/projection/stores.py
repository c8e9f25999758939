"""Stores to replay, and the plain fold that a replay has to equal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import batpak_analytics as bp
from tests.arrow.scan_stores import event, store_of

Row = tuple[str, int, Any]
"""Entity, kind and payload of an event."""
PAID, REFUNDED = 0x1001, 0x1002


def made_store(directory: Path, rows: Iterable[Row], *, each_segment: int = 7) -> Path:
    """A store of these events, a few in each segment."""
    events = [event(at, value, entity=entity, kind=kind) for at, (entity, kind, value) in enumerate(rows)]
    groups = [events[at : at + each_segment] for at in range(0, len(events), each_segment)]
    return store_of(directory, *(groups or [[]]))


def replay_of(directory: Path, projection: Any, rows: Sequence[Row], **options: Any) -> bp.Replay:
    """A replay of a store of these events."""
    made: bp.Replay = bp.open_reader(made_store(directory, rows)).replay(projection, **options)
    return made


def decoded(reader: Any, **chosen: Any) -> list[Any]:
    """Every visible event but the store's own, in commit order, each read by itself."""
    ids = reader.events(columns=["event_id"], payload=None, **chosen).to_arrow()["event_id"].to_pylist()
    return [reader.get(name) for name in ids]


def states(projection: Any, events: Iterable[Any]) -> list[Any]:
    """Every state of a plain fold, each computed anew from the initial one: nothing is shared between them."""
    events = list(events)
    found = []
    for stop in range(len(events) + 1):
        state = projection.initial()
        for one in events[:stop]:
            state = projection.apply(state, one)
        found.append(state)
    return found


class Balance:
    """A state that is changed in place: totals by entity, and what came last."""

    kinds = (PAID, REFUNDED)

    def initial(self) -> dict[str, Any]:
        return {"total": 0, "by": {}, "last": None}

    def apply(self, state: dict[str, Any], event: Any) -> dict[str, Any]:
        cents = event.payload["cents"]
        cents = -cents if event.kind == REFUNDED else cents
        state["total"] += cents
        state["by"][event.entity] = state["by"].get(event.entity, 0) + cents
        state["last"] = event.payload
        return state


def paid(entity: str, cents: int) -> Row:
    return entity, PAID, {"cents": cents}


def refunded(entity: str, cents: int) -> Row:
    return entity, REFUNDED, {"cents": cents}
