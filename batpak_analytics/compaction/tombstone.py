"""Frames re-encoded as tombstones: the same event of kind 0x0FFE, in the bytes that batpak 0.9.0 writes for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from batpak_analytics.engine.recovery import parse_rows
from batpak_analytics.engine.view import SegmentRows
from batpak_analytics.format.event import decode_event, encode_event
from batpak_analytics.format.frame import encode_frame
from batpak_analytics.format.layout import FRAME_HEADER_SIZE, KIND_TOMBSTONE
from batpak_analytics.model import EventKind


def tombstone(frame: Any) -> bytes:
    """The frame of the same event as a tombstone: decoded and encoded anew, as the reference does."""
    event = decode_event(frame, FRAME_HEADER_SIZE)
    return encode_frame(encode_event(replace(event, kind=EventKind(KIND_TOMBSTONE))))


def tombstones(segment: SegmentRows, rows: Any) -> Iterator[bytes]:
    """The tombstones of the events at these row numbers."""
    entries = segment.rows[rows]
    for offset, length in zip(entries["offset"].tolist(), entries["length"].tolist(), strict=True):
        yield tombstone(segment.window(offset, offset + length))


def encrypted_rows(segment: SegmentRows, rows: Any) -> Any:
    """Which of the events at these row numbers are encrypted, as a mask."""
    entries = segment.rows[rows]
    frames = parse_rows(segment.file, entries["offset"], entries["length"])
    found: Any = frames["encrypted"].astype(bool)
    return found


def tombstone_lengths(segment: SegmentRows, rows: Any) -> list[int]:
    """How long each of them is, frame header included."""
    return [len(frame) for frame in tombstones(segment, rows)]
