"""``index.fbati``: the index as fixed-size rows to be mapped, versions 1 to 5 (spec sidecars 4).

All integers are little-endian, ids included. Sections follow each other without gaps: header, strings,
summary (from version 2), extension maps (version 5), rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from batpak_analytics.errors import FormatError, TruncatedError
from batpak_analytics.format import codec, layout
from batpak_analytics.format.event import encode_extensions
from batpak_analytics.format.frame import crc32
from batpak_analytics.format.sidecars.envelope import close_envelope, open_envelope
from batpak_analytics.format.sidecars.image import (
    FullImage,
    IndexEntry,
    IndexImage,
    KindFallbacks,
    Routing,
    pack_fallbacks,
    pack_routing,
    pack_strings,
    read_extensions,
    read_fallbacks,
    read_routing,
    read_strings,
)

Rows = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class _Sections:
    """The header's numbers and where each section starts."""

    version: int
    watermark_segment: int
    watermark_offset: int
    allocator: int
    string_count: int
    entry_count: int
    strings: slice
    summary: slice
    extensions: slice
    rows_start: int


def _open(buf: Any, crc: Callable[[Any], int] = crc32) -> tuple[memoryview, _Sections]:
    view = memoryview(buf).cast("B")
    version = open_envelope(view, layout.MMAP_INDEX_MAGIC, layout.MMAP_INDEX_VERSION, crc=crc)
    tail = layout.MMAP_INDEX_TAILS[version]
    start = layout.ENVELOPE_SIZE + tail.size
    if len(view) < start:
        raise TruncatedError("the file ends inside its header", offset=len(view))
    segment, offset, allocator, strings, entries, *sizes = tail.unpack_from(view, layout.ENVELOPE_SIZE)
    sizes += [0] * (3 - len(sizes))
    edges = [start]
    for size in sizes:
        edges.append(edges[-1] + size)
    total = edges[-1] + entries * layout.MMAP_INDEX_DTYPES[version].itemsize
    if total != len(view):
        raise FormatError("the sections do not fill the file", expected=total, actual=len(view))
    strings_at, summary_at, extensions_at = (slice(*pair) for pair in pairwise(edges))
    return view, _Sections(
        version=version,
        watermark_segment=segment,
        watermark_offset=offset,
        allocator=allocator,
        string_count=strings,
        entry_count=entries,
        strings=strings_at,
        summary=summary_at,
        extensions=extensions_at,
        rows_start=edges[-1],
    )


def _rows(view: memoryview, at: _Sections) -> Rows:
    return np.frombuffer(view, layout.MMAP_INDEX_DTYPES[at.version], at.entry_count, at.rows_start)


def decode_sequences(buf: Any, crc: Callable[[Any], int] = crc32) -> IndexImage:
    """The numbering alone, as views of the rows in the buffer. ``crc`` takes the CRC-32 of the whole body."""
    view, at = _open(buf, crc)
    rows = _rows(view, at)
    return IndexImage(
        allocator=at.allocator,
        watermark_segment=at.watermark_segment,
        watermark_offset=at.watermark_offset,
        event_id=rows["event_id"],
        event_hash=rows["event_hash"],
        global_sequence=rows["global_sequence"],
        segment_id=rows["segment_id"],
        offset=rows["offset"],
    )


def decode(buf: Any) -> FullImage:
    """The whole image, with every extension map checked against its hash."""
    view, at = _open(buf)
    strings = read_strings(codec.Cursor(bytes(view[at.strings]), base=at.strings.start))
    if len(strings) != at.string_count:
        raise FormatError("wrong number of strings", expected=at.string_count, actual=len(strings))
    routing, fallbacks = _summary(view, at)
    blob = bytes(view[at.extensions])
    return FullImage(
        version=at.version,
        allocator=at.allocator,
        watermark_segment=at.watermark_segment,
        watermark_offset=at.watermark_offset,
        strings=tuple(strings),
        entries=tuple(_entry(row, blob) for row in _rows(view, at)),
        routing=routing,
        fallbacks=fallbacks,
    ).check()


def _summary(view: memoryview, at: _Sections) -> tuple[Routing, KindFallbacks]:
    if at.version == 1:
        return Routing(), KindFallbacks()
    readers: dict[str, codec.Reader[Any]] = {"routing": read_routing}
    if at.version >= 4:
        readers["reserved_kind_fallbacks"] = read_fallbacks
    cur = codec.Cursor(bytes(view[at.summary]), base=at.summary.start)
    values = codec.Struct("the summary", readers, defaults={"reserved_kind_fallbacks": KindFallbacks()})(cur)
    return values["routing"], values.get("reserved_kind_fallbacks", KindFallbacks())


def _entry(row: Any, blob: bytes) -> IndexEntry:
    names = row.dtype.names
    cause = row["causation_id"].tobytes()[::-1]
    return IndexEntry(
        event_id=row["event_id"].tobytes()[::-1],
        correlation_id=row["correlation_id"].tobytes()[::-1],
        causation_id=None if cause == layout.ZERO_ID else cause,
        entity_id=int(row["entity_id"]),
        scope_id=int(row["scope_id"]),
        kind=int(row["kind"]),
        wall_ms=int(row["wall_ms"]),
        clock=int(row["clock"]),
        lane=int(row["lane"]) if "lane" in names else 0,
        depth=int(row["depth"]) if "depth" in names else 0,
        prev_hash=row["prev_hash"].tobytes(),
        event_hash=row["event_hash"].tobytes(),
        segment_id=int(row["segment_id"]),
        offset=int(row["offset"]),
        length=int(row["length"]),
        global_sequence=int(row["global_sequence"]),
        extensions=_extensions(row, blob) if "extensions_size" in names else {},
    )


def _extensions(row: Any, blob: bytes) -> Mapping[str, bytes]:
    start, size = int(row["extensions_offset"]), int(row["extensions_size"])
    if not size:
        return {}
    if start + size > len(blob):
        raise FormatError("a row's extensions lie outside their section", offset=start, actual=size)
    packed = blob[start : start + size]
    if blake3(packed).digest() != row["extensions_hash"].tobytes():
        raise FormatError("a row's extensions do not give their stored hash", offset=start)
    return read_extensions(codec.Cursor(packed, base=start))


# -- writing ----------------------------------------------------------------------------------------------
def encode(image: FullImage) -> bytes:
    """The whole file in the image's version; what that version cannot hold is left out."""
    if image.version not in layout.MMAP_INDEX_TAILS:
        raise ValueError(f"Index images have versions 1 to 5, not {image.version}. Use 5.")
    strings = pack_strings(image.strings)
    summary = _pack_summary(image)
    rows, blob = _pack_rows(image)
    sizes = [len(strings), len(summary), len(blob)]
    head = [image.watermark_segment, image.watermark_offset, image.allocator, len(image.strings), len(rows)]
    # Version 1 has no size for the summary, versions 2 to 4 none for the extensions.
    kept = sizes[: {1: 1, 5: 3}.get(image.version, 2)]
    header = layout.MMAP_INDEX_TAILS[image.version].pack(*head, *kept)
    body = header + strings + summary + blob + rows.tobytes()
    return close_envelope(layout.MMAP_INDEX_MAGIC, image.version, body)


def _pack_summary(image: FullImage) -> bytes:
    if image.version == 1:
        return b""
    pairs = [("routing", pack_routing(image.routing))]
    if image.version >= 4:
        pairs.append(("reserved_kind_fallbacks", pack_fallbacks(image.fallbacks)))
    return codec.pack_map(pairs)


def _pack_rows(image: FullImage) -> tuple[Rows, bytes]:
    rows = np.zeros(len(image.entries), layout.MMAP_INDEX_DTYPES[image.version])
    with_extensions = "extensions_size" in (rows.dtype.names or ())
    blob = bytearray()
    for row, entry in zip(rows, image.entries, strict=True):
        _fill_row(row, entry)
        if with_extensions and entry.extensions:
            packed = encode_extensions(entry.extensions)
            row["extensions_offset"], row["extensions_size"] = len(blob), len(packed)
            row["extensions_hash"] = blake3(packed).digest()
            blob += packed
    return rows, bytes(blob)


# Ids are stored in reverse and the extension fields are filled from the blob; the rest goes in as it is.
_IDS = ("event_id", "correlation_id", "causation_id")


def _fill_row(row: Any, entry: IndexEntry) -> None:
    for name in _IDS:
        row[name] = (getattr(entry, name) or layout.ZERO_ID)[::-1]
    for name in row.dtype.names:
        if name not in _IDS and not name.startswith("extensions_"):
            row[name] = getattr(entry, name)
