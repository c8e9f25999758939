"""``index.idemp``: which idempotency keys were used, and what each append returned (spec sidecars 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batpak_analytics.format import codec, layout
from batpak_analytics.format.event import encode_extensions
from batpak_analytics.format.sidecars.envelope import body_cursor, close_envelope, open_envelope


@dataclass(frozen=True, slots=True)
class IdempotencyEntry:
    """One key. Position and ``global_sequence`` are those at the original commit and are never rewritten."""

    key: bytes
    event_id: bytes
    global_sequence: int
    segment_id: int
    offset: int
    length: int
    content_hash: bytes
    prev_hash: bytes
    entity: str
    scope: str
    kind: int
    recorded_global_sequence: int
    event_evicted: bool
    extensions: Mapping[str, bytes]


_hash = codec.fixed_bytes(layout.HASH_SIZE)
_read_entry = codec.Struct(
    "an idempotency entry",
    {
        "key": codec.read_plain_u128,
        "event_id": codec.read_plain_u128,
        "global_sequence": codec.read_u64,
        "disk_pos_segment": codec.read_u64,
        "disk_pos_offset": codec.read_u64,
        "disk_pos_length": codec.read_u32,
        "content_hash": _hash,
        "prev_hash": _hash,
        "entity": codec.read_str,
        "scope": codec.read_str,
        "kind": codec.read_u16,
        "recorded_global_sequence": codec.read_u64,
        "event_evicted": codec.read_bool,
        "receipt_extensions": codec.mapping(codec.read_str, codec.read_bytes),
    },
    defaults={"event_evicted": False},
)


def decode(buf: Any) -> tuple[IdempotencyEntry, ...]:
    """The entries in file order, which means nothing. Of a repeated key only the last is given."""
    data = codec.as_bytes(buf)
    open_envelope(data, layout.IDEMPOTENCY_MAGIC, layout.IDEMPOTENCY_VERSION)
    entries = map(_entry, codec.sequence(_read_entry)(body_cursor(data)))
    return tuple({entry.key: entry for entry in entries}.values())


def _entry(values: Mapping[str, Any]) -> IdempotencyEntry:
    fields = dict(values)
    return IdempotencyEntry(
        segment_id=fields.pop("disk_pos_segment"),
        offset=fields.pop("disk_pos_offset"),
        length=fields.pop("disk_pos_length"),
        extensions=fields.pop("receipt_extensions"),
        **fields,
    )


def encode(entries: Sequence[IdempotencyEntry]) -> bytes:
    """The whole file, entries in the order given."""
    body = codec.pack_array([_pack_entry(entry) for entry in entries])
    return close_envelope(layout.IDEMPOTENCY_MAGIC, layout.IDEMPOTENCY_VERSION, body)


def _pack_entry(entry: IdempotencyEntry) -> bytes:
    return codec.pack_map(
        [
            ("key", codec.pack_bin16(entry.key)),
            ("event_id", codec.pack_bin16(entry.event_id)),
            ("global_sequence", codec.pack_uint(entry.global_sequence)),
            ("disk_pos_segment", codec.pack_uint(entry.segment_id)),
            ("disk_pos_offset", codec.pack_uint(entry.offset)),
            ("disk_pos_length", codec.pack_uint(entry.length)),
            ("content_hash", codec.pack_int_array(entry.content_hash)),
            ("prev_hash", codec.pack_int_array(entry.prev_hash)),
            ("entity", codec.pack_str(entry.entity)),
            ("scope", codec.pack_str(entry.scope)),
            ("kind", codec.pack_uint(entry.kind)),
            ("recorded_global_sequence", codec.pack_uint(entry.recorded_global_sequence)),
            ("event_evicted", codec.pack_bool(entry.event_evicted)),
            ("receipt_extensions", encode_extensions(entry.extensions)),
        ]
    )
