"""The projections of `project.rs`, under its names, so that reports must be equal to the byte."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SOME = (0x1001, 0x2001, 0x1002)
I64 = 2**63


class Theirs:
    """What all of them share: the name that the reference's report gives, and incremental application."""

    incremental = True
    state: Any

    @property
    def id(self) -> str:
        return f"batpak_oracle::project::{type(self).__name__}"

    def initial(self) -> Any:
        return self.state()

    def dump(self, state: Any) -> Any:
        return state.__dict__

    def load(self, value: Any) -> Any:
        return self.state(**value)


class Count(Theirs):
    @dataclass
    class State:
        count: int = 0

    state = State

    def apply(self, state: Any, event: Any) -> Any:
        state.count += 1
        return state


class Last(Theirs):
    @dataclass
    class State:
        value: Any = None

    state, kinds = State, SOME

    def apply(self, state: Any, event: Any) -> Any:
        state.value = event.payload
        return state


class Sum(Theirs):
    @dataclass
    class State:
        integers: int = 0
        floats: float = 0.0
        others: int = 0

    state, kinds = State, SOME

    def apply(self, state: Any, event: Any) -> Any:
        if type(event.payload) is float:
            state.floats += event.payload
        elif type(event.payload) is int:
            number = event.payload if event.payload < I64 else 0
            state.integers = (state.integers + number + I64) % (2 * I64) - I64
        else:
            state.others += 1
        return state


class Order(Theirs):
    @dataclass
    class State:
        ids: list[str] = field(default_factory=list)

    state = State

    def apply(self, state: Any, event: Any) -> Any:
        state.ids.append(event.event_id.hex())
        return state


class Bounded(Order):
    max_cardinality = 3

    def cardinality(self, state: Any) -> int:
        return len(state.ids)


class Unmeasured(Count):
    max_cardinality = 3


ALL = (Count(), Last(), Sum(), Order())


def asked(projection: Theirs, entity: str, max_stale_ms: int | None = None) -> dict[str, Any]:
    """The line that asks the reference for the same run."""
    return {"run": {"projection": type(projection).__name__, "entity": entity, "max_stale_ms": max_stale_ms}}
