"""The stores that are measured: written by the reference engine, each of them once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.progress import say
from tests.interop.oracle import Oracle, copy_store

SEGMENT_BYTES_AN_EVENT = 41
"""Times the events of the main store: the limit that divides it into 14 segments."""
SMALL_SEGMENT_BYTES = 28_300
"""The limit at which a segment holds 50 events with payloads of 60 bytes."""
ONE_SEGMENT_BYTES_AN_EVENT = 900
"""Times the events of a store: a limit that is never reached."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Makes stores in `directory`, or finds those that an earlier run made there."""

    oracle: Oracle
    directory: Path
    segment_bytes: int

    def everyday(
        self, events: int, *, payload_bytes: int = 60, segment_bytes: int | None = None, entities: int = 500
    ) -> Path:
        """A store of events with payloads of six fields, about `payload_bytes` long."""
        limit = segment_bytes or self.segment_bytes
        of = f"-of-{entities}" if entities != 500 else ""
        store = self.directory / f"store-{events}-events-of-{payload_bytes}-in-{limit}{of}"
        if not store.exists():
            say(f"writing {events:,} events with payloads of {payload_bytes} bytes")
            unfinished = store.with_suffix(".unfinished")
            self.oracle.bulk(
                unfinished, events=events, segment_bytes=limit, payload_bytes=payload_bytes, entities=entities
            )
            unfinished.rename(store)
        return store

    def caused(self, events: int) -> Path:
        """A store in which nine of ten events were caused by one of the last few thousand."""
        store = self.directory / f"graph-{events}-events-in-{self.segment_bytes}"
        if not store.exists():
            say(f"writing {events:,} events that cause each other")
            unfinished = store.with_suffix(".unfinished")
            self.oracle.graph(unfinished, events=events, segment_bytes=self.segment_bytes)
            unfinished.rename(store)
        return store

    def for_the_reference(self, store: Path) -> Path:
        """A copy that the reference may open: it takes a lock, which leaves a file in a store."""
        copy = self.directory / f"{store.name}-copy"
        return copy if copy.exists() else copy_store(store, copy)


def segment_files(store: Path) -> list[Path]:
    """The segments of a store."""
    return sorted(store.glob("*.fbat"))


def segment_bytes(store: Path) -> int:
    """How many bytes the segments of a store have."""
    return sum(path.stat().st_size for path in segment_files(store))
