"""An event's fields -> its frame and its footer row, for one event and for a batch of them.

The fields are those that a writer has at hand, with nothing made of them in between; `encode_event` says what the
bytes are.
"""

from __future__ import annotations

import struct

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
