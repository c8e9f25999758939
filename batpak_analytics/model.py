"""The values that the rest of the package speaks of: frozen, slotted, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar

from batpak_analytics.markup import Html, clip, element, facts, joined, short_id, time_text

_WIDEST, _LONGEST = 200, 2000

T = TypeVar("T")
Severity = Literal["info", "warning", "error"]

# layout.py is the home of kind numbers, but model may not import it; a test holds the two equal.
_MARKER_KINDS = frozenset((0x0006, 0x0007))


@dataclass(frozen=True, slots=True, order=True)
class Coordinate:
    """What an event is about: an entity within a scope."""

    entity: str
    scope: str

    def __str__(self) -> str:
        return f"{self.entity}@{self.scope}"


class EventKind(int):
    """A 16-bit event kind: 4 bits of category above 12 bits of type id."""

    __slots__ = ()

    @property
    def category(self) -> int:
        """The top four bits."""
        return self >> 12

    @property
    def type_id(self) -> int:
        """The low twelve bits."""
        return self & 0x0FFF

    @property
    def is_reserved(self) -> bool:
        """Whether only batpak itself may append it (categories 0x0 and 0xD)."""
        return self.category in (0x0, 0xD)

    def __repr__(self) -> str:
        return f"EventKind(0x{self:04X})"

    def __str__(self) -> str:
        return f"0x{self:04X}"


@dataclass(frozen=True, slots=True)
class Position:
    """Where an event stands in its (entity, lane): ``clock`` is the key ``sequence`` on disk."""

    wall_ms: int
    counter: int = 0
    depth: int = 0
    lane: int = 0
    clock: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class HashChain:
    """BLAKE3 of the stored payload bytes, and that of the parent on the same (entity, lane)."""

    prev_hash: bytes
    event_hash: bytes

    def __repr__(self) -> str:
        return f"HashChain(prev={self.prev_hash.hex()[:8]}, event={self.event_hash.hex()[:8]})"


@dataclass(frozen=True, slots=True)
class PayloadEncryption:
    """Which key and nonce sealed a payload."""

    keyscope_id: bytes
    nonce: bytes


def _no_extensions() -> Mapping[str, bytes]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, repr=False)
class Event:
    """One event as its frame holds it. Ids are 16 big-endian bytes; ``causation_id`` None means no cause.

    ``payload`` is the stored bytes (MessagePack, or ciphertext when ``payload_encryption`` is set), and in what
    ``Reader.get`` returns the decoded value, with ``global_sequence`` set, which no frame holds, and ``raw``, the
    stored bytes.
    ``payload_size`` is what the header says, which for a batch marker is the number of items.
    """

    event_id: bytes
    correlation_id: bytes
    causation_id: bytes | None
    timestamp_us: int
    position: Position
    payload_size: int
    kind: EventKind
    flags: int
    content_hash: bytes
    payload_version: int
    payload_encryption: PayloadEncryption | None
    payload: Any
    hash_chain: HashChain | None
    entity: str
    scope: str
    extensions: Mapping[str, bytes] = field(default_factory=_no_extensions)
    global_sequence: int | None = None
    raw: bytes | None = field(default=None, repr=False, compare=False)

    def decode(self, cls: type[T], registry: Any = None) -> T:
        """The payload as a `cls`, a class registered with `event_payload` (or in `registry`, where one is given).

        An older version is lifted by the registered steps first; version 0, which untyped appends leave, is taken for
        the current one, as batpak does.

        Raises `PayloadKindError` for an event of another kind, `PayloadVersionError` for a newer version,
        `UpcastError`, `PayloadMismatchError`, `PayloadEncryptedError`, and `PayloadDeclarationError` for a class that
        is not registered.
        """
        value: T = _payloads("decoding").decode(self, cls, registry or _payloads("default").default_registry)
        return value

    def route(self, cls: type[T], registry: Any = None) -> T | None:
        """As `decode`, and None for an event of another kind."""
        value: T | None = _payloads("decoding").route(self, cls, registry or _payloads("default").default_registry)
        return value

    @property
    def coordinate(self) -> Coordinate:
        """Entity and scope as one value."""
        return Coordinate(self.entity, self.scope)

    def __hash__(self) -> int:
        return hash(self.event_id)  # a payload may be a dict, which has no hash

    def __reduce__(self) -> tuple[Any, ...]:
        # Read-only views of dicts neither pickle nor copy; the new event has one of its own.
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return _event_of, (values | {"extensions": dict(self.extensions)},)

    @property
    def is_marker(self) -> bool:
        """Whether this is the begin or commit frame of a batch rather than an event of its own."""
        return self.kind in _MARKER_KINDS

    def __repr__(self) -> str:
        cause = "" if self.causation_id is None else f", cause=…{self.causation_id.hex()[-8:]}"
        sealed = ", encrypted" if self.payload_encryption is not None else ""
        payload = f"{len(self.payload)} bytes" if isinstance(self.payload, bytes) else f"payload={self.payload!r:.60}"
        return (
            f"Event(…{self.event_id.hex()[-8:]}, {self.entity!r} @ {self.scope!r}, kind={self.kind}, "
            f"clock={self.position.clock}, lane={self.position.lane}{cause}, "
            f"{payload}{sealed})"
        )

    def _repr_html_(self) -> Html:
        at, cause = self.position, self.causation_id
        sealed = "encrypted, " if self.payload_encryption is not None else ""
        stored = isinstance(self.payload, bytes)
        return facts(
            joined([element("b", "Event"), " ", short_id(self.event_id)]),
            {
                "global sequence": self.global_sequence,
                "entity": clip(self.entity, _WIDEST),
                "scope": clip(self.scope, _WIDEST),
                "kind": str(self.kind),
                "clock, lane": f"{at.clock}, {at.lane}",
                "timestamp": time_text(self.timestamp_us),
                "correlation": short_id(self.correlation_id),
                "cause": "names none" if cause is None else short_id(cause),
                "payload": f"{sealed}{len(self.payload):,} bytes" if stored else clip(repr(self.payload), _LONGEST),
            },
        )


def _event_of(values: dict[str, Any]) -> Event:
    return Event(**values | {"extensions": MappingProxyType(values["extensions"])})


def _payloads(module: str) -> Any:
    # The one door upwards: payload types are built on events, and two methods are their shorthand.
    return import_module(f"batpak_analytics.payloads.{module}")


@dataclass(frozen=True, slots=True, repr=False)
class IndexEntry:
    """What the index knows of an event, without its frame: everything but payload, time stamp, flags and extensions.

    Ids are 16 big-endian bytes. `segment_id`, `offset` and `length` are the place of its frame.
    """

    event_id: bytes
    correlation_id: bytes
    causation_id: bytes | None
    entity: str
    scope: str
    kind: EventKind
    position: Position
    hash_chain: HashChain
    segment_id: int
    offset: int
    length: int
    global_sequence: int

    @property
    def coordinate(self) -> Coordinate:
        """Entity and scope as one value."""
        return Coordinate(self.entity, self.scope)

    def __repr__(self) -> str:
        return (
            f"IndexEntry({self.global_sequence}, …{self.event_id.hex()[-8:]}, {self.entity!r} @ {self.scope!r}, "
            f"kind={self.kind}, clock={self.position.clock}, lane={self.position.lane})"
        )


AncestryEnd = Literal["genesis", "limit", "missing-parent", "no-anchor"]


@dataclass(frozen=True, slots=True)
class AncestorWalk:
    """An event and those that its hash chain leads to, newest first, and why the walk ended.

    ``"genesis"``: at the first event of the lane. ``"limit"``: as many as were asked for. ``"missing-parent"``: the
    parent of the last one is hidden or was compacted away. ``"no-anchor"``: no visible event has the id.
    """

    entries: tuple[IndexEntry, ...]
    end: AncestryEnd


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing about a store: what rule, where, what it means and what to do."""

    severity: Severity
    rule: str
    segment: int | None = None
    file: str | None = None
    offset: int | None = None
    meaning: str = ""
    action: str = ""


class Receipt(NamedTuple):
    """Where an appended event stands. `durable` is True when it was on disk as the receipt was given.

    `replayed` is True where the idempotency key had been used: it is the receipt of that append, and nothing was
    written. If its event was compacted away since, its clock and lane are None.
    """

    event_id: bytes
    global_sequence: int
    clock: int | None
    lane: int | None
    content_hash: bytes
    segment_id: int
    offset: int
    length: int
    durable: bool
    replayed: bool = False

    def __repr__(self) -> str:
        replayed = ", replayed" if self.replayed else ""
        return (
            f"Receipt({self.global_sequence}, …{self.event_id.hex()[-8:]}, clock={self.clock}, lane={self.lane}, "
            f"durable={self.durable}{replayed})"
        )
