"""What the bytes are that stand behind the last whole frame of a segment.

A writer that dies in the middle of a write leaves a part of a frame or of a footer. In the last segment that is normal.
0.9.0 goes on in another one, and from then on refuses the store (segments spec 6.3, trap 5). Nothing is lost by such a
part, as no writer acknowledges what it has not written. So it has to be told from damage: it is the beginning of a
frame or of a footer, of which the end is not there.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

import numpy as np

from batpak_analytics.engine.holes import first_hole
from batpak_analytics.engine.listing import ListedSegment
from batpak_analytics.engine.recovery import FrameScan, Loss
from batpak_analytics.engine.resync import BODY_START
from batpak_analytics.errors import FormatError, TruncatedError
from batpak_analytics.format import codec
from batpak_analytics.format.cursor import Cursor, array_count
from batpak_analytics.format.event import parse_event
from batpak_analytics.format.footer import encode_footer
from batpak_analytics.format.layout import (
    FOOTER_DTYPE,
    FOOTER_MAGIC,
    FOOTER_MAGIC_LEGACY,
    FOOTER_TRAILER,
    FOOTER_TRAILER_SIZE,
    FRAME_END,
    FRAME_HEADER_SIZE,
    FRAME_PAST_END,
    FRAME_TOO_LARGE,
    MAX_COORDINATE_PART,
)

NAMES_ASKED = 256
"""Frames whose entity may be the first in the footer: only items that were never committed stand before that one."""


class Tail(Enum):
    """Bytes in which no event was lost."""

    UNFINISHED = auto()
    """Of a write under way, or of one cut short in the last segment; or a few stray bytes."""
    DAMAGED_FOOTER = auto()
    CUT_FOOTER = auto()
    CUT_FRAME = auto()

    @property
    def is_cut(self) -> bool:
        """Whether 0.9.0 refuses the store for it."""
        return self in (Tail.CUT_FOOTER, Tail.CUT_FRAME)


def tail_of(listed: ListedSegment, frames: FrameScan, region_end: int, *, last: bool) -> Tail | None:
    """What stands behind the last frame; None for nothing, and for bytes that may have been events."""
    loss = frames.losses[-1] if frames.losses else None
    if loss is None or loss.end != region_end or loss.before_row != len(frames.frames):
        return None
    if _is_damaged_footer(listed, loss):
        return Tail.DAMAGED_FOOTER
    if loss.status == FRAME_END:
        return Tail.UNFINISHED
    if last and loss.status in (FRAME_PAST_END, FRAME_TOO_LARGE) and not _is_whole(listed, loss):
        return Tail.UNFINISHED
    if loss.status == FRAME_TOO_LARGE and _is_part_of_footer(listed, loss, frames):
        return Tail.CUT_FOOTER
    if loss.status == FRAME_PAST_END and _is_part_of_frame(listed, loss):
        return Tail.CUT_FRAME
    return None


def lost_before(frames: FrameScan, tail: Tail | None) -> Any:
    """`FrameScan.lost_before` without the tail: nothing was lost there, it is not there yet."""
    flags = frames.lost_before
    if tail is not None:
        flags[-1] = False
    return flags


def _is_damaged_footer(listed: ListedSegment, loss: Loss) -> bool:
    """True for a footer with its trailer, which `report_footer` told of."""
    size = listed.file.size_bytes
    if size - loss.start < FOOTER_TRAILER_SIZE:
        return False
    claimed, _, magic = FOOTER_TRAILER.unpack(bytes(listed.file.window(size - FOOTER_TRAILER_SIZE, size)))
    return claimed == loss.start and magic in (FOOTER_MAGIC, FOOTER_MAGIC_LEGACY)


def _is_part_of_footer(listed: ListedSegment, loss: Loss, frames: FrameScan) -> bool:
    """True for bytes that begin as a footer does: an array of strings, an entity of this segment first.

    As the length of a frame they are more than any frame has.
    """
    head = bytes(listed.file.window(loss.start, min(loss.end, loss.start + 4 + MAX_COORDINATE_PART)))
    if not len(frames.frames):
        return encode_footer(np.empty(0, FOOTER_DTYPE), (), loss.start).startswith(head)
    cursor = Cursor(head)
    try:
        if not array_count(cursor, cursor.byte()):
            return False
        start = cursor.pos
        return codec.read_str(cursor) in _entities(listed, frames)
    except TruncatedError:
        return any(codec.pack_str(name).startswith(head[start:]) for name in _entities(listed, frames))
    except FormatError:
        return False


def _entities(listed: ListedSegment, frames: FrameScan) -> set[str]:
    found = set()
    for frame in frames.frames[:NAMES_ASKED]:
        start = int(frame["entity_start"])
        found.add(bytes(listed.file.window(start, start + int(frame["entity_size"]))).decode("utf-8", "replace"))
    return found


def _is_part_of_frame(listed: ListedSegment, loss: Loss) -> bool:
    """True for the beginning of an event: what is there is as it should be, up to a hole if there is one."""
    start = loss.start + FRAME_HEADER_SIZE
    body = bytes(listed.file.window(start, loss.end))
    goes_on = _goes_on(body)
    if goes_on is not None:
        return goes_on
    hole = first_hole(body, start, ends_file=loss.end == listed.file.size_bytes)
    return hole is not None and _goes_on(body[:hole]) is True


def _is_whole(listed: ListedSegment, loss: Loss) -> bool:
    """True for an event that is all there, and only claims to be longer: its length is damaged.

    It was acknowledged, and a writer that finds it must not take it for the rest of a write.
    """
    return _goes_on(bytes(listed.file.window(loss.start + FRAME_HEADER_SIZE, loss.end))) is False


def _goes_on(body: bytes) -> bool | None:
    """Whether the event that these bytes begin with goes on behind them; None where they begin with none."""
    if not body.startswith(BODY_START[: len(body)]):
        return None
    try:
        parse_event(body)
    except TruncatedError:
        return True
    except FormatError:
        return None
    return False
