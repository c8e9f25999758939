"""Frames re-encoded as tombstones: the same event of kind 0x0FFE, in the bytes that batpak 0.9.0 writes for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from batpak_analytics.compaction.usual import NOT_USUAL, kind_places
from batpak_analytics.engine.recovery import parse_rows, pieces
from batpak_analytics.engine.view import SegmentRows
from batpak_analytics.format.event import decode_event, encode_event
from batpak_analytics.format.frame import crc32, encode_frame
from batpak_analytics.format.layout import FRAME_HEADER, FRAME_HEADER_SIZE, KIND_TOMBSTONE, U8_MAX
from batpak_analytics.model import EventKind

AT_ONCE = 1 << 14
_KIND = b"\xcd" + KIND_TOMBSTONE.to_bytes(2, "big")
"""The kind as a number of a frame: as long as that of any kind above 0xFF."""


def tombstone(frame: Any) -> bytes:
    """The frame of the same event as a tombstone: decoded and encoded anew, as the reference does."""
    event = decode_event(frame, FRAME_HEADER_SIZE)
    return encode_frame(encode_event(replace(event, kind=EventKind(KIND_TOMBSTONE))))


def tombstones(segment: SegmentRows, rows: Any) -> Iterator[bytes]:
    """The tombstones of the events at these row numbers."""
    for offsets, lengths, kinds in _looked_at(segment, rows):
        places = zip(offsets.tolist(), lengths.tolist(), (kinds - offsets).tolist(), strict=True)
        for offset, length, kind in places:
            frame = segment.window(offset, offset + length)
            yield tombstone(frame) if kind < 0 else _marked(bytes(frame), kind)


def _marked(frame: bytes, kind: int) -> bytes:
    """The usual frame with another kind at `kind`."""
    body = frame[FRAME_HEADER_SIZE:kind] + _KIND + frame[kind + len(_KIND) :]
    return FRAME_HEADER.pack(len(body), crc32(body)) + body


def tombstone_lengths(segment: SegmentRows, rows: Any) -> Any:
    """How long each of them is, frame header included. Only unusual ones are made to see it."""
    found = [np.empty(0, np.int64)]
    for offsets, lengths, kinds in _looked_at(segment, rows):
        new = lengths.astype(np.int64)
        for at in np.flatnonzero(kinds == NOT_USUAL).tolist():
            offset = int(offsets[at])
            new[at] = len(tombstone(segment.window(offset, offset + int(lengths[at]))))
        found.append(new)
    return np.concatenate(found)


def _looked_at(segment: SegmentRows, rows: Any) -> Iterator[tuple[Any, Any, Any]]:
    """(offsets, lengths, places of the kinds) of the frames at these row numbers, some at a time."""
    for first in range(0, len(rows), AT_ONCE):
        entries = segment.rows[rows[first : first + AT_ONCE]]
        offsets, lengths = entries["offset"].astype(np.int64), entries["length"].copy()
        frames = parse_rows(segment.file, entries["offset"].copy(), lengths)
        kinds = np.full(len(offsets), NOT_USUAL)
        for run, buffer, low in pieces(segment.file, offsets, lengths.astype(np.int64)):
            kinds[run] = _kinds_in(buffer, low, offsets[run], lengths[run], frames[run])
        yield offsets, lengths, kinds


def _kinds_in(buffer: Any, low: int, offsets: Any, lengths: Any, frames: Any) -> Any:
    """Places of the kinds in the file, of frames in a buffer that begins at `low`."""
    here = frames.copy()
    for name in ("payload_start", "payload_end", "entity_start", "scope_start"):
        here[name] -= np.uint64(low)
    found = kind_places(buffer, offsets - low, lengths, here)
    found = np.where((found != NOT_USUAL) & (frames["kind"] > U8_MAX), found + low, NOT_USUAL)
    return found


def encrypted_rows(segment: SegmentRows, rows: Any) -> Any:
    """Which of the events at these row numbers are encrypted, as a mask."""
    entries = segment.rows[rows]
    frames = parse_rows(segment.file, entries["offset"].copy(), entries["length"].copy())
    found: Any = frames["encrypted"].astype(bool)
    return found
