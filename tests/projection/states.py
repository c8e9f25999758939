"""Projections, stores and times for the tests of `project`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import batpak_analytics as bp

KIND, OTHER = 0x1001, 0x2001
CLOCK_US = 1_700_000_000_000_000


class Order:
    """The ids in the order in which they were folded: any other order gives another state."""

    id = "tests.order"

    def __init__(self, *, incremental: bool = False, kinds: Any = None) -> None:
        self.incremental, self.kinds = incremental, kinds

    def initial(self) -> list[str]:
        return []

    def apply(self, state: list[str], event: Any) -> list[str]:
        state.append(event.event_id.hex()[-4:])
        return state


class Sum:
    """What the payloads add up to, of one kind."""

    id = "tests.sum"
    kinds = KIND

    def __init__(self, *, incremental: bool = False) -> None:
        self.incremental = incremental

    def initial(self) -> dict[str, int]:
        return {"total": 0}

    def apply(self, state: dict[str, int], event: Any) -> dict[str, int]:
        return {"total": state["total"] + event.payload}


@dataclass
class Ids:
    """A state that JSON knows nothing of."""

    ids: list[str] = field(default_factory=list)


class Objects(Order):
    """As `Order`, in an object, which it turns into JSON and back."""

    id = "tests.objects"
    cardinality = staticmethod(lambda state: len(state.ids))

    def initial(self) -> Any:
        return Ids()

    def apply(self, state: Any, event: Any) -> Any:
        return Ids([*state.ids, event.event_id.hex()[-4:]])

    def dump(self, state: Ids) -> Any:
        return state.ids

    def load(self, value: Any) -> Ids:
        return Ids(value)


@contextmanager
def at_one_time(path: Path) -> Iterator[bp.Store]:
    """A store in which every event has the same millisecond: then the replay goes by clock, and by id."""
    with bp.Store.open(path, config=bp.StoreConfig(clock=lambda: CLOCK_US)) as store:
        yield store


def append(store: bp.Store, number: int, *, lane: int = 0, entity: str = "a", kind: int = KIND, value: Any = 1) -> str:
    """One event whose id is `number`; gives the end of the id, as `Order` has it."""
    receipt = store.append(entity, "s", kind, value, lane=lane, idempotency_key=number)
    assert receipt.event_id == number.to_bytes(16, "big")
    return receipt.event_id.hex()[-4:]


class Everything(Order):
    """All that an event has, and a payload that is changed: no other projection may see it."""

    id = "tests.everything"
    NAMES = (
        "event_id", "correlation_id", "causation_id", "timestamp_us", "position", "payload_size", "kind", "flags",
        "content_hash", "payload_version", "payload_encryption", "hash_chain", "entity", "scope", "global_sequence",
        "coordinate", "raw",
    )  # fmt: skip

    def apply(self, state: list[str], event: Any) -> list[str]:
        state.append(repr([getattr(event, name) for name in self.NAMES]) + repr(dict(event.extensions)))
        state.append(repr(event.payload))
        if isinstance(event.payload, dict):
            event.payload["changed"] = True
        return state


def ids_of(entries: Sequence[bp.IndexEntry]) -> list[str]:
    return [entry.event_id.hex()[-4:] for entry in entries]
