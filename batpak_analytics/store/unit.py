"""What a writer writes at once, and where it is put together."""

from __future__ import annotations

from typing import Any, NamedTuple

from batpak_analytics.format import layout
from batpak_analytics.format.event import encode_event
from batpak_analytics.format.frame import encode_frame
from batpak_analytics.model import Event, EventKind, Position
from batpak_analytics.store.recovered import Head

SCRATCH_BYTES = 16 << 20


class Placed(NamedTuple):
    """One event of a write: what its receipt says, and what its key remembers."""

    event_id: bytes
    sequence: int
    clock: int
    lane: int
    event_hash: bytes
    prev_hash: bytes
    offset: int
    length: int


class Unit:
    """What is written at once: one event, or a batch. Nothing of it counts before the writer commits it."""

    __slots__ = ("count", "events", "frames", "heads", "rows", "wall_ms")

    def __init__(self) -> None:
        self.frames: Any = bytearray()
        self.rows: Any = bytearray()
        """Rows of the footer; of a table, both are views of the scratch that the writer uses again."""
        self.count = 0
        self.events: list[Placed] = []
        """Where they go, unless they are the rows of a table."""
        self.heads: dict[tuple[str, int], Head] = {}
        """The heads that it leaves."""
        self.wall_ms = 0
        """That of its last event."""


class Scratch:
    """Where the batches of tables are framed, one after the other: fresh memory would cost a third of the time."""

    def __init__(self) -> None:
        self.frames = bytearray()
        self.rows = bytearray()


def marker(kind: int, batch: int, now_us: int, count: int) -> bytes:
    """A frame that opens or commits a batch; `batch` is the sequence of its first event."""
    batch_id = batch.to_bytes(layout.ID_SIZE, "big")
    event = Event(
        event_id=batch_id, correlation_id=batch_id, causation_id=None, timestamp_us=now_us,
        position=Position(now_us // 1000), payload_size=count, kind=EventKind(kind), flags=0,
        content_hash=layout.ZERO_HASH, payload_version=0, payload_encryption=None, payload=b"", hash_chain=None,
        entity=layout.BATCH_ENTITY, scope=layout.BATCH_SCOPE,
    )  # fmt: skip
    return encode_frame(encode_event(event))
