"""Stores made of parts, so that a test can leave any part out or break it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import blake3
import msgpack
import numpy as np

from batpak_analytics.engine.view import View
from batpak_analytics.format.event import encode_event
from batpak_analytics.format.footer import encode_footer
from batpak_analytics.format.frame import encode_frame
from batpak_analytics.format.layout import FOOTER_DTYPE, KIND_BATCH_BEGIN, KIND_BATCH_COMMIT
from batpak_analytics.format.segment import canonical_name, encode_segment_header
from batpak_analytics.model import Event, EventKind, HashChain, Position
from batpak_analytics.reader import open_reader

EPOCH_US = 1_700_000_000_000_000


def make_event(number: int, *, entity: str = "order:1", at_us: int | None = None) -> Event:
    """An ordinary event whose id, clock and payload are `number`."""
    payload = msgpack.packb({"n": number})
    digest = blake3.blake3(payload).digest()
    stamp = EPOCH_US + 1000 * number if at_us is None else at_us
    name = (0xABCDEF << 64 | number).to_bytes(16, "big")
    return Event(
        event_id=name,
        correlation_id=name,
        causation_id=None,
        timestamp_us=stamp,
        position=Position(stamp // 1000, clock=number),
        payload_size=len(payload),
        kind=EventKind(0x1001),
        flags=0,
        content_hash=digest,
        payload_version=0,
        payload_encryption=None,
        payload=payload,
        hash_chain=HashChain(bytes(32), digest),
        entity=entity,
        scope="test",
    )


def begin(batch: int, items: int, *, at_us: int) -> Event:
    """The frame that opens a batch of `items`; it is stamped after them, as the writer does."""
    return replace(
        make_event(0, entity="_batch", at_us=at_us),
        event_id=batch.to_bytes(16, "big"),
        correlation_id=batch.to_bytes(16, "big"),
        scope="_system",
        kind=EventKind(KIND_BATCH_BEGIN),
        payload_size=items,
        payload=b"",
        content_hash=bytes(32),
        hash_chain=None,
        position=Position(at_us // 1000),
    )


def commit(batch: int, *, at_us: int) -> Event:
    """The frame that closes the batch with that id."""
    return replace(begin(batch, 0, at_us=at_us), kind=EventKind(KIND_BATCH_COMMIT))


@dataclass
class Segment:
    """A segment file in the making: frames with their offsets, and optionally a footer."""

    segment_id: int
    events: list[Event] = field(default_factory=list)
    footer: bool = True
    first_sequence: int = 0
    created_ns: int = 1_700_000_000_000_000_000
    tail: bytes = b""

    @property
    def header(self) -> bytes:
        return encode_segment_header(self.segment_id, self.created_ns)

    def frames(self) -> list[bytes]:
        return [encode_frame(encode_event(event)) for event in self.events]

    def offsets(self) -> list[int]:
        sizes = [len(frame) for frame in self.frames()]
        return [len(self.header) + sum(sizes[:index]) for index in range(len(sizes) + 1)]

    def to_bytes(self) -> bytes:
        data = self.header + b"".join(self.frames()) + self.tail
        return data + encode_footer(*self._rows(), len(data)) if self.footer else data

    def _rows(self) -> tuple[np.ndarray, list[str]]:
        places = zip(self.events, self.offsets(), self.frames(), strict=False)
        listed = [place for place in places if not place[0].is_marker]
        rows = np.zeros(len(listed), FOOTER_DTYPE)
        strings: list[str] = []
        for index, (event, offset, frame) in enumerate(listed):
            for text in (event.entity, event.scope):
                if text not in strings:
                    strings.append(text)
            row = rows[index]
            row["event_id"] = np.void(event.event_id[::-1])
            row["correlation_id"] = np.void(event.correlation_id[::-1])
            row["entity_idx"], row["scope_idx"] = strings.index(event.entity), strings.index(event.scope)
            row["kind"], row["wall_ms"], row["clock"] = event.kind, event.position.wall_ms, event.position.clock
            row["lane"], row["depth"] = event.position.lane, event.position.depth
            if event.causation_id is not None:
                row["causation_id"] = np.void(event.causation_id[::-1])
            if event.hash_chain is not None:
                row["prev_hash"] = np.void(event.hash_chain.prev_hash)
            row["event_hash"] = np.void(event.content_hash)
            row["offset"], row["length"] = offset, len(frame)
            row["global_sequence"] = self.first_sequence + index
        return rows, strings

    def write(self, directory: Path, name: str | None = None) -> Path:
        path = directory / (name or canonical_name(self.segment_id))
        path.write_bytes(self.to_bytes())
        return path


def numbers(path: Path | View, **options: str) -> list[int]:
    """The clocks of the visible events in commit order: for `make_event(n)` that is n."""
    view = path if isinstance(path, View) else open_reader(path, **options).view  # type: ignore[arg-type]
    return [clock for clock, _ in shown(view)]


def shown(view: View) -> list[tuple[int, int]]:
    """(clock, global sequence) of the visible events in commit order."""
    found = []
    for run in view.runs:
        segment = view.stretches[run.segment]
        for row in range(run.start, run.stop):
            if not segment.excluded[row]:
                found.append((int(segment.rows["clock"][row]), int(segment.sequence[row])))
    return found


def rules(view: View, *severities: str) -> set[str]:
    """The rules of the view's findings, of the given severities if any."""
    return {one.rule for one in view.findings if not severities or one.severity in severities}


def write_store(directory: Path, segments: Iterable[Segment]) -> Path:
    directory.mkdir(exist_ok=True)
    for segment in segments:
        segment.write(directory)
    return directory


def three_segments(**last: object) -> list[Segment]:
    """Events 0 to 8, three a segment, numbered as a clean writer numbers them."""
    first = Segment(1, [make_event(n) for n in range(3)])
    second = Segment(2, [make_event(n) for n in range(3, 6)], first_sequence=3)
    third = Segment(3, [make_event(n) for n in range(6, 9)], first_sequence=6)
    return [first, second, replace(third, **last)]  # type: ignore[arg-type]
