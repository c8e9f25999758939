"""The 12 bytes in front of most sidecars: magic, version, CRC-32 of everything after (spec sidecars 0.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from batpak_analytics.errors import FormatError, FutureVersionError, TruncatedError
from batpak_analytics.format import layout
from batpak_analytics.format.cursor import Cursor
from batpak_analytics.format.frame import crc32


def open_envelope(buf: Any, magic: bytes, newest: int, oldest: int = 1, crc: Callable[[Any], int] = crc32) -> int:
    """The version of a sidecar whose magic, version and CRC hold; its body starts at ENVELOPE_SIZE.

    Raises FutureVersionError for a version above ``newest`` and FormatError for everything else. The order of
    the checks is the reference's: the version comes before the CRC, which ``crc`` takes.
    """
    view = memoryview(buf).cast("B")
    if len(view) < layout.ENVELOPE_SIZE:
        raise TruncatedError("the file is shorter than its header", offset=len(view))
    version: int
    found, version, stored = layout.ENVELOPE.unpack_from(view, 0)
    if found != magic:
        raise FormatError("bad magic", offset=0, expected=magic, actual=found)
    if version > newest:
        raise FutureVersionError(
            f"Version {version} of this file is newer than {newest}, the newest this package reads. "
            "Update batpak-analytics.",
            expected=newest,
            actual=version,
        )
    if version < oldest:
        raise FormatError("unsupported version", offset=6, expected=f"{oldest} or later", actual=version)
    if crc(view[layout.ENVELOPE_SIZE :]) != stored:
        raise FormatError("the file's bytes do not give its stored CRC", offset=8)
    return version


def body_cursor(data: bytes) -> Cursor:
    """A cursor at the start of the body; offsets in its errors count from the start of the file."""
    return Cursor(data, layout.ENVELOPE_SIZE)


def close_envelope(magic: bytes, version: int, body: bytes) -> bytes:
    """The whole file around an encoded body."""
    return layout.ENVELOPE.pack(magic, version, crc32(body)) + body
