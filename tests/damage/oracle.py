"""What a damaged store must still show, worked out from the sound store without the package's own readers.

The frames of the sound store are found with `struct` and `zlib` and decoded with `msgpack`. In the damaged copy a
frame is intact where all its bytes stand somewhere in a segment file, and an item of a batch is proven by the intact
COMMIT behind it.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgpack

from tests.damage.stores import Store

BEGIN, COMMIT = 6, 7
MARKER = b"\xa6_batch\xa5scope\xa7_system"
SEGMENT_SUFFIXES = (".fbat", ".fbat.compact-src")


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of the sound store. `closing` is the COMMIT of its batch: None outside of one, or without COMMIT."""

    file: str
    offset: int
    data: bytes
    body: Any
    in_batch: bool = False
    begin: Frame | None = None
    closing: list[Frame] = field(default_factory=list)

    @property
    def event_id(self) -> bytes:
        return bytes(self.body["event"]["header"]["event_id"])

    @property
    def kind(self) -> int:
        return int(self.body["event"]["header"]["event_kind"])

    @property
    def is_marker(self) -> bool:
        return self.kind in (BEGIN, COMMIT)

    @property
    def committed(self) -> bool:
        """Whether it is an event that the writer acknowledged, or one outside of any batch."""
        return not self.is_marker and (not self.in_batch or bool(self.closing))


def frames_end(data: bytes) -> int:
    """Where the frames of a sound segment stop: at its footer, if it has one."""
    if data[-4:] != b"SDX3":
        return len(data)
    return int(struct.unpack_from("<Q", data, len(data) - 16)[0])


def frames_of(file: str, data: bytes) -> list[Frame]:
    """Every frame of a sound segment, with the batch it belongs to."""
    position = 8 + int(struct.unpack_from(">I", data, 4)[0])
    found: list[Frame] = []
    opened: Frame | None = None
    items: list[Frame] = []
    while position < frames_end(data):
        size, crc = struct.unpack_from(">II", data, position)
        body = data[position + 8 : position + 8 + size]
        assert zlib.crc32(body) == crc, f"{file} is not sound at {position}"
        parsed = msgpack.unpackb(body, strict_map_key=False)
        frame = Frame(file, position, data[position : position + 8 + size], parsed, opened is not None, opened)
        if frame.kind == BEGIN:
            opened, items = frame, []
        elif frame.kind == COMMIT:
            for item in items:
                item.closing.append(frame)
            opened = None
        elif opened is not None:
            items.append(frame)
        found.append(frame)
        position += 8 + size
    return found


class Truth:
    """The sound store: its frames, and the rows that the reader gives for it (held to the frames here)."""

    def __init__(self, store: Store, rows: list[dict[str, Any]]) -> None:
        self.store = store
        names = [name for name in store.files if name.endswith(SEGMENT_SUFFIXES) and name not in store.idle]
        self.frames = [frame for name in names for frame in frames_of(name, store.files[name])]
        self.rows = {row["event_id"]: row for row in rows}
        self.order = {row["event_id"]: number for number, row in enumerate(rows)}
        self.by_id: dict[bytes, list[Frame]] = {}
        for frame in self.frames:
            if not frame.is_marker:
                self.by_id.setdefault(frame.event_id, []).append(frame)
        assert len(self.rows) == len(rows), "a sound store shows each event once"
        for row in rows:
            _hold_to_frame(row, self.by_id[row["event_id"]][0])
        places = [(row["segment_id"], row["offset"]) for row in rows]
        self.in_file_order = places == sorted(places)
        self.renumbered = any(self._footer_numbers(name) for name in names)

    def _footer_numbers(self, name: str) -> bool:
        """Whether a footer has another number for an event than its row, as after a compaction."""
        data = self.store.files[name]
        start, count = len(data) - 20, struct.unpack_from("<I", data, len(data) - 8)[0]
        for row in range(start - 162 * count, start, 162) if data[-4:] == b"SDX3" else ():
            event_id, number = data[row : row + 16][::-1], struct.unpack_from("<Q", data, row + 122)[0]
            if event_id in self.rows and self.rows[event_id]["global_sequence"] != number:
                return True
        return False


def _hold_to_frame(row: dict[str, Any], frame: Frame) -> None:
    header, event = frame.body["event"]["header"], frame.body["event"]
    assert frame.committed, f"an event that was never committed is shown: {row['event_id'].hex()}"
    wanted = (frame.body["entity"], frame.body["scope"], frame.kind, header["timestamp_us"], header["flags"])
    assert (row["entity"], row["scope"], row["kind"], row["timestamp"], row["flags"]) == wanted
    assert row["payload"] == bytes(event["payload"])
    assert row["event_hash"] == bytes(event["hash_chain"]["event_hash"])
    position = header["position"]
    assert (row["clock"], row["lane"], row["depth"]) == (position["sequence"], position["lane"], position["depth"])


class Remains:
    """A damaged copy: which frames of the sound store are still whole in it, and where."""

    def __init__(self, truth: Truth, files: dict[str, bytes]) -> None:
        self.truth, self.files = truth, files
        before = truth.store.files
        self.changed = {name for name in files.keys() | before.keys() if files.get(name) != before.get(name)}
        segments = [name for name in sorted(self.changed) if name.endswith(SEGMENT_SUFFIXES)]
        self.idle = truth.store.idle if files.keys() == before.keys() else frozenset()
        self._moved = [name for name in segments if name in files and name not in self.idle]
        self._moved += sorted((truth.store.idle - self.idle - self.changed) & files.keys())
        self.grew = any(len(files.get(name, b"")) > len(before.get(name, b"")) for name in segments)
        self._places: dict[int, tuple[str, int] | None] = {}

    def place(self, frame: Frame) -> tuple[str, int] | None:
        """File and offset of a whole copy of the frame, its old place first."""
        if id(frame) not in self._places:
            self._places[id(frame)] = self._find(frame)
        return self._places[id(frame)]

    def _find(self, frame: Frame) -> tuple[str, int] | None:
        data = self.files.get(frame.file, b"")
        if data[frame.offset : frame.offset + len(frame.data)] == frame.data:
            return frame.file, frame.offset
        for name in self._moved:
            at = self.files[name].find(frame.data)
            if at >= 0:
                return name, at
        return None

    def proven(self, event_id: bytes) -> bool:
        """Whether a whole frame of the event stands outside of any batch, or before the whole COMMIT of its batch."""
        return any(self._proves(frame) for frame in self.truth.by_id[event_id])

    def _proves(self, frame: Frame) -> bool:
        place = self.place(frame)
        if place is None or not frame.committed:
            return False
        if not frame.in_batch:
            return True
        closing = self.place(frame.closing[0])
        if closing is None or closing[0] != place[0] or closing[1] < place[1]:
            return False
        # Frames put in between from elsewhere are part of no batch; with markers among them nothing is certain.
        between = self.files[place[0]][place[1] + len(frame.data) : closing[1]]
        return MARKER not in between

    @cached_property
    def moved(self) -> bool:
        """Whether whole frames stand elsewhere than they stood, or twice, or something was put in."""
        places = ((frame, self.place(frame)) for frame in self.truth.frames)
        elsewhere = any(place is not None and place != (one.file, one.offset) for one, place in places)
        return self.grew or elsewhere or self._stale()

    def _stale(self) -> bool:
        changed = [self.files[name] for name in self._moved]
        return any(sum(data.count(one.data[8:]) for data in changed) > (one.file in self.changed)
                   for one in self.truth.frames)  # fmt: skip

    @cached_property
    def unnumbered(self) -> bool:
        """Whether so much is gone or moved that counted numbers are others: they say which events are hidden."""
        before = self.truth.store.files
        shorter = any(len(self.files.get(name, b"")) < len(before[name]) for name in before if ".fbat" in name)
        return "visibility_ranges.fbv" in before and (shorter or self.moved)

    def known_where_shown(self, marker: Frame, item: Frame, row: dict[str, Any]) -> bool:
        """`still_known` for the copy that the row shows: elsewhere, an item alone is as good as any single event."""
        name, offset = f"{row['segment_id']:06}.fbat", row["offset"]
        if (name, offset) in ((item.file, item.offset), self.place(item)) or name not in self.files:
            return self.still_known(marker, item)
        data = self.files[name]
        begin = data.rfind(marker.data, 0, offset)
        return begin >= 0 and MARKER not in data[begin + len(marker.data) : offset]

    def still_known(self, marker: Frame, item: Frame) -> bool:
        """Whether the marker is whole before the item, or most of it left in its place, its kind included."""
        stands, after = self.place(marker), self.place(item)
        if stands is not None or self.moved:
            if stands is None or after is None or stands[0] != after[0] or stands[1] > after[1]:
                return False
            return MARKER not in self.files[stands[0]][stands[1] + len(marker.data) : after[1]]
        left = self.files.get(marker.file, b"")[marker.offset : marker.offset + len(marker.data)]
        kind = marker.data.index(b"event_kind") + len("event_kind")
        pairs = list(zip(left[kind:], marker.data[kind:], strict=False))
        return (
            left[kind : kind + 1] == marker.data[kind : kind + 1] and sum(a == b for a, b in pairs) * 3 > len(pairs) * 2
        )

    def footed(self, name: str) -> bool:
        """Whether the file still ends in the footer it had, whatever happened to its frames."""
        old, new = self.truth.store.files.get(name, b""), self.files.get(name, b"")
        start = frames_end(old) if old else 0
        return old[-4:] == b"SDX3" and len(new) == len(old) and new[start:] == old[start:]

    def gap(self, frame: Frame) -> tuple[int, int]:
        """The bytes of the damaged file between the whole frames around a lost one: a finding must point there."""
        same = [one for one in self.truth.frames if one.file == frame.file]
        at = next(number for number, one in enumerate(same) if one is frame)
        before = [self._end_in(one) for one in same[:at]]
        after = [self._start_in(one) for one in same[at + 1 :]]
        low = next((place for place in reversed(before) if place is not None), self._frames_start(frame.file))
        high = next((place for place in after if place is not None), len(self.files.get(frame.file, b"")))
        return low, high

    def _frames_start(self, name: str) -> int:
        start = 8 + int(struct.unpack_from(">I", self.truth.store.files[name], 4)[0])
        return start if self.files[name][:start] == self.truth.store.files[name][:start] else 0

    def _start_in(self, frame: Frame) -> int | None:
        place = self.place(frame)
        return place[1] if place and place[0] == frame.file else None

    def _end_in(self, frame: Frame) -> int | None:
        start = self._start_in(frame)
        return None if start is None else start + len(frame.data)
