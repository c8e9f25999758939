"""An event's fields -> its frame and its footer row: twin of ``format/framing.py``.

Every key of a frame is a literal here, with the tags around it, in the layout of batpak (spec segments 2.6).
"""

from __future__ import annotations

from typing import Any

import cython
from cython.cimports.batpak_analytics.kernels.emit import put_ints, put_text, put_uint
from cython.cimports.batpak_analytics.kernels.walk import crc_of
from cython.cimports.batpak_analytics.kernels.wire import start_of
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_Resize
from cython.cimports.cpython.bytes import PyBytes_AS_STRING
from cython.cimports.cpython.unicode import PyUnicode_AsUTF8AndSize
from cython.cimports.libc.string import memcmp, memcpy, memset

from batpak_analytics.format.framing import check_events
from batpak_analytics.format.layout import FOOTER_ENTRY_SIZE, MAX_FRAME_PAYLOAD

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
p_text = cython.typedef(cython.pointer[cython.const[cython.char]])  # a literal
p_out = cython.typedef(cython.pointer[cython.uchar])
index = cython.typedef(cython.Py_ssize_t)
u64 = cython.typedef(cython.ulonglong)
u32 = cython.typedef(cython.uint)
u16 = cython.typedef(cython.ushort)

FIXED = cython.declare(index, 640)  # at least what a frame has beside payload, names and extensions: 566
LIMIT = cython.declare(index, MAX_FRAME_PAYLOAD)
ROW = cython.declare(index, FOOTER_ENTRY_SIZE)
ZERO_ID = cython.declare(cython.uchar[16])
memset(ZERO_ID, 0, 16)

Fields = cython.struct(
    event_id=p_bytes,
    correlation_id=p_bytes,
    causation_id=p_bytes,  # NULL for none
    prev_hash=p_bytes,
    event_hash=p_bytes,
    payload=p_bytes,
    payload_size=index,
    entity=p_bytes,
    entity_size=index,
    scope=p_bytes,
    scope_size=index,
    extensions=p_bytes,
    extensions_size=index,
    timestamp_us=u64,
    wall_ms=u64,
    depth=u32,
    lane=u32,
    clock=u32,
    kind=u32,
    flags=u32,
    payload_version=u32,
    entity_index=u32,
    scope_index=u32,
    offset=u64,
    sequence=u64,
)
Name = cython.struct(text=p_bytes, size=index, number=u32)
p_fields = cython.typedef(cython.pointer[Fields])


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _key(out: p_out, at: index, literal: p_text, size: index) -> index:
    memcpy(out + at, literal, size)
    return at + size


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _id(out: p_out, at: index, value: p_bytes) -> index:
    out[at] = 0xC4
    out[at + 1] = 16
    memcpy(out + at + 2, value, 16)
    return at + 18


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _number(out: p_out, at: index, literal: p_text, size: index, value: u64) -> index:
    return put_uint(out, _key(out, at, literal, size), value)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _put_header(out: p_out, at: index, f: p_fields) -> index:
    """Up to the content hash."""
    at = _id(out, _key(out, at, b"\x84\xa5event\x83\xa6header\x8a\xa8event_id", 25), f.event_id)
    at = _id(out, _key(out, at, b"\xaecorrelation_id", 15), f.correlation_id)
    at = _key(out, at, b"\xaccausation_id", 13)
    if f.causation_id == cython.NULL:
        out[at] = 0xC0
        at += 1
    else:
        at = _id(out, at, f.causation_id)
    at = _number(out, at, b"\xactimestamp_us", 13, f.timestamp_us)
    at = _number(out, at, b"\xa8position\x85\xa7wall_ms", 18, f.wall_ms)
    at = _number(out, at, b"\xa7counter\x00\xa5depth", 15, f.depth)
    at = _number(out, at, b"\xa4lane", 5, f.lane)
    at = _number(out, at, b"\xa8sequence", 9, f.clock)
    at = _number(out, at, b"\xacpayload_size", 13, f.payload_size)
    at = _number(out, at, b"\xaaevent_kind", 11, f.kind)
    return _number(out, at, b"\xa5flags", 6, f.flags)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def put_event(out: p_out, f: p_fields) -> index:
    """The frame at the start of ``out``, which has room for all of it; its length."""
    hash_at: index
    hash_size: index
    at: index = _put_header(out, 8, f)
    hash_at = _key(out, at, b"\xaccontent_hash", 13)
    at = put_ints(out, hash_at, f.event_hash, 32)
    hash_size = at - hash_at
    at = _number(out, at, b"\xafpayload_version", 16, f.payload_version)
    at = put_ints(out, _key(out, at, b"\xa7payload", 8), f.payload, f.payload_size)
    at = put_ints(out, _key(out, at, b"\xaahash_chain\x82\xa9prev_hash", 22), f.prev_hash, 32)
    at = _key(out, at, b"\xaaevent_hash", 11)
    memcpy(out + at, out + hash_at, hash_size)
    at = put_text(out, _key(out, at + hash_size, b"\xa6entity", 7), f.entity, f.entity_size)
    at = put_text(out, _key(out, at, b"\xa5scope", 6), f.scope, f.scope_size)
    at = _key(out, at, b"\xb2receipt_extensions", 19)
    memcpy(out + at, f.extensions, f.extensions_size)
    at += f.extensions_size
    _put_u32(out, cython.cast(u32, at - 8))
    _put_u32(out + 4, crc_of(out, 8, at - 8))
    return at


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _put_u32(out: p_out, value: u32) -> cython.void:
    """Most significant byte first."""
    out[0] = cython.cast(cython.uchar, value >> 24)
    out[1] = cython.cast(cython.uchar, value >> 16)
    out[2] = cython.cast(cython.uchar, value >> 8)
    out[3] = cython.cast(cython.uchar, value)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _put_reversed(out: p_out, value: p_bytes) -> cython.void:
    k: cython.int
    for k in range(16):
        out[k] = value[15 - k]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def put_row(out: p_out, f: p_fields, length: index) -> cython.void:
    """The footer row, as FOOTER_DTYPE lays it out: packed, little-endian."""
    size: u32 = cython.cast(u32, length)
    kind: u16 = cython.cast(u16, f.kind)
    _put_reversed(out, f.event_id)
    memcpy(out + 16, cython.address(f.entity_index), 4)
    memcpy(out + 20, cython.address(f.scope_index), 4)
    memcpy(out + 24, cython.address(kind), 2)
    memcpy(out + 26, cython.address(f.wall_ms), 8)
    memcpy(out + 34, cython.address(f.clock), 4)
    memcpy(out + 38, cython.address(f.lane), 4)
    memcpy(out + 42, cython.address(f.depth), 4)
    memcpy(out + 46, f.prev_hash, 32)
    memcpy(out + 78, f.event_hash, 32)
    memcpy(out + 110, cython.address(f.offset), 8)
    memcpy(out + 118, cython.address(size), 4)
    memcpy(out + 122, cython.address(f.sequence), 8)
    _put_reversed(out + 130, f.correlation_id)
    memset(out + 146, 0, 16)
    if f.causation_id != cython.NULL:
        _put_reversed(out + 146, f.causation_id)


@cython.cfunc
@cython.inline
def _sized(value: bytes, size: index) -> p_bytes:
    if len(value) != size:
        raise ValueError(f"An id is 16 bytes and a hash 32; this one has {len(value)} bytes, not {size}.")
    return cython.cast(p_bytes, PyBytes_AS_STRING(value))


@cython.cfunc
@cython.inline
def _utf8(text: str, size: cython.pointer[index]) -> p_bytes:
    return cython.cast(p_bytes, PyUnicode_AsUTF8AndSize(text, size))


def put_frame(
    frames: bytearray,
    rows: bytearray,
    event_id: bytes,
    correlation_id: bytes,
    causation_id: bytes | None,
    timestamp_us: u64,
    wall_ms: u64,
    depth: u32,
    lane: u32,
    clock: u32,
    kind: u16,
    flags: cython.uchar,
    payload_version: u16,
    payload: bytes,
    prev_hash: bytes,
    event_hash: bytes,
    entity: str,
    scope: str,
    extensions: bytes,
    entity_index: u32,
    scope_index: u32,
    offset: u64,
    sequence: u64,
) -> int:
    """See ``format.framing.put_frame``."""
    f: Fields
    length: index
    start: index = len(frames)
    first_row: index = len(rows)
    f.event_id = _sized(event_id, 16)
    f.correlation_id = _sized(correlation_id, 16)
    f.causation_id = cython.NULL
    if causation_id is not None:
        f.causation_id = _sized(causation_id, 16)
    f.timestamp_us, f.wall_ms = timestamp_us, wall_ms
    f.depth, f.lane, f.clock = depth, lane, clock
    f.kind, f.flags, f.payload_version = kind, flags, payload_version
    f.payload = cython.cast(p_bytes, PyBytes_AS_STRING(payload))
    f.payload_size = len(payload)
    f.prev_hash, f.event_hash = _sized(prev_hash, 32), _sized(event_hash, 32)
    f.entity = _utf8(entity, cython.address(f.entity_size))
    f.scope = _utf8(scope, cython.address(f.scope_size))
    f.extensions = cython.cast(p_bytes, PyBytes_AS_STRING(extensions))
    f.extensions_size = len(extensions)
    f.entity_index, f.scope_index, f.offset, f.sequence = entity_index, scope_index, offset, sequence
    PyByteArray_Resize(frames, start + FIXED + 2 * f.payload_size + f.entity_size + f.scope_size + f.extensions_size)
    length = put_event(cython.cast(p_out, PyByteArray_AS_STRING(frames)) + start, cython.address(f))
    if length - 8 > LIMIT:
        PyByteArray_Resize(frames, start)
        raise ValueError(f"A frame body has 1 byte to 256 MiB, not {length - 8} bytes. Split the event.")
    PyByteArray_Resize(frames, start + length)
    PyByteArray_Resize(rows, first_row + ROW)
    put_row(cython.cast(p_out, PyByteArray_AS_STRING(rows)) + first_row, cython.address(f), length)
    return length


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _put_all(
    out: p_out,
    rows: p_out,
    payloads: p_bytes,
    offsets: cython.const[cython.longlong][::1],
    hashes: cython.const[cython.uchar][:, ::1],
    event_ids: cython.const[cython.uchar][:, ::1],
    correlation_ids: cython.const[cython.uchar][:, ::1],
    causation_ids: cython.const[cython.uchar][:, ::1],
    kinds: cython.const[u16][::1],
    entities: cython.const[u32][::1],
    scopes: cython.const[u32][::1],
    names: cython.pointer[Name],
    scope_names: cython.pointer[Name],
    f: p_fields,
    clocks: cython.longlong[::1],
    walls: u64[::1],
    latest: cython.uchar[:, ::1],
) -> index:
    """Every frame and row; `f` has what they share, the first offset and the first sequence. The bytes written."""
    i: index
    lane: index
    at: index = 0
    length: index
    now_ms: u64 = f.timestamp_us // 1000
    for i in range(kinds.shape[0]):
        lane = entities[i]
        if walls[lane] < now_ms:
            walls[lane] = now_ms
        clocks[lane] += 1
        f.wall_ms = walls[lane]
        f.clock = cython.cast(u32, clocks[lane])
        f.event_id = cython.address(event_ids[i, 0])
        f.correlation_id = cython.address(correlation_ids[i, 0])
        f.causation_id = cython.address(causation_ids[i, 0])
        if memcmp(f.causation_id, ZERO_ID, 16) == 0:
            f.causation_id = cython.NULL
        f.kind = kinds[i]
        f.payload = payloads + offsets[i]
        f.payload_size = offsets[i + 1] - offsets[i]
        f.event_hash = cython.address(hashes[i, 0])
        f.prev_hash = cython.address(latest[lane, 0])
        f.entity, f.entity_size, f.entity_index = names[lane].text, names[lane].size, names[lane].number
        f.scope = scope_names[scopes[i]].text
        f.scope_size = scope_names[scopes[i]].size
        f.scope_index = scope_names[scopes[i]].number
        length = put_event(out + at, f)
        put_row(rows + i * ROW, f, length)
        memcpy(cython.address(latest[lane, 0]), f.event_hash, 32)
        at += length
        f.offset += length
        f.sequence += 1
    return at


@cython.cfunc
def _names(storage: bytearray, names: object, numbers: cython.const[u32][::1]) -> cython.pointer[Name]:
    """The names as C has them, in `storage`; their text lives as long as they do."""
    k: index
    text: str
    out: cython.pointer[Name]
    PyByteArray_Resize(storage, (len(names) + 1) * cython.sizeof(Name))
    out = cython.cast(cython.pointer[Name], PyByteArray_AS_STRING(storage))
    for k in range(len(names)):
        text = names[k]
        out[k].text = _utf8(text, cython.address(out[k].size))
        out[k].number = numbers[k]
    return out


@cython.cfunc
def _grown(buffer: bytearray, size: index) -> p_out:
    if len(buffer) < size:
        PyByteArray_Resize(buffer, size)
    return cython.cast(p_out, PyByteArray_AS_STRING(buffer))


def put_frames(out: bytearray, at: index, out_rows: bytearray, events: Any, lanes: Any, start: Any) -> int:
    """See ``format.framing.put_frames``."""
    check_events(events, lanes, start)
    f: Fields
    count: index = events.count
    room: index = count * FIXED + 2 * (events.offsets[count] - events.offsets[0])
    payloads: cython.const[cython.uchar][::1] = events.payloads
    entity_storage: bytearray = bytearray()
    scope_storage: bytearray = bytearray()
    names: cython.pointer[Name] = _names(entity_storage, events.entity_names, start.entities)
    scope_names: cython.pointer[Name] = _names(scope_storage, events.scope_names, start.scopes)
    room += _taken(names, events.entities) + _taken(scope_names, events.scopes)
    f.timestamp_us, f.offset, f.sequence = start.timestamp_us, start.offset, start.sequence
    f.depth = f.lane = f.flags = f.payload_version = 0
    f.extensions = cython.cast(p_bytes, cython.cast(p_text, b"\x80"))
    f.extensions_size = 1
    if at < 0 or at > len(out):
        raise ValueError("Frames go into a buffer or behind it. Pass a place in it.")
    frames: p_out = _grown(out, at + room) + at
    rows: p_out = _grown(out_rows, count * ROW)
    offsets: cython.const[cython.longlong][::1] = events.offsets
    hashes: cython.const[cython.uchar][:, ::1] = events.hashes
    event_ids: cython.const[cython.uchar][:, ::1] = events.event_ids
    correlation_ids: cython.const[cython.uchar][:, ::1] = events.correlation_ids
    causation_ids: cython.const[cython.uchar][:, ::1] = events.causation_ids
    kinds: cython.const[u16][::1] = events.kinds
    entities: cython.const[u32][::1] = events.entities
    scopes: cython.const[u32][::1] = events.scopes
    clocks: cython.longlong[::1] = lanes.clocks
    walls: u64[::1] = lanes.wall_ms
    latest: cython.uchar[:, ::1] = lanes.hashes
    size: index
    with cython.nogil:
        size = _put_all(
            frames, rows, start_of(payloads), offsets, hashes, event_ids, correlation_ids, causation_ids, kinds,
            entities, scopes, names, scope_names, cython.address(f), clocks, walls, latest,
        )  # fmt: skip
    return at + size


@cython.cfunc
def _taken(names: cython.pointer[Name], codes: cython.const[u32][::1]) -> index:
    """The bytes that the names of all rows take."""
    i: index
    size: index = 0
    for i in range(codes.shape[0]):
        size += names[codes[i]].size
    return size
