"""One frame: 4 bytes length, 4 bytes CRC-32 of the body (both big-endian), body (spec segments 2.3)."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from batpak_analytics.errors import FormatError, LimitError, TruncatedError
from batpak_analytics.format import layout


def _choose_crc32() -> Callable[..., int]:
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


def crc32(buf: Any, before: int = 0) -> int:
    """CRC-32/ISO-HDLC, the one checksum of the format (not the Castagnoli polynomial).

    ``before`` is the CRC of the bytes in front of the buffer, for the CRC of both together.
    """
    return _crc32(buf, before)


_POLYNOMIAL = 0xEDB88320


def _times(left: int, right: int) -> int:
    """The product of two polynomials modulo that of the CRC; reflected, so bit 31 is the constant term."""
    product = 0
    while left:
        if left & 0x80000000:
            product ^= right
        right = right >> 1 ^ (_POLYNOMIAL if right & 1 else 0)
        left = left << 1 & 0xFFFFFFFF
    return product


_POWERS = [1 << 23]  # x^8, then each the square of the one before
for _ in range(39):
    _POWERS.append(_times(_POWERS[-1], _POWERS[-1]))


def crc32_of_rest(first: int, whole: int, size: int) -> int:
    """The CRC of the last ``size`` bytes, from the CRC of those in front of them and the CRC of all.

    Appending ``n`` bytes multiplies a CRC by ``x^(8n)``, as in zlib's ``crc32_combine``.
    """
    for power in _POWERS:
        if size & 1:
            first = _times(first, power)
        size >>= 1
    return whole ^ first


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
