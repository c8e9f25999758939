"""A segment file: its name, and the header in front of its frames (spec segments 1.2, 2.1, 2.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from batpak_analytics.errors import FormatError, LimitError, TruncatedError
from batpak_analytics.format import codec, layout

# Rust's u64::from_str: ASCII digits with an optional plus; padding is not required.
_STEM = re.compile(r"\+?[0-9]+", re.ASCII)
_MOST_DIGITS = len(str(layout.U64_MAX))


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The header map, and ``frames_start``: the offset of the first frame.

    ``segment_id`` is what the header says; readers go by the file name and never compare the two.
    """

    version: int
    flags: int
    created_ns: int
    segment_id: int
    frames_start: int


def parse_file_name(name: str) -> int | None:
    """The segment id of a directory entry, or None when the entry is not a segment.

    Raises FormatError for a ``.fbat`` name without a valid id; the reference logs and skips those.
    """
    stem, dot, extension = name.rpartition(".")
    # A leading dot is no extension by Rust's path rules, so the file ".fbat" is not a segment.
    if not dot or not stem or extension != layout.SEGMENT_EXTENSION:
        return None
    digits = stem.lstrip("+0") or "0"
    if not _STEM.fullmatch(stem) or len(digits) > _MOST_DIGITS or int(digits) > layout.U64_MAX:
        raise FormatError(f"the file name {name!r} does not hold a segment id")
    return int(digits)


def canonical_name(segment_id: int) -> str:
    """The name batpak gives the file: at least six digits. Point reads in the reference use only this one."""
    if not 0 <= segment_id <= layout.U64_MAX:
        raise ValueError(f"{segment_id} is not a segment id. Pass a number from 0 to 2**64 - 1.")
    return f"{segment_id:0{layout.SEGMENT_NAME_DIGITS}}.{layout.SEGMENT_EXTENSION}"


_LONGEST_USUAL_HEADER = 64
_FOUR_FIELDS = b"\x84"
_MOST = {
    "version": layout.U16_MAX,
    "flags": layout.U16_MAX,
    "created_ns": layout.I64_MAX,
    "segment_id": layout.U64_MAX,
}
_read_header = codec.Struct(
    "the segment header",
    {
        "version": codec.read_u16,
        "flags": codec.read_u16,
        "created_ns": codec.read_i64,
        "segment_id": codec.read_u64,
    },
)


def _quick_fields(body: bytes) -> Mapping[str, int] | None:
    """The fields of a header as batpak writes it; None for any other, which the codec then judges."""
    if len(body) > _LONGEST_USUAL_HEADER or body[:1] != _FOUR_FIELDS:
        return None
    try:
        fields: dict[str, int] = msgpack.unpackb(body)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
        return None
    if fields.keys() != _MOST.keys():
        return None
    usual = all(type(value) is int and 0 <= value <= _MOST[name] for name, value in fields.items())
    return fields if usual else None


def read_segment_header(buf: Any) -> SegmentHeader:
    """The header at the start of ``buf``, which may be the whole file or any prefix that holds it."""
    view = memoryview(buf).cast("B")
    if len(view) < layout.SEGMENT_PREFIX_SIZE:
        raise TruncatedError("the file ends inside the segment header", offset=len(view))
    magic, size = layout.SEGMENT_PREFIX.unpack_from(view, 0)
    if magic != layout.SEGMENT_MAGIC:
        raise FormatError("bad segment magic", offset=0, expected=layout.SEGMENT_MAGIC, actual=magic)
    if size > layout.MAX_SEGMENT_HEADER:
        raise LimitError("the segment header is too long", offset=4, expected="at most 65536", actual=size)
    frames_start = layout.SEGMENT_PREFIX_SIZE + size
    if frames_start > len(view):
        raise TruncatedError("the file ends inside the segment header", offset=len(view))
    body = bytes(view[layout.SEGMENT_PREFIX_SIZE : frames_start])
    fields = _quick_fields(body) or _read_header(codec.Cursor(body, base=layout.SEGMENT_PREFIX_SIZE))
    header = SegmentHeader(**fields, frames_start=frames_start)
    if header.version != layout.SEGMENT_VERSION:
        raise FormatError(
            "unsupported segment version", offset=8, expected=layout.SEGMENT_VERSION, actual=header.version
        )
    return header


def encode_segment_header(
    segment_id: int, created_ns: int, *, version: int = layout.SEGMENT_VERSION, flags: int = 0
) -> bytes:
    """Magic, length and header map as batpak writes them; frames follow directly.

    A time after 2262 becomes the last one that the field holds: batpak could not read the header otherwise.
    """
    values = (
        codec.pack_uint(version),
        codec.pack_uint(flags),
        codec.pack_int(min(created_ns, layout.I64_MAX)),
        codec.pack_uint(segment_id),
    )
    body = codec.pack_map(list(zip(layout.SEGMENT_HEADER_FIELDS, values, strict=True)))
    return layout.SEGMENT_PREFIX.pack(layout.SEGMENT_MAGIC, len(body)) + body
