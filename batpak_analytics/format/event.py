"""A frame body and the event in it (spec segments 2.5, 2.6).

:func:`parse_event` finds every field and leaves the payload where it is; :func:`decode_event` also un-escapes
it; :func:`encode_event` writes the bytes that batpak 0.9.0 writes for the same event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgpack

from batpak_analytics.format import codec, layout
from batpak_analytics.format.codec import ByteSpan, Cursor
from batpak_analytics.model import Event, EventKind, HashChain, PayloadEncryption, Position


@dataclass(frozen=True, slots=True)
class ParsedEvent:
    """The fields of FRAME_DTYPE under the same names. Positions are indexes into the buffer parsed.

    Ids are big-endian and zero for "no cause". ``extensions_start == extensions_end`` when the frame has no
    such key. ``payload_form`` and ``keyscope_form`` are layout.PAYLOAD_* values.
    """

    has_chain: bool
    encrypted: bool
    flags: int
    payload_form: int
    kind: int
    payload_version: int
    payload_size: int
    payload_count: int
    depth: int
    lane: int
    clock: int
    counter: int
    timestamp_us: int
    wall_ms: int
    payload_start: int
    payload_end: int
    entity_start: int
    entity_size: int
    scope_start: int
    scope_size: int
    extensions_start: int
    extensions_end: int
    keyscope_start: int
    keyscope_end: int
    keyscope_count: int
    keyscope_form: int
    event_id: bytes
    correlation_id: bytes
    causation_id: bytes
    content_hash: bytes
    prev_hash: bytes
    event_hash: bytes
    nonce: bytes


_read_hash = codec.fixed_bytes(layout.HASH_SIZE)
_read_extensions = codec.mapping(codec.read_str, codec.read_bytes)
# Walking the extensions checks them as the reference does without keeping their bytes.
_check_extensions = codec.mapping(codec.read_str_span, codec.read_bytes_span)


def _read_extensions_span(cur: Cursor) -> tuple[int, int]:
    start = cur.pos
    _check_extensions(cur)
    return start, cur.pos


_read_position = codec.Struct(
    "position",
    {
        "wall_ms": codec.read_u64,
        "counter": codec.read_u16,
        "depth": codec.read_u32,
        "lane": codec.read_u32,
        "sequence": codec.read_u32,
    },
)
_read_encryption = codec.Struct(
    "payload_encryption",
    {"keyscope_id": codec.read_bytes_span, "nonce": codec.fixed_bytes(layout.NONCE_SIZE)},
)
_read_header = codec.Struct(
    "header",
    {
        "event_id": codec.read_id,
        "correlation_id": codec.read_id,
        "causation_id": codec.optional(codec.read_id),
        "timestamp_us": codec.read_i64,
        "position": _read_position,
        "payload_size": codec.read_u32,
        "event_kind": codec.read_u16,
        "flags": codec.read_u8,
        "content_hash": _read_hash,
        "payload_version": codec.read_u16,
        "payload_encryption": codec.optional(_read_encryption),
    },
    defaults={"content_hash": layout.ZERO_HASH, "payload_version": 0, "payload_encryption": None},
    nullable=("causation_id",),
)
_read_chain = codec.Struct("hash_chain", {"prev_hash": _read_hash, "event_hash": _read_hash})
_read_event = codec.Struct(
    "event",
    {
        "header": _read_header,
        "payload": codec.read_bytes_span,
        "hash_chain": codec.optional(_read_chain),
    },
    nullable=("hash_chain",),
)
_read_frame = codec.Struct(
    "the frame",
    {
        "event": _read_event,
        "entity": codec.read_str_span,
        "scope": codec.read_str_span,
        "receipt_extensions": _read_extensions_span,
    },
    defaults={"receipt_extensions": (0, 0)},
)
_NO_SPAN = ByteSpan(0, 0, 0, layout.PAYLOAD_INTS)


def parse_event(buf: Any, start: int = 0, end: int | None = None) -> ParsedEvent:
    """Where every field of the frame body ``buf[start:end]`` is; raises FormatError for what is not an event.

    Bytes after the outermost value are ignored, as in the reference.
    """
    body = bytes(memoryview(buf).cast("B")[start:end])
    return _parsed(_read_frame(Cursor(body, base=start)), start)


def _parsed(frame: Mapping[str, Any], base: int) -> ParsedEvent:
    event = frame["event"]
    header = event["header"]
    position = header["position"]
    chain = event["hash_chain"]
    sealed = header["payload_encryption"]
    payload: ByteSpan = event["payload"]
    keyscope: ByteSpan = sealed["keyscope_id"] if sealed else _NO_SPAN
    extensions = frame["receipt_extensions"]
    return ParsedEvent(
        has_chain=chain is not None,
        encrypted=sealed is not None,
        flags=header["flags"],
        payload_form=payload.form,
        kind=header["event_kind"],
        payload_version=header["payload_version"],
        payload_size=header["payload_size"],
        payload_count=payload.length,
        depth=position["depth"],
        lane=position["lane"],
        clock=position["sequence"],
        counter=position["counter"],
        timestamp_us=header["timestamp_us"],
        wall_ms=position["wall_ms"],
        payload_start=base + payload.start,
        payload_end=base + payload.end,
        entity_start=base + frame["entity"][0],
        entity_size=frame["entity"][1],
        scope_start=base + frame["scope"][0],
        scope_size=frame["scope"][1],
        extensions_start=base + extensions[0],
        extensions_end=base + extensions[1],
        keyscope_start=base + keyscope.start if sealed else 0,
        keyscope_end=base + keyscope.end if sealed else 0,
        keyscope_count=keyscope.length,
        keyscope_form=keyscope.form,
        event_id=header["event_id"],
        correlation_id=header["correlation_id"],
        causation_id=header["causation_id"] or layout.ZERO_ID,
        content_hash=header["content_hash"],
        prev_hash=chain["prev_hash"] if chain else layout.ZERO_HASH,
        event_hash=chain["event_hash"] if chain else layout.ZERO_HASH,
        nonce=sealed["nonce"] if sealed else b"",
    )


def decode_event(buf: Any, start: int = 0, end: int | None = None) -> Event:
    """The event in the frame body ``buf[start:end]``. A stored cause of zero reads as no cause."""
    body = bytes(memoryview(buf).cast("B")[start:end])
    parsed = _parsed(_read_frame(Cursor(body, base=start)), 0)
    return event_at(body, parsed)


def event_at(
    body: bytes, at: ParsedEvent, value_of: Callable[[bytes], Any] | None = None, sequence: int | None = None
) -> Event:
    """The event whose fields are at these places of `body`.

    With `value_of`, its payload is what that gives for the stored one, and `raw` is the stored one.
    """
    payload = codec.span_bytes(body, ByteSpan(at.payload_start, at.payload_end, at.payload_count, at.payload_form))
    return Event(
        event_id=at.event_id,
        correlation_id=at.correlation_id,
        causation_id=None if at.causation_id == layout.ZERO_ID else at.causation_id,
        timestamp_us=at.timestamp_us,
        position=Position(at.wall_ms, at.counter, at.depth, at.lane, at.clock),
        payload_size=at.payload_size,
        kind=EventKind(at.kind),
        flags=at.flags,
        content_hash=at.content_hash,
        payload_version=at.payload_version,
        payload_encryption=_encryption(body, at),
        payload=payload if value_of is None else value_of(payload),
        hash_chain=HashChain(at.prev_hash, at.event_hash) if at.has_chain else None,
        entity=body[at.entity_start : at.entity_start + at.entity_size].decode(),
        scope=body[at.scope_start : at.scope_start + at.scope_size].decode(),
        extensions=decode_extensions(body, at.extensions_start, at.extensions_end),
        global_sequence=sequence,
        raw=None if value_of is None else payload,
    )


def _encryption(body: bytes, at: ParsedEvent) -> PayloadEncryption | None:
    if not at.encrypted:
        return None
    span = ByteSpan(at.keyscope_start, at.keyscope_end, at.keyscope_count, at.keyscope_form)
    return PayloadEncryption(codec.span_bytes(body, span), at.nonce)


def decode_extensions(buf: Any, start: int, end: int) -> Mapping[str, bytes]:
    """Receipt extensions by name, from the span that FRAME_DTYPE gives; an empty span means none."""
    if start == end:
        return MappingProxyType({})
    return MappingProxyType(_read_extensions(Cursor(bytes(memoryview(buf).cast("B")[start:end]), base=start)))


def encode_extensions(extensions: Mapping[str, bytes]) -> bytes:
    """The map as a BTreeMap writes it: keys ascending by bytes, values as int-arrays."""
    packed: bytes = msgpack.packb({key: list(value) for key, value in _ordered(extensions)})
    return packed


def encode_event(event: Event) -> bytes:
    """The frame body for an event, as batpak 0.9.0 writes it: ten header keys, eleven when encrypted."""
    position, chain, sealed = event.position, event.hash_chain, event.payload_encryption
    header: dict[str, Any] = {
        "event_id": _id(event.event_id),
        "correlation_id": _id(event.correlation_id),
        "causation_id": None if event.causation_id is None else _id(event.causation_id),
        "timestamp_us": event.timestamp_us,
        "position": {
            "wall_ms": position.wall_ms,
            "counter": position.counter,
            "depth": position.depth,
            "lane": position.lane,
            "sequence": position.clock,
        },
        "payload_size": event.payload_size,
        "event_kind": int(event.kind),
        "flags": event.flags,
        "content_hash": list(event.content_hash),
        "payload_version": event.payload_version,
    }
    if sealed is not None:
        header["payload_encryption"] = {"keyscope_id": list(sealed.keyscope_id), "nonce": list(sealed.nonce)}
    links = None if chain is None else {"prev_hash": list(chain.prev_hash), "event_hash": list(chain.event_hash)}
    # Ids are bin, other bytes are arrays of integers, and every integer has its shortest form: what msgpack does.
    packed: bytes = msgpack.packb(
        {
            "event": {"header": header, "payload": list(event.payload), "hash_chain": links},
            "entity": event.entity,
            "scope": event.scope,
            "receipt_extensions": {key: list(value) for key, value in _ordered(event.extensions)},
        }
    )
    return packed


def _id(value: bytes) -> bytes:
    if len(value) != layout.ID_SIZE:
        raise ValueError(f"An id is {layout.ID_SIZE} bytes, not {len(value)}. Pass the big-endian bytes of the id.")
    return value


def _ordered(extensions: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """As a BTreeMap holds them: keys ascending by bytes."""
    return sorted(extensions.items(), key=lambda item: item[0].encode())
