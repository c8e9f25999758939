"""One event from its place: its frame, checked against its CRC, and the value of its payload."""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.engine.ids import Place
from batpak_analytics.errors import (
    CorruptFrameError,
    CrcMismatchError,
    EventNotFoundError,
    FormatError,
    PayloadEncryptedError,
    PayloadUndecodableError,
)
from batpak_analytics.format.event import decode_event, event_at
from batpak_analytics.format.frame import probe_frame
from batpak_analytics.format.json_text import payload_to_json_value
from batpak_analytics.format.layout import FRAME_CRC, FRAME_DTYPE, FRAME_HEADER_SIZE, FRAME_OK
from batpak_analytics.model import Event

EventId = str | bytes | int | uuid.UUID
HEX_ID = re.compile(r"[0-9a-fA-F]{32}")
_START = np.zeros(1, np.uint64)
_Fields = namedtuple("_Fields", (*(FRAME_DTYPE.names or ()), "counter"), defaults=(0,))  # type: ignore[misc]
"""A row of `FRAME_DTYPE`, and what it has no field for."""
_NO_COUNTER = b"\xa7counter\x00"
"""The key and the value that batpak writes; the kernel does not look at it."""


def id_bytes(event_id: EventId) -> bytes:
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


def not_found(event_id: bytes, path: str) -> EventNotFoundError:
    """The error for an id that no visible event has."""
    return EventNotFoundError(
        f"No visible event has the id {event_id.hex()}. It may be hidden, compacted away or newer than this view; "
        f"refresh() moves the view forward.",
        path=path,
        actual=event_id.hex(),
    )


def read_event(place: Place, value_of: Callable[[bytes], Any] | None = None) -> Event:
    """The event as its frame holds it; raises when the frame is damaged.

    With `value_of`, the payload is what that gives for the stored one, unless it is encrypted, and `raw` is that.
    """
    segment = place.segment
    low, length = (int(segment.rows[name][place.row]) for name in ("offset", "length"))
    buffer = segment.window(low, low + length)
    usual = _usual_fields(buffer, length)
    if usual is not None:
        return event_at(*usual, value_of, place.global_sequence)
    event = _any_event(place, buffer, low, length)
    if value_of is not None and event.payload_encryption is None:
        event = dataclasses.replace(event, payload=value_of(event.payload), raw=event.payload)
    return dataclasses.replace(event, global_sequence=place.global_sequence)


def _usual_fields(buffer: Any, length: int) -> tuple[bytes, Any] | None:
    """Frame and fields of one that is sound and as batpak writes it, from the kernel; None for any other."""
    if not kernels.COMPILED:
        return None
    (row,) = kernels.parse_frames(buffer, _START, np.array([length], np.uint32)).tolist()
    fields: Any = _Fields(*row)
    frame = bytes(buffer)
    usual = fields.status == FRAME_OK and not fields.encrypted and _NO_COUNTER in frame[: fields.payload_start]
    return (frame, fields) if usual else None


def _any_event(place: Place, buffer: Any, low: int, length: int) -> Event:
    status, found = probe_frame(buffer, 0, length)
    if status == FRAME_CRC:
        raise _damaged(CrcMismatchError, place, low, "the frame's checksum is wrong")
    if status != FRAME_OK or found != length:
        raise _damaged(CorruptFrameError, place, low, "the frame's length is not the one in the index")
    try:
        return decode_event(buffer, FRAME_HEADER_SIZE, length)
    except FormatError as error:
        raise _damaged(CorruptFrameError, place, low, f"the frame holds no event: {error.reason}") from error


def read_value(place: Place) -> Event:
    """The event with the value of its payload, as 0.9.0 gives it, and its sequence.

    Raises as `read_event`, and `PayloadEncryptedError` or `PayloadUndecodableError`.
    """
    try:
        event = read_event(place, payload_to_json_value)
    except FormatError as error:
        raise PayloadUndecodableError(
            f"The payload of event {_name(place)} has no JSON value ({error.reason}). get_raw() gives its bytes.",
            path=place.segment.path,
            offset=error.offset,
        ) from error
    if event.payload_encryption is not None:
        raise PayloadEncryptedError(
            f"The payload of event {_name(place)} is encrypted, and this reader holds no keys. "
            f"get_raw() gives the stored bytes.",
            path=place.segment.path,
        )
    return event


def _name(place: Place) -> str:
    return bytes(place.segment.rows["event_id"][place.row])[::-1].hex()


def _damaged(kind: Any, place: Place, offset: int, reason: str) -> Exception:
    error: Exception = kind(
        f"{place.segment.path}, offset {offset}: {reason}, so the event cannot be read. "
        f"Compare with a backup or a fork; `batpak check` lists every damaged place.",
        path=place.segment.path,
        segment_id=place.segment.segment_id,
        offset=offset,
    )
    return error
