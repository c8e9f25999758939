"""``index.ckpt``: the index as one MessagePack map, versions 2 to 6 (spec sidecars 3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from batpak_analytics.format import codec, layout
from batpak_analytics.format.event import encode_extensions
from batpak_analytics.format.sidecars.envelope import body_cursor, close_envelope, open_envelope
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

_hash = codec.fixed_bytes(layout.HASH_SIZE)
_ENTRY_FIELDS: dict[str, codec.Reader[Any]] = {
    "event_id": codec.read_plain_u128,
    "correlation_id": codec.read_plain_u128,
    "causation_id": codec.optional(codec.read_plain_u128),
    "entity_id": codec.read_u32,
    "scope_id": codec.read_u32,
    "kind": codec.read_u16,
    "wall_ms": codec.read_u64,
    "clock": codec.read_u32,
    "dag_lane": codec.read_u32,
    "dag_depth": codec.read_u32,
    "prev_hash": _hash,
    "event_hash": _hash,
    "segment_id": codec.read_u64,
    "offset": codec.read_u64,
    "length": codec.read_u32,
    "global_sequence": codec.read_u64,
    "receipt_extensions": read_extensions,
}


def _entry_keys(version: int) -> list[str]:
    """The keys that a version writes; older ones lack lane and depth, or the extensions."""
    absent = {"receipt_extensions"} if version < 6 else set()
    absent |= {"dag_lane", "dag_depth"} if version < 4 else set()
    return [key for key in _ENTRY_FIELDS if key not in absent]


def _body_keys(version: int) -> list[str]:
    keys = ["global_sequence", "watermark_segment_id", "watermark_offset", "interner_strings"]
    if version >= 3:
        keys.append("routing")
    if version >= 5:
        keys.append("reserved_kind_fallbacks")
    return [*keys, "entries"]


_ENTRY_DEFAULTS: dict[str, Any] = {"dag_lane": 0, "dag_depth": 0, "receipt_extensions": {}}


def _entry_reader(version: int) -> codec.Struct:
    keys = _entry_keys(version)
    return codec.Struct(
        "an index row",
        {key: _ENTRY_FIELDS[key] for key in keys},
        defaults={key: value for key, value in _ENTRY_DEFAULTS.items() if key in keys},
    )


def _body_reader(
    version: int, *, strings: codec.Reader[Any], routing: codec.Reader[Any], entries: codec.Reader[Any]
) -> codec.Struct:
    readers: dict[str, codec.Reader[Any]] = {
        "global_sequence": codec.read_u64,
        "watermark_segment_id": codec.read_u64,
        "watermark_offset": codec.read_u64,
        "interner_strings": strings,
        "routing": routing,
        "reserved_kind_fallbacks": read_fallbacks,
        "entries": entries,
    }
    keys = _body_keys(version)
    defaults = {"reserved_kind_fallbacks": KindFallbacks()} if "reserved_kind_fallbacks" in keys else {}
    return codec.Struct("the checkpoint", {key: readers[key] for key in keys}, defaults=defaults)


def _open(buf: Any) -> tuple[int, codec.Cursor]:
    data = codec.as_bytes(buf)
    version = open_envelope(data, layout.CHECKPOINT_MAGIC, layout.CHECKPOINT_VERSION, layout.CHECKPOINT_OLDEST_VERSION)
    return version, body_cursor(data)


def decode(buf: Any) -> FullImage:
    """The whole image. Positions and routing are not checked against the segments."""
    version, cur = _open(buf)
    read_body = _body_reader(
        version,
        strings=read_strings,
        routing=read_routing,
        entries=codec.sequence(_entry_reader(version)),
    )
    body = read_body(cur)
    return FullImage(
        version=version,
        allocator=body["global_sequence"],
        watermark_segment=body["watermark_segment_id"],
        watermark_offset=body["watermark_offset"],
        strings=tuple(body["interner_strings"]),
        entries=tuple(map(_entry, body["entries"])),
        routing=body.get("routing", Routing()),
        fallbacks=body.get("reserved_kind_fallbacks", KindFallbacks()),
    ).check()


def _entry(values: Mapping[str, Any]) -> IndexEntry:
    fields = dict(values)
    cause = fields.pop("causation_id")
    return IndexEntry(
        causation_id=None if cause == layout.ZERO_ID else cause,
        lane=fields.pop("dag_lane", 0),
        depth=fields.pop("dag_depth", 0),
        extensions=fields.pop("receipt_extensions", {}),
        **fields,
    )


# -- the numbering alone ----------------------------------------------------------------------------------
_UINT = rb"(?:[\x00-\x7f]|\xcc.|\xcd..|\xce.{4}|\xcf.{8})"
_HASH = rb"\xdc\x00\x20(?:[\x00-\x7f]|\xcc[\x80-\xff]){32}"
_ID = rb"\xc4\x10.{16}"


def _entry_pattern(version: int) -> re.Pattern[bytes]:
    """A row as batpak writes it, up to the extensions: one match instead of sixteen reads."""
    shapes = {
        "event_id": b"(" + _ID + b")",
        "correlation_id": _ID,
        "causation_id": rb"(?:\xc0|" + _ID + b")",
        "prev_hash": _HASH,
        "event_hash": b"(" + _HASH + b")",
        "segment_id": b"(" + _UINT + b")",
        "offset": b"(" + _UINT + b")",
        "global_sequence": b"(" + _UINT + b")",
        "receipt_extensions": b"",
    }
    keys = _entry_keys(version)
    parts = [re.escape(codec.pack_map_header(len(keys)))]
    parts += [re.escape(codec.pack_str(key)) + shapes.get(key, _UINT) for key in keys]
    return re.compile(b"".join(parts), re.DOTALL)


class _Numbering:
    """Reads the rows of a checkpoint and keeps the columns of IndexImage."""

    def __init__(self, version: int) -> None:
        self.pattern = _entry_pattern(version)
        self.read_entry = _entry_reader(version)
        self.has_extensions = "receipt_extensions" in _entry_keys(version)
        self.ids: list[bytes] = []
        self.hashes: list[bytes] = []
        self.numbers: list[tuple[int, int, int]] = []
        """Segment, offset and sequence."""

    def __call__(self, cur: codec.Cursor) -> None:
        codec.sequence(self._row)(cur)

    def _row(self, cur: codec.Cursor) -> None:
        match = self.pattern.match(cur.data, cur.pos, cur.end)
        if match is None:
            values = self.read_entry(cur)
            numbers = values["segment_id"], values["offset"], values["global_sequence"]
            self._keep(values["event_id"], values["event_hash"], numbers)
            return
        cur.pos = match.end()
        if self.has_extensions:
            read_extensions(cur)
        event_id, event_hash, *packed = match.groups()
        segment, offset, sequence = (one[0] if len(one) == 1 else int.from_bytes(one[1:], "big") for one in packed)
        self._keep(event_id[2:], codec.unescape(event_hash[3:]), (segment, offset, sequence))

    def _keep(self, event_id: bytes, event_hash: bytes, numbers: tuple[int, int, int]) -> None:
        self.ids.append(event_id[::-1])
        self.hashes.append(event_hash)
        self.numbers.append(numbers)


def decode_sequences(buf: Any) -> IndexImage:
    """The numbering alone, which is what a reader of segments needs from an image."""
    version, cur = _open(buf)
    rows = _Numbering(version)
    body = _body_reader(version, strings=codec.skip_value, routing=codec.skip_value, entries=rows)(cur)
    segment_id, offset, sequence = np.array(rows.numbers, np.uint64).reshape(-1, 3).T
    return IndexImage(
        allocator=body["global_sequence"],
        watermark_segment=body["watermark_segment_id"],
        watermark_offset=body["watermark_offset"],
        event_id=np.frombuffer(b"".join(rows.ids), "V16"),
        event_hash=np.frombuffer(b"".join(rows.hashes), "V32"),
        global_sequence=sequence,
        segment_id=segment_id,
        offset=offset,
    )


# -- writing ----------------------------------------------------------------------------------------------
def encode(image: FullImage) -> bytes:
    """The whole file in the image's version; what that version cannot hold is left out."""
    if not layout.CHECKPOINT_OLDEST_VERSION <= image.version <= layout.CHECKPOINT_VERSION:
        raise ValueError(f"Checkpoints have versions 2 to 6, not {image.version}. Use 6.")
    values = {
        "global_sequence": codec.pack_uint(image.allocator),
        "watermark_segment_id": codec.pack_uint(image.watermark_segment),
        "watermark_offset": codec.pack_uint(image.watermark_offset),
        "interner_strings": pack_strings(image.strings),
        "routing": pack_routing(image.routing),
        "reserved_kind_fallbacks": pack_fallbacks(image.fallbacks),
        "entries": codec.pack_array([_pack_entry(entry, image.version) for entry in image.entries]),
    }
    body = codec.pack_map([(key, values[key]) for key in _body_keys(image.version)])
    return close_envelope(layout.CHECKPOINT_MAGIC, image.version, body)


def _pack_entry(entry: IndexEntry, version: int) -> bytes:
    cause = entry.causation_id
    values = {
        "event_id": codec.pack_bin16(entry.event_id),
        "correlation_id": codec.pack_bin16(entry.correlation_id),
        "causation_id": codec.NIL if cause is None else codec.pack_bin16(cause),
        "entity_id": codec.pack_uint(entry.entity_id),
        "scope_id": codec.pack_uint(entry.scope_id),
        "kind": codec.pack_uint(entry.kind),
        "wall_ms": codec.pack_uint(entry.wall_ms),
        "clock": codec.pack_uint(entry.clock),
        "dag_lane": codec.pack_uint(entry.lane),
        "dag_depth": codec.pack_uint(entry.depth),
        "prev_hash": codec.pack_int_array(entry.prev_hash),
        "event_hash": codec.pack_int_array(entry.event_hash),
        "segment_id": codec.pack_uint(entry.segment_id),
        "offset": codec.pack_uint(entry.offset),
        "length": codec.pack_uint(entry.length),
        "global_sequence": codec.pack_uint(entry.global_sequence),
        "receipt_extensions": encode_extensions(entry.extensions),
    }
    return codec.pack_map([(key, values[key]) for key in _entry_keys(version)])
