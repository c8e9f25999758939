"""Point reads and queries, of a reader and of a store that has just appended, beside the reference's."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import batpak_analytics as bp
from batpak_analytics.engine.queries import Queries
from tests.benchmarks.stores import Stores
from tests.benchmarks.timing import Case, timed

SAMPLE = 20_000
APPENDED = 1_000


def query_cases(stores: Stores, store: Path, events: int) -> list[Case]:
    """Events by id, evenly from the whole store, and the entries of all."""
    count = min(SAMPLE, events)
    reader = bp.open_reader(store)
    wanted = [entry.event_id for entry in reader.query()[:: events // count]][:count]
    reference = _Reference(stores, store, events)
    return [
        Case("get", "`Reader.get`, by id", timed(lambda: _get(reader, wanted), len(wanted)), len(wanted)),
        Case(
            "store-get",
            f"`Store.get`, by id, after {APPENDED:,} appends to the same store",
            lambda: _in_written_store(stores.directory, store, wanted),
            len(wanted),
        ),
        Case("reference-get", "batpak 0.9.0 (Rust): get every event", reference.get, events, warm_up=False),
        Case("query", "`Reader.query`, each entry looked at", timed(lambda: _look_at_all(reader), events), events),
        Case("reference-query", "batpak 0.9.0 (Rust): query everything", reference.query, events, warm_up=False),
    ]


def _get(store: Queries, wanted: list[bytes]) -> int:
    return sum(store.get(event_id).event_id == event_id for event_id in wanted)


def _look_at_all(reader: bp.Reader) -> int:
    """Without the store's own events: those that `events` counts."""
    return sum(not entry.kind.is_reserved for entry in reader.query())


def _in_written_store(folder: Path, store: Path, wanted: list[bytes]) -> float:
    """In a copy that shares the segments: no engine changes one that is sealed."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        copy = Path(scratch) / "store"
        shutil.copytree(store, copy, copy_function=os.link)
        with bp.Store.open(copy) as opened:
            own = [opened.append("order:1", "shop", 0x1001, {"n": number}).event_id for number in range(APPENDED)]
            assert _get(opened, own) == APPENDED
            go: Callable[[], float] = timed(lambda: _get(opened, wanted), len(wanted))
            return go()


class _Reference:
    """The reference does everything in one run; what that took is given twice."""

    def __init__(self, stores: Stores, store: Path, events: int) -> None:
        self._stores, self._store, self._events = stores, store, events
        self._report: dict[str, float] = {}

    def get(self) -> float:
        """Run it."""
        self._report = self._stores.oracle.bench(self._stores.for_the_reference(self._store))
        if self._report["readable"] < self._events:
            raise AssertionError(f"the reference read {self._report['readable']} of {self._events} events")
        return self._report["get_seconds"]

    def query(self) -> float:
        """Of the run before."""
        return self._report["query_seconds"]
