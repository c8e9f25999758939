"""Replays: the same projection in a bare loop, as a replay, over columns, and one entity's by the reference."""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import batpak_analytics as bp
from tests.benchmarks.stores import Stores
from tests.benchmarks.timing import Case, timed

SAMPLE_SHARE = 10
"""The reference projects a tenth of the events: those of a store that has one entity."""
ENTITY = "order:0"
ASKED = 200
"""Positions at which a state is asked for, the last and the first ones and those before a kept state among them."""
COLUMNS = ["entity", "payload.qty", "payload.price"]


class Balance:
    """Totals by entity, changed in place: about 10 kB of state for the 500 entities of the main store."""

    reads: Any = ("qty", "price")

    def initial(self) -> dict[str, Any]:
        """Nothing yet."""
        return {"events": 0, "money": {}}

    def apply(self, state: dict[str, Any], event: Any) -> dict[str, Any]:
        """One event's money."""
        payload = event.payload
        state["events"] += 1
        money = state["money"]
        money[event.entity] = money.get(event.entity, 0.0) + payload["qty"] * payload["price"]
        return state


class Whole(Balance):
    """The same, which does not say what it reads."""

    reads: Any = None


class Total(Balance):
    """One total, and how many events."""

    def initial(self) -> dict[str, Any]:
        """Nothing yet."""
        return {"events": 0, "money": 0.0}

    def apply(self, state: dict[str, Any], event: Any) -> dict[str, Any]:
        """One event's money."""
        payload = event.payload
        state["events"] += 1
        state["money"] += payload["qty"] * payload["price"]
        return state


class Currencies(Balance):
    """Totals by currency, as `totals.rs` folds them."""

    reads = ("qty", "price", "currency")

    def apply(self, state: dict[str, Any], event: Any) -> dict[str, Any]:
        """One event's money."""
        payload = event.payload
        state["events"] += 1
        money = state["money"]
        money[payload["currency"]] = money.get(payload["currency"], 0.0) + payload["qty"] * payload["price"]
        return state


class Decoded:
    """An event with its whole payload decoded, as a program without this package would hold it."""

    __slots__ = ("entity", "kind", "payload")

    def __init__(self, event: Any) -> None:
        self.entity, self.kind, self.payload = event.entity, event.kind, event.payload


def never(state: Any) -> Any:
    """A condition that no state meets; for one state and for columns of them."""
    return state["events"] < 0


def replay_cases(store: Path, events: int) -> list[Case]:
    """What a replay of the main store is asked. All but the first have the events in memory."""
    reader = bp.open_reader(store)
    replay = reader.replay(Balance())
    whole = reader.replay(Whole())
    decoded = [Decoded(whole.event(position)) for position in range(1, events + 1)]
    start = {"events": 0, "money": 0.0}
    totals = reader.replay(bp.vectorised(_totals, columns=COLUMNS, initial=start))
    groups = reader.replay(bp.vectorised(_balances, columns=COLUMNS, initial=start, by="entity"))

    def bare(projection: Balance) -> int:
        state, apply = projection.initial(), projection.apply
        for event in decoded:
            state = apply(state, event)
        return int(state["events"])

    def fold() -> int:
        anew = type(replay)(replay._selected, replay.source, replay.fold, 64 << 20)
        return int(anew.final()["events"])

    def first_where(asked: bp.Replay) -> int:
        return events if asked.first_where(never) is None else 0

    def trace(asked: bp.Replay) -> int:
        return len(asked.trace(lambda state: state["events"])) - 1

    def vectorised(columns: bp.VectorReplay) -> int:
        columns.__dict__.pop("_states", None)
        return events if columns.first_where(never) is None else 0

    def going(work: Callable[[], int]) -> Callable[[], float]:
        return timed(work, events)

    return [
        Case("replay", "`reader.replay(projection)`: reading the events", going(_read(reader)), events),
        Case(
            "bare-loop",
            "a bare `for` loop over events decoded into a list",
            timed(lambda: bare(Balance()), events),
            events,
        ),
        Case("fold", "`replay.final()`, the first question", going(fold), events),
        Case("first-where", "`replay.first_where(never)`", going(lambda: first_where(replay)), events),
        Case("trace", "`replay.trace(function)`, a DataFrame", going(lambda: trace(replay)), events),
        Case("first-where-whole", "`first_where` without `reads`", going(lambda: first_where(whole)), events),
        Case("trace-whole", "`trace` without `reads`", going(lambda: trace(whole)), events),
        Case("state-at", "`replay.state_at(n)`, the slowest of 200", lambda: slowest(replay), events, reads_all=False),
        Case("bare-total", "a bare loop, one total", going(lambda: bare(Total())), events),
        Case(
            "vectorised",
            "vectorised, one total: all states, `first_where`",
            timed(lambda: vectorised(totals), events),
            events,
        ),
        Case(
            "vectorised-groups",
            "vectorised, totals by entity (pandas' `groupby`)",
            timed(lambda: vectorised(groups), events),
            events,
        ),
    ]


def _read(reader: Any) -> Callable[[], int]:
    return lambda: len(reader.replay(Balance()))


def _totals(frame: Any) -> dict[str, Any]:
    money = (frame["payload.qty"] * frame["payload.price"]).to_numpy()
    return {"events": np.arange(1, len(frame) + 1), "money": money.cumsum()}


def _balances(frame: Any) -> dict[str, Any]:
    money = frame["payload.qty"] * frame["payload.price"]
    groups = money.groupby(frame["entity"], observed=True, sort=False)
    return {"events": np.arange(1, len(frame) + 1), "money": groups.cumsum()}


def slowest(replay: Any) -> float:
    """The seconds of `state_at` at the position where it takes longest, of four tries forwards and backwards.

    A machine that does other things makes any call slow now and then, and no position twice.
    """
    count, stride = len(replay), -(-len(replay) // 1000)
    chance = random.Random(7)
    positions = {count, count - 1, 1, 0, *(stride * n - 1 for n in range(1, 1000, 20))}
    positions |= {chance.randrange(count) for _ in range(ASKED - len(positions))}
    best = dict.fromkeys(sorted(positions), math.inf)
    gc.collect()
    for order in (list(best), list(reversed(best))):
        for position in [*order, *order]:
            start = time.perf_counter()
            state = replay.state_at(position)
            best[position] = min(best[position], time.perf_counter() - start)
            if state["events"] != position:
                raise AssertionError(f"position {position} gave the state after {state['events']} events")
    return max(best.values())


def projecting_cases(stores: Stores, events: int) -> list[Case]:
    """One entity, opened already: the reference's `project`, and the whole of a replay."""
    few = events // SAMPLE_SHARE
    store = stores.everyday(few, entities=1)
    copy = stores.for_the_reference(store)
    reader = bp.open_reader(store)
    expected = stores.oracle.totals(copy, ENTITY)["state"]

    def ours() -> int:
        state = reader.replay(Currencies(), entity=ENTITY).final()
        if state["money"].keys() != expected["money"].keys() or not all(
            math.isclose(state["money"][name], total) for name, total in expected["money"].items()
        ):
            raise AssertionError(f"{state} is not what the reference folds: {expected}")
        return int(state["events"])

    return [
        Case("entity-replay", "`reader.replay(projection, entity=...).final()`", timed(ours, few), few),
        Case(
            "reference-project",
            "batpak 0.9.0 (Rust): `project`, without a cache",
            lambda: float(stores.oracle.totals(copy, ENTITY)["seconds"]),
            few,
            warm_up=False,
        ),
    ]
