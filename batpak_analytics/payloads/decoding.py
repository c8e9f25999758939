"""Events to instances of their payload types."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from batpak_analytics.errors import (
    PayloadEncryptedError,
    PayloadKindError,
    PayloadMismatchError,
    PayloadVersionError,
    UpcastError,
)
from batpak_analytics.model import Event
from batpak_analytics.payloads.plain import encode_payload
from batpak_analytics.payloads.registry import PayloadRegistry
from batpak_analytics.payloads.types import PayloadType
from batpak_analytics.payloads.upcasts import lift

T = TypeVar("T")


def decode(event: Event, cls: type[T], registry: PayloadRegistry) -> T:
    """The payload of `event` as a `cls` of the current version."""
    known = registry.type_of(cls)
    if event.kind != known.kind:
        raise PayloadKindError(
            f"The event is of kind {event.kind}, and {known} is not. Pick its type, or use route(), which gives None.",
            kind=event.kind,
            current_version=known.version,
            expected=known.kind,
            actual=event.kind,
        )
    value: T = _decode(event, known, registry)
    return value


def route(event: Event, cls: type[T], registry: PayloadRegistry) -> T | None:
    """As `decode`; None for an event of another kind."""
    return decode(event, cls, registry) if event.kind == registry.kind_of(cls) else None


def decode_any(event: Event, registry: PayloadRegistry) -> Any:
    """The payload as an instance of whichever type is registered for the event's kind; None if none is."""
    known = registry.type_for(event.kind)
    return None if known is None else _decode(event, known, registry)


def _decode(event: Event, known: PayloadType, registry: PayloadRegistry) -> Any:
    if event.payload_encryption is not None:
        raise PayloadEncryptedError(
            f"The payload of event {event.event_id.hex()} is encrypted, and no key is held here. Read another event."
        )
    return instance(stored_bytes(event), event.payload_version, event.event_id, known, registry)


def instance(packed: bytes, stored: int, event_id: bytes, known: PayloadType, registry: PayloadRegistry) -> Any:
    """The payload bytes of an event of version `stored` as an instance of the type; the id is for the error."""
    evidence = {"kind": known.kind, "stored_version": stored, "current_version": known.version}
    if stored > known.version:
        raise PayloadVersionError(
            f"Event {event_id.hex()} was written with version {stored} of kind {known.kind}, and "
            f"{known.cls.__qualname__} is of version {known.version}. Use a newer program, or register a newer type.",
            **evidence,
        )
    if stored not in (0, known.version):
        return _lifted(packed, stored, event_id, known, registry)
    try:
        return known.from_bytes(packed)
    except Exception as error:
        raise PayloadMismatchError(
            f"The payload of event {event_id.hex()} is no {known.cls.__qualname__}: {error}. "
            f"Read it without a type, or declare what it holds in a type.",
            **evidence,
        ) from error


def _lifted(packed: bytes, stored: int, event_id: bytes, known: PayloadType, registry: PayloadRegistry) -> Any:
    evidence = {"kind": known.kind, "stored_version": stored, "current_version": known.version}
    try:
        value = msgspec.msgpack.decode(packed)
    except Exception as error:
        raise UpcastError(
            f"The payload of event {event_id.hex()} is not one MessagePack value: {error}. "
            f"Read its bytes with get_raw().",
            from_version=stored,
            **evidence,
        ) from error
    value = lift(registry.steps, known.kind, value, stored, known.version)
    try:
        return known.from_value(value)
    except Exception as error:
        raise UpcastError(
            f"Event {event_id.hex()}, lifted from version {stored} to {known.version}, is no "
            f"{known.cls.__qualname__}: {error}. Mend the steps; the stored event is intact.",
            from_version=known.version - 1,
            **evidence,
        ) from error


def stored_bytes(event: Event) -> bytes:
    """The payload as it is stored; one that was made from a JSON value alone is encoded again."""
    if event.raw is not None:
        return event.raw
    return event.payload if isinstance(event.payload, bytes) else encode_payload(event.payload)
