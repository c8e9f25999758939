"""One event by its id: found in the index rows, read from its frame, checked against its CRC."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np

from batpak_analytics.engine.view import SegmentRows, View
from batpak_analytics.errors import CorruptFrameError, CrcMismatchError, EventNotFoundError, FormatError
from batpak_analytics.format.event import decode_event
from batpak_analytics.format.frame import probe_frame
from batpak_analytics.format.layout import FRAME_CRC, FRAME_HEADER_SIZE, FRAME_OK
from batpak_analytics.model import Event

HEX_ID = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event is: its segment, its row there and its global sequence."""

    segment: SegmentRows
    row: int
    global_sequence: int


def id_bytes(event_id: str | bytes | int | uuid.UUID) -> bytes:
    """The 16 big-endian bytes of an id given as 32 hex digits, `uuid.UUID`, 16 bytes or int."""
    if isinstance(event_id, uuid.UUID):
        return event_id.bytes
    if isinstance(event_id, bytes | bytearray | memoryview) and len(bytes(event_id)) == 16:
        return bytes(event_id)
    if isinstance(event_id, int) and not isinstance(event_id, bool) and 0 <= event_id < 1 << 128:
        return event_id.to_bytes(16, "big")
    if isinstance(event_id, str) and HEX_ID.fullmatch(event_id.replace("-", "")):
        return bytes.fromhex(event_id.replace("-", ""))
    raise ValueError(
        f"{event_id!r} is not an event id. Give 32 hexadecimal digits, a uuid.UUID, 16 bytes or an int below 2**128."
    )


def locate(view: View, event_id: bytes) -> Place:
    """The visible event with this id; the later one where two share it. Cost: one pass over the index rows."""
    wanted = np.frombuffer(event_id[::-1], "V16")[0]
    best: Place | None = None
    for segment in view.segments:
        for row in np.flatnonzero((segment.rows["event_id"] == wanted) & ~segment.excluded):
            sequence = int(segment.sequence[row])
            if best is None or sequence >= best.global_sequence:
                best = Place(segment, int(row), sequence)
    if best is None:
        raise EventNotFoundError(
            f"No visible event has the id {event_id.hex()}. It may be hidden, compacted away or newer than this view; "
            f"refresh() moves the view forward.",
            path=view.path,
            actual=event_id.hex(),
        )
    return best


def read_event(place: Place) -> Event:
    """The event as its frame holds it; raises when the frame is damaged."""
    segment, entry = place.segment, place.segment.rows[place.row]
    low, length = int(entry["offset"]), int(entry["length"])
    buffer = segment.window(low, low + length)
    status, found = probe_frame(buffer, 0, length)
    if status == FRAME_CRC:
        raise _damaged(CrcMismatchError, place, low, "the frame's checksum is wrong")
    if status != FRAME_OK or found != length:
        raise _damaged(CorruptFrameError, place, low, "the frame's length is not the one in the index")
    try:
        return decode_event(buffer, FRAME_HEADER_SIZE, length)
    except FormatError as error:
        raise _damaged(CorruptFrameError, place, low, f"the frame holds no event: {error.reason}") from error


def _damaged(kind: Any, place: Place, offset: int, reason: str) -> Exception:
    error: Exception = kind(
        f"{place.segment.path}, offset {offset}: {reason}, so the event cannot be read. "
        f"Compare with a backup or a fork; `batpak check` lists every damaged place.",
        path=place.segment.path,
        segment_id=place.segment.segment_id,
        offset=offset,
    )
    return error
