"""Events as rows of columns, made in a few nanoseconds each: twin of ``format/event_rows.py``.

Payloads are decoded by ``values.py`` where they are plain, and by the readable function where not.
"""

from __future__ import annotations

import sys

import cython
from cython.cimports.batpak_analytics.kernels.members import PyMemberDef, add_member
from cython.cimports.batpak_analytics.kernels.values import Place, give_back, root_fields, root_value
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.cpython.object import PyObject

from batpak_analytics.errors import FormatError
from batpak_analytics.format import event_rows as readable
from batpak_analytics.format.json_text import payload_to_json_value
from batpak_analytics.model import Coordinate, EventKind

p_chars = cython.typedef(cython.pointer[cython.const[cython.char]])
index = cython.typedef(cython.Py_ssize_t)

ID_SIZE = cython.declare(index, 16)

_kinds = cython.declare(list, [None] * 65536)
_making = cython.declare(cython.bint, False)  # an event without columns would read from nowhere
_UNREAD = cython.declare(object, object())


@cython.cclass
class EventColumns:
    """The columns of some events; see the readable twin."""

    sequence = cython.declare(object, visibility="readonly")
    event_id = cython.declare(object, visibility="readonly")
    correlation_id = cython.declare(object, visibility="readonly")
    causation_id = cython.declare(object, visibility="readonly")
    caused = cython.declare(object, visibility="readonly")
    entity = cython.declare(object, visibility="readonly")
    entities = cython.declare(list, visibility="readonly")
    scope = cython.declare(object, visibility="readonly")
    scopes = cython.declare(list, visibility="readonly")
    kind = cython.declare(object, visibility="readonly")
    wall_ms = cython.declare(object, visibility="readonly")
    timestamp_us = cython.declare(object, visibility="readonly")
    lane = cython.declare(object, visibility="readonly")
    depth = cython.declare(object, visibility="readonly")
    clock = cython.declare(object, visibility="readonly")
    payload_version = cython.declare(object, visibility="readonly")
    data = cython.declare(object, visibility="readonly")
    bounds = cython.declare(object, visibility="readonly")
    trouble = cython.declare(object, visibility="readonly")
    typed = cython.declare(dict, visibility="readonly")
    refuse = cython.declare(object, visibility="readonly")
    whole = cython.declare(object, visibility="readonly")
    fields = cython.declare(object, visibility="readonly")
    _fields: list
    _names: list
    _entities: tuple  # the names, for events to point to: a list may change
    _scopes: tuple
    __weakref__: object
    _count: index
    _sequence: cython.const[cython.ulonglong][::1]
    _event_id: cython.const[cython.uchar][:, ::1]
    _correlation_id: cython.const[cython.uchar][:, ::1]
    _causation_id: cython.const[cython.uchar][:, ::1]
    _caused: cython.const[cython.uchar][::1]
    _entity: cython.const[cython.int][::1]
    _scope: cython.const[cython.int][::1]
    _kind: cython.const[cython.ushort][::1]
    _timestamp_us: cython.const[cython.longlong][::1]
    _payload_version: cython.const[cython.ushort][::1]
    _data: cython.const[cython.uchar][::1]
    _bounds: cython.const[cython.longlong][::1]
    _trouble: cython.const[cython.uchar][::1]

    def __init__(
        self, *, sequence, event_id, correlation_id, causation_id, caused, entity, entities, scope, scopes, kind,
        wall_ms, timestamp_us, lane, depth, clock, payload_version, data, bounds, trouble, typed, refuse, whole,
        fields=None,
    ):  # fmt: skip
        if self.sequence is not None:
            raise TypeError("columns do not change: events may stand on them")
        self.sequence, self.event_id, self.correlation_id = sequence, event_id, correlation_id
        self.causation_id, self.caused = causation_id, caused
        self.entity, self.entities, self.scope, self.scopes, self.kind = entity, entities, scope, scopes, kind
        self.wall_ms, self.timestamp_us = wall_ms, timestamp_us
        self.lane, self.depth, self.clock, self.payload_version = lane, depth, clock, payload_version
        self.data, self.bounds, self.trouble, self.typed = data, bounds, trouble, typed
        self.refuse, self.whole, self.fields = refuse, whole, fields
        self._entities, self._scopes = tuple(entities), tuple(scopes)
        self._names = [] if fields is None else [sys.intern(name) for name in fields]
        self._fields = [name.encode() for name in self._names]
        self._sequence, self._kind, self._trouble, self._caused = sequence, kind, trouble, caused
        self._event_id, self._correlation_id, self._causation_id = event_id, correlation_id, causation_id
        self._entity, self._scope = entity, scope
        self._timestamp_us, self._payload_version = timestamp_us, payload_version
        self._data, self._bounds = data, bounds
        self._count = self._sequence.shape[0]
        self._check()

    @cython.cfunc
    def _check(self):
        """What is read without looking later is as long as it has to be."""
        count: index = self._count
        row: index
        entities: index = len(self._entities)
        scopes: index = len(self._scopes)
        lengths: tuple = (
            self._event_id.shape[0], self._correlation_id.shape[0], self._causation_id.shape[0],
            self._caused.shape[0], self._entity.shape[0], self._scope.shape[0], self._kind.shape[0],
            self._timestamp_us.shape[0], self._payload_version.shape[0], self._trouble.shape[0],
            self._bounds.shape[0] - 1,
        )  # fmt: skip
        if any([length != count for length in lengths]):
            raise ValueError("the columns of events differ in length")
        if self._event_id.shape[1] != ID_SIZE or self._correlation_id.shape[1] != ID_SIZE:
            raise ValueError("ids of events have 16 bytes")
        if self._causation_id.shape[1] != ID_SIZE:
            raise ValueError("ids of events have 16 bytes")
        for row in range(count):
            if not 0 <= self._entity[row] < entities or not 0 <= self._scope[row] < scopes:
                raise ValueError("an event names an entity or a scope that is not in the lists")
            if not 0 <= self._bounds[row] <= self._bounds[row + 1] <= self._data.shape[0]:
                raise ValueError("the payload of an event is not in the bytes")

    def __len__(self):
        return self._count

    def rows(self, start: index, stop: index):
        """The events of a range, each made as it is reached."""
        made: _Rows = _Rows.__new__(_Rows)
        made._columns = self
        made._row = max(start, 0)
        made._stop = min(stop, self._count)
        return made

    def row(self, row: index):
        """One event."""
        if not 0 <= row < self._count:
            raise IndexError(f"there is no row {row} of {self._count}")
        return _event(self, row)

    def raw(self, row: index):
        """The stored payload bytes of a row."""
        if not 0 <= row < self._count:
            raise IndexError(f"there is no row {row} of {self._count}")
        return self._raw(row)

    @cython.cfunc
    def _raw(self, row: index) -> bytes:
        low: index = self._bounds[row]
        size: index = self._bounds[row + 1] - low
        if size == 0:
            return b""
        return PyBytes_FromStringAndSize(cython.cast(p_chars, cython.address(self._data[low])), size)

    def value(self, row: index):
        """The payload of a row, made anew; raises what `refuse` makes where it has none."""
        if not 0 <= row < self._count:
            raise IndexError(f"there is no row {row} of {self._count}")
        return self._value(row)

    @cython.cfunc
    def _value(self, row: index) -> object:
        place: Place
        if self._trouble[row]:
            raise self.refuse(row, None)
        if self.typed:
            make = self.typed.get(self._kind[row])
            if make is not None:
                return make(self._raw(row), self._payload_version[row], _id(self._event_id, row))
        if self._bounds[row] < self._bounds[row + 1]:
            place.data = cython.address(self._data[0])
            place.at = self._bounds[row]
            place.end = self._bounds[row + 1]
            place.odd = False
            if self.fields is None:
                value = root_value(cython.address(place))
            else:
                value = root_fields(cython.address(place), self._fields, self._names)
            if not place.odd:
                return value
        try:
            return readable.chosen(payload_to_json_value(self._raw(row)), self.fields)
        except FormatError as error:
            raise self.refuse(row, error) from error


@cython.cfunc
def _id(ids: cython.const[cython.uchar][:, ::1], row: index) -> bytes:
    return PyBytes_FromStringAndSize(cython.cast(p_chars, cython.address(ids[row, 0])), ID_SIZE)


@cython.final
@cython.cclass
class _Rows:
    """An iterator over the events of a range."""

    _columns: EventColumns
    _row: index
    _stop: index

    def __iter__(self):
        return self

    def __next__(self):
        row: index = self._row
        if row >= self._stop:
            raise StopIteration
        self._row = row + 1
        return _event(self._columns, row)


@cython.cfunc
def _event(columns: EventColumns, row: index) -> EventRow:
    global _making
    _making = True
    made: EventRow = EventRow.__new__(EventRow)
    made._columns = columns
    made.row = row
    made._payload = _UNREAD
    # What is pointed to lives on: tuples do not change, and no kind is taken out.
    number: index = columns._kind[row]
    if _kinds[number] is None:
        _kinds[number] = EventKind(number)
    entity, scope, kind = columns._entities[columns._entity[row]], columns._scopes[columns._scope[row]], _kinds[number]
    made._entity = cython.cast(cython.pointer[PyObject], entity)
    made._scope = cython.cast(cython.pointer[PyObject], scope)
    made._kind = cython.cast(cython.pointer[PyObject], kind)
    return made


# Nothing that it holds leads back to it, so it needs not be looked at for cycles.
@cython.final
@cython.no_gc
@cython.freelist(64)
@cython.cclass
class EventRow:
    """An event as a projection sees it; see the readable twin."""

    row = cython.declare(cython.Py_ssize_t, visibility="readonly")
    _columns: EventColumns
    _payload: object
    # The attributes without an underscore: what the columns or this module hold for longer than this object lives.
    _entity: cython.pointer[PyObject]
    _scope: cython.pointer[PyObject]
    _kind: cython.pointer[PyObject]

    def __cinit__(self):
        global _making
        if not _making:
            raise TypeError("events are made by EventColumns")
        _making = False

    def __dealloc__(self):
        give_back(cython.cast(cython.pointer[PyObject], self._payload))

    @property
    def payload(self):
        """The decoded payload."""
        if self._payload is _UNREAD:
            self._payload = self._columns._value(self.row)
        return self._payload

    @property
    def has_payload(self):
        """Whether `payload` has been asked for, so that there is an object of it."""
        return self._payload is not _UNREAD

    @property
    def raw(self):
        """The payload as it is stored."""
        return self._columns._raw(self.row)

    @property
    def global_sequence(self):
        """Its place in the commit order of the store."""
        return self._columns._sequence[self.row]

    @property
    def event_id(self):
        """16 big-endian bytes."""
        return _id(self._columns._event_id, self.row)

    @property
    def correlation_id(self):
        """16 big-endian bytes."""
        return _id(self._columns._correlation_id, self.row)

    @property
    def causation_id(self):
        """16 big-endian bytes, or None."""
        return _id(self._columns._causation_id, self.row) if self._columns._caused[self.row] else None

    @property
    def timestamp_us(self):
        """When its producer says that it happened."""
        return self._columns._timestamp_us[self.row]

    @property
    def payload_version(self):
        """The version that the payload was stored with."""
        return self._columns._payload_version[self.row]

    @property
    def position(self):
        """Where it stands on its entity and lane."""
        return readable.position_of(self._columns, self.row)

    @property
    def coordinate(self):
        """Entity and scope as one value."""
        return Coordinate(self.entity, self.scope)

    @property
    def flags(self):
        """From the event's frame, as are the next five."""
        return self._columns.whole(self.row).flags

    @property
    def content_hash(self):
        """BLAKE3 of the stored payload, as the header says it."""
        return self._columns.whole(self.row).content_hash

    @property
    def hash_chain(self):
        """Its link to the event before on its lane."""
        return self._columns.whole(self.row).hash_chain

    @property
    def extensions(self):
        """Receipt extensions."""
        return self._columns.whole(self.row).extensions

    @property
    def payload_size(self):
        """What the header says."""
        return self._columns.whole(self.row).payload_size

    @property
    def payload_encryption(self):
        """Key and nonce of a sealed payload, or None."""
        return self._columns.whole(self.row).payload_encryption

    def decode(self, cls, registry=None):
        """As `Event.decode`."""
        return readable.typed_payload(self, "decode", cls, registry)

    def route(self, cls, registry=None):
        """As `Event.route`."""
        return readable.typed_payload(self, "route", cls, registry)

    def __eq__(self, other):
        return readable.same_event(self, other)

    def __hash__(self):
        return hash(self.event_id)

    def __repr__(self):
        return readable.text_of(self)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return _event(self._columns, self.row)

    def __reduce__(self):
        return readable.pickled(self._columns, self.row)


_members = cython.declare(PyMemberDef[3])


@cython.cfunc
def _add_members():
    global _making
    _making = True
    one: EventRow = EventRow.__new__(EventRow)
    start: p_chars = cython.cast(p_chars, cython.cast(cython.pointer[PyObject], one))
    entity: index = cython.cast(p_chars, cython.address(one._entity)) - start
    scope: index = cython.cast(p_chars, cython.address(one._scope)) - start
    kind: index = cython.cast(p_chars, cython.address(one._kind)) - start
    add_member(EventRow, cython.address(_members[0]), b"entity", entity, b"What the event is about.")
    add_member(EventRow, cython.address(_members[1]), b"scope", scope, b"Within what.")
    add_member(EventRow, cython.address(_members[2]), b"kind", kind, b"The event kind.")


_add_members()
