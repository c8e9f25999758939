"""What a kill leaves that the engine does not get over, worked out from the bytes alone.

The part of a write that a kill lets through ends at the edge of a page, so a segment may end in a part of a frame; once
another segment stands behind it, the engine refuses the store (`torn_at`).

A kill in the middle of a batch costs it events (`swallowed_events`). Its rule (`BatchRecoveryState` in
core/src/store/segment/scan/recovery/batch.rs): after a BEGIN of n items it stages the next n frames, whatever they are,
and goes on with that in the next segment. A COMMIT after exactly n keeps them, a COMMIT before that or another BEGIN
drops them; and the frame after the n-th, if it is neither, is dropped with them. Its writer never splits a batch over
two segments, so whatever is dropped in a segment behind that of the BEGIN is an event that was appended, and
acknowledged, by itself or in another batch.

Nothing of the package under test is used here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import msgpack

from tests.interop.rows import Row

BEGIN, COMMIT = 0x0006, 0x0007
FRAME_HEAD = struct.Struct(">II")
TRAILER = struct.Struct("<QI4s")
ENTRY_BYTES, CRC_BYTES = 162, 4
ENTRY_PLACE_AT, ENTRY_PLACE = 110, struct.Struct("<QI")


@dataclass(frozen=True)
class Frame:
    """What the rule asks of a frame."""

    event_id: str
    kind: int
    items: int  # a BEGIN has the number of its items where events have that of their bytes


@dataclass(frozen=True)
class File:
    """A segment: its frames, whether it has a footer and that lists the last of them, and where a cut frame begins."""

    segment_id: int
    frames: list[Frame]
    has_footer: bool
    covers: bool
    torn_at: int | None


def read(path: Path) -> File:
    """All frames of a segment that has a sound footer or none."""
    data = path.read_bytes()
    end, has_footer, covers = len(data), data.endswith(b"SDX3"), False
    if has_footer:
        end, count, _ = TRAILER.unpack_from(data, len(data) - TRAILER.size)
        first = len(data) - TRAILER.size - CRC_BYTES - count * ENTRY_BYTES
        places = [ENTRY_PLACE.unpack_from(data, first + n * ENTRY_BYTES + ENTRY_PLACE_AT) for n in range(count)]
        covers = max((offset + length for offset, length in places), default=0) == end
    frames, torn_at, at = [], None, 8 + int.from_bytes(data[4:8], "big")
    while at + FRAME_HEAD.size <= end:
        body = at + FRAME_HEAD.size
        behind = body + FRAME_HEAD.unpack_from(data, at)[0]
        if behind > end:
            torn_at = at
            break
        header = msgpack.unpackb(data[body:behind])["event"]["header"]
        frames.append(Frame(header["event_id"].hex(), header["event_kind"], header["payload_size"]))
        at = behind
    return File(int(path.stem), frames, has_footer, covers, torn_at)


def torn_at(path: Path) -> int | None:
    """Where the frame begins of which a segment has only a part, if it ends in one."""
    return read(path).torn_at


@dataclass
class Recovery:
    """The engine's state while it reads frames."""

    in_batch: bool = False
    remaining: int = 0
    begun_in: int = 0
    staged: list[tuple[int, Frame]] = field(default_factory=list)
    swallowed: set[str] = field(default_factory=set)

    def meet(self, segment_id: int, frame: Frame) -> None:
        """One frame more."""
        if frame.kind == BEGIN:
            self._drop()
            self.in_batch, self.remaining, self.begun_in = True, frame.items, segment_id
        elif not self.in_batch:
            pass
        elif frame.kind == COMMIT:
            if self.remaining == 0:
                self.staged = []
            self._drop()
        elif self.remaining > 0:
            self.staged.append((segment_id, frame))
            self.remaining -= 1
        else:
            self.staged.append((segment_id, frame))
            self._drop()

    def _drop(self) -> None:
        self.swallowed |= {frame.event_id for segment_id, frame in self.staged if segment_id > self.begun_in}
        self.in_batch, self.staged = False, []

    def result(self) -> set[str]:
        """The ids, hexadecimal, once all frames were met."""
        self._drop()
        return self.swallowed


def swallowed_events(store: Path) -> frozenset[str]:
    """The ids of the events that an engine without an index image will not show when it opens this store."""
    files = sorted((read(path) for path in store.glob("[0-9]*.fbat")), key=lambda file: file.segment_id)
    if all(file.has_footer for file in files):
        return frozenset()  # then it reads no frames
    state = Recovery()
    for file in files:
        if state.in_batch or not file.covers:
            for frame in file.frames:
                state.meet(file.segment_id, frame)
    return frozenset(state.result())


def counted_with(rows: list[Row], order: list[str]) -> list[Row]:
    """The engine's rows with the numbers that they have where those that it swallowed have numbers of their own, too.

    `order` are the ids of all events in the order of the files. Each has the engine's number, or one above that of the
    event before it if that is higher.
    """
    numbers = {row["event_id"]: row["global_sequence"] for row in rows}
    last = -1
    for event in order:
        last = numbers[event] = max(numbers.get(event, 0), last + 1)
    return [{**row, "global_sequence": numbers[row["event_id"]]} for row in rows]
