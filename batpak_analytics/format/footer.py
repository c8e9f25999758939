"""The SIDX footer of a sealed segment (spec segments 5).

From the end of the frames to the end of the file: string table, 162-byte rows, CRC-32 over both, and a
16-byte trailer (offset of the string table, row count, magic). Reading touches only the footer, so the whole
file may be a memory map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from batpak_analytics.errors import FormatError
from batpak_analytics.format import codec, layout
from batpak_analytics.format.frame import crc32
from batpak_analytics.format.layout import FooterState
from batpak_analytics.format.survey import Survey, survey_rows

Entries = npt.NDArray[np.void]
_read_strings = codec.sequence(codec.read_str)
# A larger table is read one string at a time: what is no table must not grow in memory.
_LARGEST_QUICK_TABLE = 1 << 20


@dataclass(frozen=True, slots=True)
class FooterResult:
    """What the end of a file holds. ``entries`` and ``strings`` are filled only when the state is TRUSTED.

    ``entries`` is a view of the buffer, ``survey`` what holds for all of them. ``frames_end`` is where the trailer says
    the frames stop: a fact when TRUSTED, a hint otherwise, None when there is no trailer. ``reason`` words every other
    state.
    """

    state: FooterState
    entries: Entries | None = None
    survey: Survey | None = None
    strings: tuple[str, ...] = ()
    frames_end: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Geometry:
    frames_end: int
    entries_start: int
    entry_count: int

    @property
    def entries_end(self) -> int:
        return self.entries_start + self.entry_count * layout.FOOTER_ENTRY_SIZE


def read_footer(buf: Any, survey: Callable[[Entries, int], Survey] = survey_rows) -> FooterResult:
    """The footer of the file in ``buf``, verified; never raises for what the bytes say.

    ``survey`` looks through the rows: `survey_rows`, or its compiled twin.
    """
    view = memoryview(buf).cast("B")
    if len(view) < layout.FOOTER_TRAILER_SIZE:
        return FooterResult(FooterState.ABSENT, reason="the file is shorter than a trailer")
    claimed, count, magic = layout.FOOTER_TRAILER.unpack_from(view, len(view) - layout.FOOTER_TRAILER_SIZE)
    if magic == layout.FOOTER_MAGIC_LEGACY:
        return FooterResult(FooterState.LEGACY, frames_end=claimed, reason="an SDX2 footer carries no CRC")
    if magic != layout.FOOTER_MAGIC:
        return FooterResult(FooterState.ABSENT, reason="no footer magic at the end of the file")
    place = _geometry(len(view), claimed, count)
    if place is None:
        reason = "the trailer names an impossible place"
        return FooterResult(FooterState.MALFORMED, frames_end=claimed, reason=reason)
    (stored,) = layout.FOOTER_CRC.unpack_from(view, place.entries_end)
    seen = survey(_entries(view, place), crc32(view[place.frames_end : place.entries_start]))
    if seen.crc != stored:
        reason = "the footer's bytes do not give its stored CRC"
        return FooterResult(FooterState.BAD_CRC, frames_end=claimed, reason=reason)
    return _checked(view, place, seen)


def _geometry(size: int, claimed: int, count: int) -> _Geometry | None:
    """Where the parts lie, or None when they do not fit. An empty string table is possible here."""
    rows = count * layout.FOOTER_ENTRY_SIZE
    entries_start = size - layout.FOOTER_TRAILER_SIZE - layout.FOOTER_CRC_SIZE - rows
    if entries_start < 0 or claimed > entries_start:
        return None
    return _Geometry(claimed, entries_start, count)


def _entries(view: memoryview, place: _Geometry) -> Entries:
    return np.frombuffer(view, layout.FOOTER_DTYPE, place.entry_count, place.entries_start)


def _checked(view: memoryview, place: _Geometry, seen: Survey) -> FooterResult:
    """The footer whose CRC holds, once its strings decode and every row names one of them."""

    def malformed(reason: str) -> FooterResult:
        return FooterResult(FooterState.MALFORMED, frames_end=place.frames_end, reason=reason)

    try:
        strings = tuple(_strings(view, place))
    except FormatError as error:
        return malformed(f"the string table is unreadable: {error.reason}")
    if seen.top_string >= len(strings):
        return malformed("a row's entity or scope is outside the string table")
    return FooterResult(FooterState.TRUSTED, _entries(view, place), seen, strings, place.frames_end)


def _strings(view: memoryview, place: _Geometry) -> list[str]:
    # A CRC cannot tell a footer from bytes made to look like one: the table may be a slice of the frames of
    # a huge file, so the copy is bounded by the file itself and read as strings only.
    table = bytes(view[place.frames_end : place.entries_start])
    try:
        quick = msgpack.unpackb(table, use_list=True) if len(table) <= _LARGEST_QUICK_TABLE else None
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
        quick = None  # something is wrong, and the reader below says what
    if isinstance(quick, list) and not {*map(type, quick)} - {str}:
        return quick
    return _read_strings(codec.Cursor(table, base=place.frames_end))


def untrusted_entries(buf: Any) -> Entries | None:
    """The rows ignoring CRC and strings, as hints for a scan of the frames; None when they cannot lie there.

    SDX2 rows are looked for with the geometry of SDX3, as the reference does (spec segments 6.5a, trap 4).
    """
    view = memoryview(buf).cast("B")
    if len(view) < layout.FOOTER_TRAILER_SIZE:
        return None
    claimed, count, magic = layout.FOOTER_TRAILER.unpack_from(view, len(view) - layout.FOOTER_TRAILER_SIZE)
    if magic not in (layout.FOOTER_MAGIC, layout.FOOTER_MAGIC_LEGACY):
        return None
    place = _geometry(len(view), claimed, count)
    return None if place is None else _entries(view, place)


def encode_footer(entries: Entries, strings: Sequence[str], frames_end: int) -> bytes:
    """The footer to append at ``frames_end``, as batpak writes it in one call on sealing."""
    return b"".join(footer_pieces(entries, strings, frames_end))


def footer_pieces(
    entries: Entries, strings: Sequence[str], frames_end: int
) -> tuple[bytes, memoryview, bytes]:  # fmt: skip
    """`encode_footer` in pieces that follow one another; the rows may be many megabytes, and are not copied."""
    if entries.dtype != layout.FOOTER_DTYPE:
        raise TypeError(f"Rows have dtype {entries.dtype}. Pass an array of layout.FOOTER_DTYPE.")
    table, rows = codec.pack_array([codec.pack_str(text) for text in strings]), np.ascontiguousarray(entries).view("u1")
    crc = layout.FOOTER_CRC.pack(crc32(rows, crc32(table)))
    return table, rows.data, crc + layout.FOOTER_TRAILER.pack(frames_end, len(entries), layout.FOOTER_MAGIC)
