"""Frame bodies: what is written is what 0.9.0 writes, and readers accept what its readers accept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batpak_analytics.errors import FormatError, LimitError
from batpak_analytics.format import codec, layout
from batpak_analytics.format.event import decode_event, decode_extensions, encode_event, parse_event
from batpak_analytics.model import Event, EventKind, HashChain, PayloadEncryption, Position

U32 = st.integers(0, layout.U32_MAX)
IDS = st.binary(min_size=16, max_size=16)
CAUSES = st.none() | IDS.filter(any)
HASHES = st.binary(min_size=32, max_size=32)
EVENTS = st.builds(
    Event,
    event_id=IDS,
    correlation_id=IDS,
    causation_id=CAUSES,
    timestamp_us=st.integers(layout.I64_MIN, layout.I64_MAX),
    position=st.builds(
        Position,
        wall_ms=st.integers(0, layout.U64_MAX),
        counter=st.integers(0, layout.U16_MAX),
        depth=U32,
        lane=U32,
        clock=U32,
    ),
    payload_size=U32,
    kind=st.integers(0, layout.U16_MAX).map(EventKind),
    flags=st.integers(0, layout.U8_MAX),
    content_hash=HASHES,
    payload_version=st.integers(0, layout.U16_MAX),
    payload_encryption=st.none()
    | st.builds(
        PayloadEncryption,
        keyscope_id=st.binary(max_size=20),
        nonce=st.binary(min_size=24, max_size=24),
    ),
    payload=st.binary(max_size=80),
    hash_chain=st.none() | st.builds(HashChain, prev_hash=HASHES, event_hash=HASHES),
    entity=st.text(max_size=20),
    scope=st.text(max_size=20),
    extensions=st.dictionaries(st.text(max_size=8), st.binary(max_size=20), max_size=4),
)
SAMPLE = Event(
    event_id=bytes(range(1, 17)),
    correlation_id=bytes(range(1, 17)),
    causation_id=None,
    timestamp_us=1_700_000_000_123_456,
    position=Position(wall_ms=1_700_000_000_123, depth=2, lane=7, clock=300),
    payload_size=3,
    kind=EventKind(0xF101),
    flags=1,
    content_hash=bytes(range(100, 132)),
    payload_version=1,
    payload_encryption=None,
    payload=b"\x81\xa1\xff",
    hash_chain=HashChain(bytes(32), bytes(range(100, 132))),
    entity="order:1",
    scope="shop",
    extensions={"app.k": b"\x7f\x80"},
)
PATHS: dict[str, tuple[str, ...]] = {
    "frame": (),
    "event": ("event",),
    "header": ("event", "header"),
    "position": ("event", "header", "position"),
    "hash_chain": ("event", "hash_chain"),
}


def tree(event: Event = SAMPLE) -> dict[str, Any]:
    """The body as dicts and lists, to be bent and packed again."""
    value: dict[str, Any] = codec.decode_value(encode_event(event))[0]
    return value


def at(value: dict[str, Any], name: str) -> dict[str, Any]:
    for key in PATHS[name]:
        value = value[key]
    return value


def bent(change: Callable[[dict[str, Any]], object]) -> Event:
    value = tree()
    change(value)
    return decode_event(msgpack.packb(value))


@given(EVENTS)
def test_an_event_reads_back_as_it_was_written(event: Event) -> None:
    body = encode_event(event)
    assert decode_event(body) == event
    # Python's msgpack writes a tree of the same order and types in the same bytes.
    assert msgpack.packb(codec.decode_value(body)[0]) == body


@given(EVENTS)
@settings(max_examples=20)
def test_every_cut_of_a_body_is_refused(event: Event) -> None:
    body = encode_event(event)
    for size in range(len(body)):
        with pytest.raises(FormatError):
            parse_event(body, 0, size)


@given(EVENTS, st.data())
def test_one_changed_byte_gives_an_event_or_a_format_error(event: Event, data: st.DataObject) -> None:
    body = bytearray(encode_event(event))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_event(body)
    except FormatError as error:
        assert error.offset is not None and 0 <= error.offset <= len(body)


@given(EVENTS, st.integers(0, 50))
def test_parsed_positions_point_into_the_buffer_handed_in(event: Event, shift: int) -> None:
    body = encode_event(event)
    buf = np.frombuffer(b"\xc1" * shift + body + b"\xc1" * 9, np.uint8)
    found = parse_event(buf, shift, shift + len(body))
    raw = buf.tobytes()
    payload = raw[found.payload_start : found.payload_end]
    assert codec.unescape(payload) == event.payload
    assert found.payload_count == len(event.payload)
    assert found.payload_form == layout.PAYLOAD_INTS
    assert raw[found.entity_start : found.entity_start + found.entity_size].decode() == event.entity
    assert raw[found.scope_start : found.scope_start + found.scope_size].decode() == event.scope
    assert decode_extensions(buf, found.extensions_start, found.extensions_end) == event.extensions
    keyscope = codec.unescape(raw[found.keyscope_start : found.keyscope_end])
    sealed = event.payload_encryption
    assert keyscope == (sealed.keyscope_id if sealed else b"")
    assert found.encrypted == (sealed is not None)
    assert found.causation_id == (event.causation_id or bytes(16))
    assert found.has_chain == (event.hash_chain is not None)


def test_a_plain_event_has_ten_header_keys_and_an_encrypted_one_eleven() -> None:
    assert list(tree()["event"]["header"]) == list(layout.HEADER_FIELDS[:10])
    sealed = PayloadEncryption(b"\x01order:1", bytes(24))
    fields = {name: getattr(SAMPLE, name) for name in SAMPLE.__slots__} | {"payload_encryption": sealed}
    assert list(tree(Event(**fields))["event"]["header"]) == list(layout.HEADER_FIELDS)


def test_extensions_are_written_in_byte_order_of_their_names() -> None:
    fields = {name: getattr(SAMPLE, name) for name in SAMPLE.__slots__}
    fields["extensions"] = {"b.x": b"", "é.x": b"1", "a.x": b"2"}
    assert list(tree(Event(**fields))["receipt_extensions"]) == ["a.x", "b.x", "é.x"]


@pytest.mark.parametrize("name", PATHS)
def test_key_order_is_free_and_unknown_keys_are_ignored(name: str) -> None:
    def change(value: dict[str, Any]) -> None:
        target = at(value, name)
        pairs = [("later", {"nested": [b"x", None, 1.5]}), *reversed(target.items())]
        target.clear()
        target.update(pairs)

    assert bent(change) == SAMPLE


def test_every_struct_may_be_a_positional_array() -> None:
    def positions(value: Any, name: str) -> Any:
        inner = {"event", "header", "position", "hash_chain"}
        return [positions(item, key) if key in inner else item for key, item in value.items()]

    assert decode_event(msgpack.packb(positions(tree(), "frame"))) == SAMPLE


@pytest.mark.parametrize(
    ("name", "key", "field", "expected"),
    [
        ("header", "causation_id", "causation_id", None),
        ("header", "content_hash", "content_hash", bytes(32)),
        ("header", "payload_version", "payload_version", 0),
        ("event", "hash_chain", "hash_chain", None),
        ("frame", "receipt_extensions", "extensions", {}),
    ],
)
def test_missing_fields_with_a_default_get_it(name: str, key: str, field: str, expected: object) -> None:
    assert getattr(bent(lambda value: at(value, name).pop(key)), field) == expected


MANDATORY = [
    *(("header", key) for key in layout.HEADER_FIELDS if key not in
      ("causation_id", "content_hash", "payload_version", "payload_encryption")),
    *(("position", key) for key in layout.POSITION_FIELDS),
    *(("hash_chain", key) for key in layout.CHAIN_FIELDS),
    *(("event", key) for key in ("header", "payload")),
    *(("frame", key) for key in ("event", "entity", "scope")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "key"), MANDATORY)
def test_any_other_missing_field_is_an_error(name: str, key: str) -> None:
    with pytest.raises(FormatError, match=f"lacks {key}"):
        bent(lambda value: at(value, name).pop(key))


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("header", "event_id", bytes(15)),
        ("header", "event_id", 7),
        ("header", "event_id", "x" * 16),
        ("header", "correlation_id", None),
        ("header", "timestamp_us", 1.0),
        ("header", "timestamp_us", layout.U64_MAX),
        ("header", "payload_size", -1),
        ("header", "payload_size", layout.U32_MAX + 1),
        ("header", "event_kind", 65_536),
        ("header", "flags", 256),
        ("header", "content_hash", [0] * 31),
        ("header", "payload_version", None),
        ("position", "counter", 65_536),
        ("hash_chain", "prev_hash", bytes(33)),
        ("event", "payload", "text"),
        ("event", "payload", [1, 256]),
        ("event", "payload", [1, -1]),
        ("event", "payload", None),
        ("frame", "entity", 5),
        ("frame", "receipt_extensions", None),
        ("frame", "receipt_extensions", []),
        ("frame", "receipt_extensions", {"a.b": "text"}),
        ("frame", "receipt_extensions", {1: b""}),
    ],
)
def test_values_of_the_wrong_type_are_errors(name: str, key: str, value: object) -> None:
    with pytest.raises(FormatError):
        bent(lambda body: at(body, name).__setitem__(key, value))


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("header", "event_id", list(SAMPLE.event_id)),
        ("header", "content_hash", SAMPLE.content_hash),
        ("header", "payload_encryption", None),
        ("event", "payload", SAMPLE.payload),
        ("frame", "receipt_extensions", {"app.k": b"\x7f\x80"}),
    ],
)
def test_other_spellings_of_the_same_value_are_read(name: str, key: str, value: object) -> None:
    assert bent(lambda body: at(body, name).__setitem__(key, value)) == SAMPLE


def test_a_cause_of_zero_is_no_cause() -> None:
    assert bent(lambda body: at(body, "header").__setitem__("causation_id", bytes(16))).causation_id is None


def test_bytes_after_the_outermost_value_are_ignored() -> None:
    assert decode_event(encode_event(SAMPLE) + b"\xc1\xff") == SAMPLE


def test_a_repeated_header_key_is_an_error() -> None:
    body = encode_event(SAMPLE)
    twice = body.replace(b"\x8a\xa8event_id", b"\x8b\xa5flags\x00\xa8event_id")
    with pytest.raises(FormatError, match="repeats flags"):
        decode_event(twice)


def test_of_a_repeated_extension_the_last_counts() -> None:
    body = encode_event(SAMPLE).replace(b"\x81\xa5app.k\x92\x7f\xcc\x80", b"\x82\xa5app.k\x90\xa5app.k\x91\x01")
    assert decode_event(body).extensions == {"app.k": b"\x01"}


def test_nesting_counts_the_containers_around_an_unknown_value() -> None:
    # The value sits inside the frame's own map, so 1022 levels of its own are the most.
    body = encode_event(SAMPLE)
    for levels, fits in ((1022, True), (1023, False)):
        deep = b"\x85\xa1x" + b"\x91" * (levels - 1) + b"\x90" + body[1:]
        if fits:
            assert decode_event(deep) == SAMPLE
        else:
            with pytest.raises(LimitError):
                decode_event(deep)


def test_a_large_payload_of_high_bytes_stays_cheap() -> None:
    fields = {name: getattr(SAMPLE, name) for name in SAMPLE.__slots__} | {"payload": b"\xff" * 300_000}
    event = Event(**fields)
    assert decode_event(encode_event(event)) == event


def test_extensions_of_an_event_cannot_be_changed_by_a_reader() -> None:
    with pytest.raises(TypeError):
        decode_event(encode_event(SAMPLE)).extensions["x"] = b""  # type: ignore[index]
