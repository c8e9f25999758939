"""``index.idemp``: which idempotency keys were used, and what each append returned (spec sidecars 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from batpak_analytics.format import codec, layout
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
    body: bytes = msgpack.packb([_fields(entry) for entry in entries])
    return close_envelope(layout.IDEMPOTENCY_MAGIC, layout.IDEMPOTENCY_VERSION, body)


def _fields(entry: IdempotencyEntry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "event_id": entry.event_id,
        "global_sequence": entry.global_sequence,
        "disk_pos_segment": entry.segment_id,
        "disk_pos_offset": entry.offset,
        "disk_pos_length": entry.length,
        "content_hash": list(entry.content_hash),
        "prev_hash": list(entry.prev_hash),
        "entity": entry.entity,
        "scope": entry.scope,
        "kind": int(entry.kind),
        "recorded_global_sequence": entry.recorded_global_sequence,
        "event_evicted": entry.event_evicted,
        "receipt_extensions": {key: list(entry.extensions[key]) for key in sorted(entry.extensions, key=str.encode)},
    }
