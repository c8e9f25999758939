"""What a caller asks to append, checked and encoded before anything is written."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from batpak_analytics.engine.point_read import id_bytes
from batpak_analytics.errors import AppendRefusedError
from batpak_analytics.format import layout
from batpak_analytics.format.event import encode_extensions
from batpak_analytics.model import EventKind
from batpak_analytics.payloads.plain import encode_payload

if TYPE_CHECKING:
    from batpak_analytics.payloads.registry import PayloadRegistry

EventId = str | bytes | int | uuid.UUID
_RESERVED_NAMESPACE = "batpak"
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f/|=]|\.\.")
_WHY_FORBIDDEN = {"/": "a path separator", "..": "a path step", "|": "a separator", "=": "a separator"}


@dataclass(frozen=True, slots=True)
class PriorItem:
    """The cause of a batch item: the item at `index`, earlier in the same batch."""

    index: int


@dataclass(slots=True)  # not frozen: one is made for every append, and that would take three times as long
class BatchItem:
    """One event to append.

    `payload` is a value that `Store.append` encodes; `raw` is stored as it is, in its place. Where `kind` is None,
    kind and version are those that the payload's type is registered with (`BatchItem.typed`). `branch_root` adds one
    to `depth`, as the reference's position hint does. An `idempotency_key` becomes the id of the event, and is not
    zero. Ids and keys are hexadecimal, `uuid.UUID`, 16 bytes or int.
    """

    entity: str
    scope: str
    kind: int | None
    payload: Any = None
    raw: bytes | None = None
    correlation_id: EventId | None = None
    causation_id: EventId | PriorItem | None = None
    lane: int = 0
    depth: int = 0
    branch_root: bool = False
    flags: int = 0
    payload_version: int = 0
    extensions: Mapping[str, bytes] = field(default_factory=dict)
    idempotency_key: EventId | None = None

    @classmethod
    def typed(cls, entity: str, scope: str, payload: Any, **options: Any) -> BatchItem:
        """An item whose kind and version are those of the payload's registered type; `options` are further fields."""
        return cls(entity, scope, None, payload, **options)


class Draft(NamedTuple):
    """A checked item with its payload encoded; all that is missing is its place in the order."""

    entity: str
    scope: str
    kind: EventKind
    payload: bytes
    correlation_id: bytes | None
    causation: bytes | PriorItem | None
    lane: int
    depth: int
    flags: int
    payload_version: int
    extensions: Mapping[str, bytes]
    size_bytes: int
    key: bytes | None = None


def make_draft(item: BatchItem, max_bytes: int, registry: PayloadRegistry) -> Draft:
    """The item, checked by the reference's rules; raises `AppendRefusedError` with the first that it breaks."""
    if not isinstance(item, BatchItem):
        raise TypeError(f"A batch item is a {type(item).__name__}. Pass BatchItem(entity, scope, kind, payload).")
    check_part("entity", item.entity)
    check_part("scope", item.scope)
    _check_integer("lane", item.lane, layout.U32_MAX)
    _check_integer("depth", item.depth, layout.U32_MAX)
    _check_integer("flags", item.flags, layout.U8_MAX)
    _check_integer("payload_version", item.payload_version, layout.U16_MAX)
    _check_extensions(item.extensions)
    kind, version, payload = _encoded(item, registry)
    size = len(payload) + (len(encode_extensions(item.extensions)) if item.extensions else 0)
    if size > max_bytes:
        raise AppendRefusedError(
            f"The payload and its extensions have {size} bytes and may have {max_bytes}. "
            f"Split the event, or raise append_max_bytes.",
            expected=max_bytes,
            actual=size,
        )
    cause = item.causation_id
    return Draft(
        item.entity, item.scope, kind, payload,
        None if item.correlation_id is None else id_bytes(item.correlation_id),
        cause if isinstance(cause, PriorItem) or cause is None else _cause(cause),
        item.lane, min(item.depth + item.branch_root, layout.U32_MAX), item.flags, version,
        dict(item.extensions), size, None if item.idempotency_key is None else _key(item.idempotency_key),
    )  # fmt: skip


# A store has few entities and scopes for its events: those that were checked are not checked again.
_sound_parts: set[str] = set()
_MOST_PARTS = 1 << 16


def check_part(name: str, text: str) -> None:
    """Raise for an entity or scope that the reference does not take."""
    if type(text) is str and text in _sound_parts:
        return
    if type(text) is not str:
        raise TypeError(f"{name} is a {type(text).__name__}. Pass text.")
    if not text:
        raise AppendRefusedError(f"{name} is empty. Name what the event is about.")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise AppendRefusedError(f"{name} {text!r} is not valid Unicode. Replace its lone surrogates.") from error
    if size > layout.MAX_COORDINATE_PART:
        raise AppendRefusedError(
            f"{name} has {size} bytes and may have {layout.MAX_COORDINATE_PART}. Shorten it.",
            expected=layout.MAX_COORDINATE_PART,
            actual=size,
        )
    found = _FORBIDDEN.search(text)
    if found is not None:
        part = found.group()
        what = _WHY_FORBIDDEN.get(part, "a control character")
        raise AppendRefusedError(f"{name} {text!r} holds {part!r}, {what}. Use ':' between parts.")
    if len(_sound_parts) == _MOST_PARTS:
        _sound_parts.clear()
    _sound_parts.add(text)


_sound_kinds: dict[int, EventKind] = {}


def checked_kind(kind: int) -> EventKind:
    """The kind; raises for one that only batpak itself may append."""
    known = _sound_kinds.get(kind) if type(kind) in (int, EventKind) else None
    if known is not None:
        return known
    _check_integer("kind", kind, layout.U16_MAX)
    checked = EventKind(kind)
    if checked.is_reserved:
        raise AppendRefusedError(
            f"Kind {checked} is reserved: categories 0x0 and 0xD belong to batpak. Use 0x1000 to 0xCFFF or 0xE000 up.",
            actual=kind,
        )
    _sound_kinds[int(kind)] = checked
    return checked


def _check_integer(name: str, value: int, most: int) -> None:
    if type(value) is int and 0 <= value <= most:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is a {type(value).__name__}. Pass an int.")
    if not 0 <= value <= most:
        raise AppendRefusedError(f"{name} is {value}. Pass a number from 0 to {most}.", actual=value)


def _cause(given: EventId) -> bytes | None:
    cause = id_bytes(given)
    return None if cause == layout.ZERO_ID else cause


def _key(given: EventId) -> bytes:
    key = id_bytes(given)
    if key == layout.ZERO_ID:
        raise AppendRefusedError("The idempotency key is zero, which elsewhere means no id. Use another one.")
    return key


def _check_extensions(extensions: Mapping[str, bytes]) -> None:
    for key, value in extensions.items():
        namespace, dot, name = key.partition(".")
        well_formed = key.isascii() and len(key) <= layout.MAX_EXTENSION_KEY and namespace and dot and name
        if not well_formed or "." in name or namespace == _RESERVED_NAMESPACE:
            raise AppendRefusedError(
                f"The extension key {key!r} is not 'namespace.name' in ASCII, at most {layout.MAX_EXTENSION_KEY} "
                f"bytes, with a namespace other than 'batpak'. Rename it."
            )
        if not isinstance(value, bytes):
            raise TypeError(f"The extension {key!r} is a {type(value).__name__}. Pass bytes.")


def _encoded(item: BatchItem, registry: PayloadRegistry) -> tuple[EventKind, int, bytes]:
    """Kind, version and payload bytes; a registered class brings its own, also where the kind is given."""
    if item.raw is None and (item.kind is None or registry.knows(type(item.payload))):
        return _typed(item, registry)
    if item.kind is None:
        raise TypeError("raw is given without a kind. Pass the kind of the event that the bytes are the payload of.")
    kind = checked_kind(item.kind)
    return kind, item.payload_version, _stored_payload(item)


def _typed(item: BatchItem, registry: PayloadRegistry) -> tuple[EventKind, int, bytes]:
    known = registry.type_of(type(item.payload))
    if item.kind not in (None, known.kind) or item.payload_version not in (0, known.version):
        raise AppendRefusedError(
            f"The payload is a {known}, and the item says kind {item.kind!r} and version {item.payload_version}. "
            f"Leave both out; an event of another kind or of an older version takes a dict.",
            expected=known.kind,
            actual=item.kind,
        )
    return known.kind, known.version, known.encode(item.payload)


def _stored_payload(item: BatchItem) -> bytes:
    if item.raw is None:
        return encode_payload(item.payload)
    if item.payload is not None:
        raise TypeError("Both payload and raw are given. Pass one of them.")
    if not isinstance(item.raw, bytes):
        raise TypeError(f"raw is a {type(item.raw).__name__}. Pass the stored bytes.")
    return item.raw
