"""The registry of the process, and the decorators that fill it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from batpak_analytics.model import Event
from batpak_analytics.payloads import decoding
from batpak_analytics.payloads.registry import Class, Function, PayloadRegistry

default_registry = PayloadRegistry()


def event_payload(*, category: int, type_id: int, version: int = 1) -> Callable[[Class], Class]:
    """Register a dataclass, `msgspec.Struct` or pydantic model as the payload of one event kind.

    `category` is 1 to 15 without 0xD, `type_id` 0 to 0xFFF, `version` 1 to 65535: the numbers of the Rust struct that
    derives `EventPayload`. Raise `version` with every change of the fields, and register a step with `upcast` from
    the version before. Write with `Store.append_typed`, read with `Event.decode`.

    Fields are stored as serde stores the same struct: in their order, nested classes as maps. They may be bool, int,
    float, str, Enum and Literal (of text or of int), list, tuple, dict with text keys, other such classes, `X | None`,
    unions of scalars, and Any.

    Raises `PayloadDeclarationError` for a number out of range, a generic class, one without named fields, and a field
    that has no form in batpak. A class that another one has the kind of is found by `Store.open`.

    Examples
    --------
    >>> import tempfile
    >>> from dataclasses import dataclass
    >>> import batpak_analytics as bp
    >>> @bp.event_payload(category=0x7, type_id=0x001)
    ... @dataclass
    ... class Weighed:
    ...     grams: float
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     with bp.Store.open(directory) as store:
    ...         receipt = store.append_typed("parcel:1", "depot", Weighed(grams=250))
    ...     with bp.open_reader(directory) as reader:
    ...         reader.get(receipt.event_id).decode(Weighed)
    Weighed(grams=250.0)
    """
    return default_registry.event_payload(category=category, type_id=type_id, version=version)


def upcast(payload: type | int, *, from_version: int) -> Callable[[Function], Function]:
    """Register a function that lifts a decoded payload from `from_version` to the next version.

    It takes what is stored, as dicts, lists, text and numbers, which it may change, and returns the lifted value.
    `payload` is a registered class, or the kind as an int. What is stored never changes.

    Raises `PayloadDeclarationError` for a class that is not registered, a version that needs no step, and a second
    step from one version. The same function at the same place, run again, takes the place of the one before.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import batpak_analytics as bp
    >>> @bp.event_payload(category=0x7, type_id=0x002, version=2)
    ... @dataclass
    ... class Measured:
    ...     metres: float
    >>> @bp.upcast(Measured, from_version=1)
    ... def _(value: dict) -> dict:
    ...     return {"metres": value["feet"] * 0.3048}
    """
    return default_registry.upcast(payload, from_version=from_version)


def decode_any(event: Event, registry: PayloadRegistry | None = None) -> Any:
    """The payload as an instance of the type that is registered for the event's kind; None if none is.

    Raises what `Event.decode` does, and `PayloadCollisionError` where two types share the kind.
    """
    return decoding.decode_any(event, registry or default_registry)
