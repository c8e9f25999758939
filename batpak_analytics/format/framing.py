"""An event's fields -> its frame and its footer row, for one event and for a batch of them.

The fields are those that a writer has at hand, with nothing made of them in between; `encode_event` says what the
bytes are.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from batpak_analytics.format import layout
from batpak_analytics.format.event import decode_extensions, encode_event
from batpak_analytics.format.frame import encode_frame
from batpak_analytics.model import Event, EventKind, HashChain, Position

_ROW = struct.Struct("<16sIIHQIII32s32sQIQ16s16s")  # FOOTER_DTYPE
NO_EXTENSIONS = b"\x80"


def put_frame(
    frames: bytearray,
    rows: bytearray,
    event_id: bytes,
    correlation_id: bytes,
    causation_id: bytes | None,
    timestamp_us: int,
    wall_ms: int,
    depth: int,
    lane: int,
    clock: int,
    kind: int,
    flags: int,
    payload_version: int,
    payload: bytes,
    prev_hash: bytes,
    event_hash: bytes,
    entity: str,
    scope: str,
    extensions: bytes,
    entity_index: int,
    scope_index: int,
    offset: int,
    sequence: int,
) -> int:
    """Append the frame of an event to `frames` and its footer row to `rows`; the length of the frame.

    `extensions` is the map as it stands in a frame, `NO_EXTENSIONS` for none. Integers are in the range of their field.
    Raises ValueError for an id or hash of another size, and appends nothing then.
    """
    for value, size in ((prev_hash, layout.HASH_SIZE), (event_hash, layout.HASH_SIZE)):
        if len(value) != size:
            raise ValueError(f"A hash is {size} bytes, not {len(value)}. Pass the BLAKE3 digest.")
    event = Event(
        event_id, correlation_id, causation_id, timestamp_us, Position(wall_ms, 0, depth, lane, clock), len(payload),
        EventKind(kind), flags, event_hash, payload_version, None, payload, HashChain(prev_hash, event_hash), entity,
        scope, decode_extensions(extensions, 0, len(extensions)),
    )  # fmt: skip
    frame = encode_frame(encode_event(event))
    frames += frame
    rows += _ROW.pack(
        event_id[::-1], entity_index, scope_index, kind, wall_ms, clock, lane, depth, prev_hash, event_hash, offset,
        len(frame), sequence, correlation_id[::-1], (causation_id or layout.ZERO_ID)[::-1],
    )  # fmt: skip
    return len(frame)


@dataclass(frozen=True, slots=True, eq=False)
class EventColumns:
    """The events of a batch by their fields: arrays of n rows. All are on lane 0, at depth 0, without flags.

    Ids are (n, 16) big-endian bytes; a zero cause is none. Entities and scopes are codes into names.
    """

    payloads: Any  # uint8, back to back
    offsets: Any  # int64, n + 1
    hashes: Any  # (n, 32)
    event_ids: Any
    correlation_ids: Any
    causation_ids: Any
    kinds: Any  # uint16
    entities: Any  # uint32
    scopes: Any  # uint32
    entity_names: Sequence[str]
    scope_names: Sequence[str]

    @property
    def count(self) -> int:
        """How many events."""
        return len(self.offsets) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Lanes:
    """The latest event of each entity, by its code; `clocks` is -1 where there is none. Writing moves them on."""

    clocks: Any  # int64
    wall_ms: Any  # uint64
    hashes: Any  # (k, 32)


@dataclass(frozen=True, slots=True)
class Start:
    """Where a batch begins, and when; `entities` and `scopes` are the numbers of the names in the segment's table."""

    timestamp_us: int
    offset: int
    sequence: int
    entities: Any  # uint32
    scopes: Any  # uint32


def put_frames(
    out: bytearray, at: int, out_rows: bytearray, events: EventColumns, lanes: Lanes, start: Start
) -> int:  # fmt: skip
    """Write the frames of a batch into `out` from `at` on, and their footer rows to the front of `out_rows`.

    Each event is linked to the latest of its entity. Gives the end of the last frame. The buffers grow where they are
    too short, and keep what is behind: they are for using again. Clocks must not come to their end in the batch. Raises
    ValueError for arrays that do not fit together, and writes nothing then.
    """
    check_events(events, lanes, start)
    frames, rows = bytearray(), bytearray()
    offset, data = start.offset, events.payloads
    for row in range(events.count):
        lane, scope = int(events.entities[row]), int(events.scopes[row])
        cause = events.causation_ids[row].tobytes()
        lanes.wall_ms[lane] = max(int(lanes.wall_ms[lane]), start.timestamp_us // 1000)
        lanes.clocks[lane] += 1
        event_hash = events.hashes[row].tobytes()
        offset += put_frame(
            frames, rows, events.event_ids[row].tobytes(), events.correlation_ids[row].tobytes(),
            None if cause == layout.ZERO_ID else cause, start.timestamp_us, int(lanes.wall_ms[lane]), 0, 0,
            int(lanes.clocks[lane]), int(events.kinds[row]), 0, 0,
            data[events.offsets[row] : events.offsets[row + 1]].tobytes(), lanes.hashes[lane].tobytes(), event_hash,
            events.entity_names[lane], events.scope_names[scope], NO_EXTENSIONS, int(start.entities[lane]),
            int(start.scopes[scope]), offset, start.sequence + row,
        )  # fmt: skip
        lanes.hashes[lane] = events.hashes[row]
    out[at : at + len(frames)] = frames
    out_rows[: len(rows)] = rows
    return at + len(frames)


def check_events(events: EventColumns, lanes: Lanes, start: Start) -> None:
    """ValueError unless the arrays are those of one batch, so that nothing reads outside of them."""
    count, entities, scopes = events.count, len(events.entity_names), len(events.scope_names)
    wanted = (
        (events.payloads, np.uint8, (len(events.payloads),)), (events.offsets, np.int64, (count + 1,)),
        (events.hashes, np.uint8, (count, layout.HASH_SIZE)), (events.event_ids, np.uint8, (count, layout.ID_SIZE)),
        (events.correlation_ids, np.uint8, (count, layout.ID_SIZE)),
        (events.causation_ids, np.uint8, (count, layout.ID_SIZE)), (events.kinds, np.uint16, (count,)),
        (events.entities, np.uint32, (count,)), (events.scopes, np.uint32, (count,)),
        (lanes.clocks, np.int64, (entities,)), (lanes.wall_ms, np.uint64, (entities,)),
        (lanes.hashes, np.uint8, (entities, layout.HASH_SIZE)), (start.entities, np.uint32, (entities,)),
        (start.scopes, np.uint32, (scopes,)),
    )  # fmt: skip
    sound = all(one.dtype == dtype and one.shape == shape and one.flags.c_contiguous for one, dtype, shape in wanted)
    sound = (
        sound
        and (count == 0 or (int(events.entities.max()) < entities and int(events.scopes.max()) < scopes))
        and (int(events.offsets[0]) >= 0 and int(events.offsets[-1]) <= len(events.payloads))
        and bool((events.offsets[1:] >= events.offsets[:-1]).all())
    )
    if not sound:
        raise ValueError("The columns of a batch do not fit together. Make them anew.")
