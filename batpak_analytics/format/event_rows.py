"""Events as rows of columns: the readable twin and the oracle of ``kernels/event_rows.py``.

A million events as objects take a gigabyte. Here they stay columns, and an `EventRow` is made for the moment in which
a projection looks at it: a place in the columns, which gives what it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from batpak_analytics.errors import FormatError
from batpak_analytics.format.json_text import payload_to_json_value
from batpak_analytics.model import Coordinate, EventKind, Position

_UNREAD: Any = object()


class EventColumns:
    """The columns of some events, all of one length.

    `sequence` uint64; `event_id`, `correlation_id`, `causation_id` uint8 of shape (n, 16), big-endian; `caused` uint8;
    `entity`, `scope` int32, places in the lists `entities` and `scopes`; `kind` uint16; `wall_ms` int64 or uint64;
    `timestamp_us` int64; `lane`, `depth`, `clock` uint32; `payload_version` uint16. The stored payload of row i is
    `data[bounds[i]:bounds[i + 1]]` (uint8, int64); where `trouble[i]` (uint8) is not 0 it has no value.

    `typed` has, by kind, what makes the value of (stored bytes, version, event id); other payloads give plain JSON.
    Of a map among these, `fields` (None: all) are kept.
    `refuse(row, error)` makes the exception for a payload that has no value, `whole(row)` the event as its frame has
    it.
    """

    def __init__(
        self, *, sequence: Any, event_id: Any, correlation_id: Any, causation_id: Any, caused: Any, entity: Any,
        entities: Any, scope: Any, scopes: Any, kind: Any, wall_ms: Any, timestamp_us: Any, lane: Any, depth: Any,
        clock: Any, payload_version: Any, data: Any, bounds: Any, trouble: Any, typed: Any, refuse: Any, whole: Any,
        fields: Any = None,
    ) -> None:  # fmt: skip
        self.sequence, self.event_id, self.correlation_id = sequence, event_id, correlation_id
        self.causation_id, self.caused = causation_id, caused
        self.entity, self.entities, self.scope, self.scopes, self.kind = entity, entities, scope, scopes, kind
        self.wall_ms, self.timestamp_us = wall_ms, timestamp_us
        self.lane, self.depth, self.clock, self.payload_version = lane, depth, clock, payload_version
        self.data, self.bounds, self.trouble, self.typed = data, bounds, trouble, typed
        self.refuse, self.whole, self.fields = refuse, whole, fields

    def __len__(self) -> int:
        return len(self.sequence)

    def rows(self, start: int, stop: int) -> Iterator[EventRow]:
        """The events of a range, each made as it is reached."""
        return (EventRow(self, row) for row in range(start, stop))

    def row(self, row: int) -> EventRow:
        """One event."""
        return EventRow(self, row)

    def raw(self, row: int) -> bytes:
        """The stored payload bytes of a row."""
        low, high = self.bounds[row : row + 2].tolist()
        stored: bytes = self.data[low:high].tobytes()
        return stored

    def value(self, row: int) -> Any:
        """The payload of a row, made anew; raises what `refuse` makes where it has none."""
        if self.trouble[row]:
            raise self.refuse(row, None)
        make = self.typed.get(int(self.kind[row])) if self.typed else None
        if make is not None:
            return make(self.raw(row), int(self.payload_version[row]), self.event_id[row].tobytes())
        try:
            return chosen(payload_to_json_value(self.raw(row)), self.fields)
        except FormatError as error:
            raise self.refuse(row, error) from error


class EventRow:
    """An event as a projection sees it, with the attributes of `Event`.

    `payload` is decoded when it is first asked for, and for this object alone: what is done to it reaches no other
    fold. `row` is the place of the event among those that are folded, from 0.
    """

    __slots__ = ("_columns", "_payload", "row")

    def __init__(self, columns: Any, row: int) -> None:
        self._columns, self.row, self._payload = columns, row, _UNREAD

    @property
    def payload(self) -> Any:
        """The decoded payload."""
        if self._payload is _UNREAD:
            self._payload = self._columns.value(self.row)
        return self._payload

    @property
    def has_payload(self) -> bool:
        """Whether `payload` has been asked for, so that there is an object of it."""
        return self._payload is not _UNREAD

    @property
    def raw(self) -> bytes:
        """The payload as it is stored."""
        stored: bytes = self._columns.raw(self.row)
        return stored

    @property
    def entity(self) -> str:
        """What the event is about."""
        name: str = self._columns.entities[self._columns.entity[self.row]]
        return name

    @property
    def scope(self) -> str:
        """Within what."""
        name: str = self._columns.scopes[self._columns.scope[self.row]]
        return name

    @property
    def kind(self) -> EventKind:
        """The event kind."""
        return EventKind(self._columns.kind[self.row])

    @property
    def global_sequence(self) -> int:
        """Its place in the commit order of the store."""
        return int(self._columns.sequence[self.row])

    @property
    def event_id(self) -> bytes:
        """16 big-endian bytes."""
        name: bytes = self._columns.event_id[self.row].tobytes()
        return name

    @property
    def correlation_id(self) -> bytes:
        """16 big-endian bytes."""
        name: bytes = self._columns.correlation_id[self.row].tobytes()
        return name

    @property
    def causation_id(self) -> bytes | None:
        """16 big-endian bytes, or None."""
        return self._columns.causation_id[self.row].tobytes() if self._columns.caused[self.row] else None

    @property
    def timestamp_us(self) -> int:
        """When its producer says that it happened."""
        return int(self._columns.timestamp_us[self.row])

    @property
    def payload_version(self) -> int:
        """The version that the payload was stored with."""
        return int(self._columns.payload_version[self.row])

    @property
    def position(self) -> Position:
        """Where it stands on its entity and lane."""
        return position_of(self._columns, self.row)

    @property
    def coordinate(self) -> Coordinate:
        """Entity and scope as one value."""
        return Coordinate(self.entity, self.scope)

    @property
    def flags(self) -> int:
        """From the event's frame, as are the next five."""
        return int(self._columns.whole(self.row).flags)

    @property
    def content_hash(self) -> bytes:
        """BLAKE3 of the stored payload, as the header says it."""
        stored: bytes = self._columns.whole(self.row).content_hash
        return stored

    @property
    def hash_chain(self) -> Any:
        """Its link to the event before on its lane."""
        return self._columns.whole(self.row).hash_chain

    @property
    def extensions(self) -> Any:
        """Receipt extensions."""
        return self._columns.whole(self.row).extensions

    @property
    def payload_size(self) -> int:
        """What the header says."""
        return int(self._columns.whole(self.row).payload_size)

    @property
    def payload_encryption(self) -> Any:
        """Key and nonce of a sealed payload, or None."""
        return self._columns.whole(self.row).payload_encryption

    def decode(self, cls: type, registry: Any = None) -> Any:
        """As `Event.decode`."""
        return typed_payload(self, "decode", cls, registry)

    def route(self, cls: type, registry: Any = None) -> Any:
        """As `Event.route`."""
        return typed_payload(self, "route", cls, registry)

    def __eq__(self, other: object) -> bool:
        return same_event(self, other)

    def __hash__(self) -> int:
        return hash(self.event_id)

    def __repr__(self) -> str:
        return text_of(self)

    def __copy__(self) -> EventRow:
        return self

    def __deepcopy__(self, memo: Any) -> EventRow:
        return EventRow(self._columns, self.row)

    def __reduce__(self) -> Any:
        return pickled(self._columns, self.row)


def chosen(value: Any, fields: Any) -> Any:
    """Of a map the fields that are wanted (None: all); any other value as it is."""
    if fields is None or type(value) is not dict:
        return value
    return {name: item for name, item in value.items() if name in fields}


def position_of(columns: Any, row: int) -> Position:
    """Where the event of a row stands on its entity and lane."""
    numbers = (int(getattr(columns, name)[row]) for name in ("wall_ms", "depth", "lane", "clock"))
    wall_ms, depth, lane, clock = numbers
    return Position(wall_ms, 0, depth, lane, clock)


def typed_payload(event: Any, how: str, cls: type, registry: Any) -> Any:
    """The payload of a row as a `cls`."""
    # As the shorthand of `Event`: payload types are built on events.
    home = "batpak_analytics.payloads"
    registry = registry or import_module(f"{home}.default").default_registry
    return getattr(import_module(f"{home}.decoding"), how)(event, cls, registry)


def same_event(event: Any, other: object) -> bool:
    """Whether the other is this event: an id names one, and a sequence tells two of one id apart."""
    identity = event.event_id, event.global_sequence
    return identity == (getattr(other, "event_id", None), getattr(other, "global_sequence", None))


def pickled(columns: Any, row: int) -> Any:
    """A pickle must not take a million neighbours along: it holds the event as its frame has it."""
    whole = columns.whole(row)
    fields = {name: getattr(whole, name) for name in type(whole).__dataclass_fields__}
    return type(whole), tuple((fields | {"extensions": dict(whole.extensions)}).values())


def text_of(event: Any) -> str:
    """The event in a line."""
    return (
        f"Event({event.global_sequence}, …{event.event_id.hex()[-8:]}, {event.entity!r} @ {event.scope!r}, "
        f"kind={event.kind})"
    )
