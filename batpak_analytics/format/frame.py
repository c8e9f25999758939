"""One frame: 4 bytes length, 4 bytes CRC-32 of the body (both big-endian), body (spec segments 2.3)."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from batpak_analytics.errors import FormatError, LimitError, TruncatedError
from batpak_analytics.format import layout


def _choose_crc32() -> Callable[[Any], int]:
    try:
        from isal import isal_zlib
    except ImportError:  # no wheel for this platform: same polynomial, about five times slower
        return zlib.crc32
    return isal_zlib.crc32


_crc32 = _choose_crc32()
_REASONS = {
    layout.FRAME_CRC: "the frame's bytes do not give its stored CRC",
    layout.FRAME_BOUNDS: "the frame starts outside the buffer",
    layout.FRAME_TOO_LARGE: "the frame claims more than 256 MiB",
    layout.FRAME_PAST_END: "the frame ends past its region",
    layout.FRAME_END: "fewer than 8 bytes are left for a frame",
}


def crc32(buf: Any) -> int:
    """CRC-32/ISO-HDLC of a buffer, the one checksum of the format (not the Castagnoli polynomial)."""
    return _crc32(buf)


def probe_frame(
    buf: Any, offset: int, end: int | None = None, limit: int = layout.MAX_FRAME_PAYLOAD
) -> tuple[int, int]:
    """(status, length) of the frame at ``offset`` in the region that stops at ``end``.

    ``length`` counts the 8 header bytes; it is the claimed length for FRAME_CRC, FRAME_TOO_LARGE and
    FRAME_PAST_END, and 0 where no header could be read. The body is not decoded.
    """
    view = memoryview(buf).cast("B")
    end = len(view) if end is None else min(end, len(view))
    if offset < 0 or offset > end:
        return layout.FRAME_BOUNDS, 0
    if end - offset < layout.FRAME_HEADER_SIZE:
        return layout.FRAME_END, 0
    size, stored = layout.FRAME_HEADER.unpack_from(view, offset)
    length = layout.FRAME_HEADER_SIZE + size
    if size > limit:
        return layout.FRAME_TOO_LARGE, length
    if offset + length > end:
        return layout.FRAME_PAST_END, length
    body = view[offset + layout.FRAME_HEADER_SIZE : offset + length]
    return (layout.FRAME_OK if crc32(body) == stored else layout.FRAME_CRC), length


def read_frame(buf: Any, offset: int = 0, end: int | None = None) -> memoryview:
    """The body of the frame at ``offset``, its CRC checked; bytes after the frame are ignored."""
    status, length = probe_frame(buf, offset, end)
    if status == layout.FRAME_OK:
        return memoryview(buf).cast("B")[offset + layout.FRAME_HEADER_SIZE : offset + length]
    reason = _REASONS[status]
    if status in (layout.FRAME_END, layout.FRAME_PAST_END):
        raise TruncatedError(reason, offset=offset)
    if status == layout.FRAME_TOO_LARGE:
        raise LimitError(reason, offset=offset)
    raise FormatError(reason, offset=offset)


def encode_frame(body: bytes) -> bytes:
    """The frame around an encoded body. Empty bodies are refused: no reader takes them for an event."""
    if not 0 < len(body) <= layout.MAX_FRAME_PAYLOAD:
        raise ValueError(f"A frame body has 1 byte to 256 MiB, not {len(body)} bytes. Split the event.")
    return layout.FRAME_HEADER.pack(len(body), crc32(body)) + body
