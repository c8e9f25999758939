"""The MessagePack profile: what is written, what is accepted, and what hostile bytes may cost."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics.errors import FormatError, LimitError, TruncatedError
from batpak_analytics.format import codec, layout
from batpak_analytics.format.values import Extension

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(layout.I64_MIN, layout.U64_MAX)
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.binary(max_size=40)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=8), inner, max_size=20),
    max_leaves=30,
)
READERS: dict[str, Callable[[codec.Cursor], Any]] = {
    "bytes": codec.read_bytes,
    "string": codec.read_str,
    "strings": codec.sequence(codec.read_str),
    "map": codec.mapping(codec.read_str, codec.read_bytes),
    "any": codec.read_value,
    "skip": codec.skip_value,
    "struct": codec.Struct("a struct", {"a": codec.read_u8}),
}


def read(reader: Callable[[codec.Cursor], Any], data: bytes) -> Any:
    return reader(codec.Cursor(data))


@given(VALUES)
def test_any_value_reads_back_as_msgpack_packed_it(value: Any) -> None:
    packed = msgpack.packb(value)
    assert codec.decode_value(packed) == (value, len(packed))
    cur = codec.Cursor(packed)
    codec.skip_value(cur)
    assert (cur.pos, cur.depth) == (len(packed), 0)


@given(VALUES)
def test_every_cut_of_a_value_is_refused(value: Any) -> None:
    packed = msgpack.packb(value)
    for size in range(len(packed)):
        for reader in (codec.read_value, codec.skip_value):
            with pytest.raises(TruncatedError):
                read(reader, packed[:size])


@given(st.binary(max_size=60))
def test_arbitrary_bytes_give_a_value_or_a_format_error(data: bytes) -> None:
    for reader in READERS.values():
        try:
            read(reader, data)
        except FormatError as error:
            assert error.offset is not None and 0 <= error.offset <= len(data)


@given(st.integers(layout.I64_MIN, layout.U64_MAX))
def test_integers_take_the_shortest_form(value: int) -> None:
    packed = codec.pack_int(value)
    assert packed == msgpack.packb(value)
    assert codec.decode_value(packed)[0] == value


@given(st.binary(max_size=300))
def test_byte_vectors_are_arrays_of_integers(value: bytes) -> None:
    packed = codec.pack_int_array(value)
    assert packed == msgpack.packb(list(value))
    assert read(codec.read_bytes, packed) == value
    assert read(codec.read_bytes, msgpack.packb(value)) == value
    for size in range(len(packed)):
        with pytest.raises(TruncatedError):
            read(codec.read_bytes, packed[:size])


@given(st.binary(max_size=50), st.data())
def test_byte_vectors_of_wasteful_integers_are_read_and_marked(value: bytes, data: st.DataObject) -> None:
    forms = [
        lambda n: b"\xcd" + n.to_bytes(2, "big"),
        lambda n: b"\xd3" + n.to_bytes(8, "big"),
        codec.pack_uint,
    ]
    chosen = [data.draw(st.sampled_from(forms))(n) for n in value]
    packed = codec.pack_array(chosen)
    span = codec.read_bytes_span(codec.Cursor(packed))
    assert codec.span_bytes(packed, span) == value
    minimal = b"".join(chosen) == b"".join(map(codec.pack_uint, value))
    assert span.form == (layout.PAYLOAD_INTS if minimal else layout.PAYLOAD_OTHER_INTS)


@given(st.text(max_size=80))
def test_strings_take_the_shortest_header(value: str) -> None:
    packed = codec.pack_str(value)
    assert packed == msgpack.packb(value)
    assert read(codec.read_str, packed) == value


@pytest.mark.parametrize("count", [0, 15, 16, 65_535, 65_536])
def test_container_headers_switch_width_at_the_limits(count: int) -> None:
    packer = msgpack.Packer()
    assert codec.pack_array_header(count) == packer.pack_array_header(count)
    assert codec.pack_map_header(count) == packer.pack_map_header(count)


@pytest.mark.parametrize("value", [31, 32, 255, 256, 65_535, 65_536])
def test_string_headers_switch_width_at_the_limits(value: int) -> None:
    assert codec.pack_str("x" * value) == msgpack.packb("x" * value)


@pytest.mark.parametrize("value", [-1, layout.U64_MAX + 1])
def test_numbers_outside_u64_are_not_written(value: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        codec.pack_uint(value)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "header", [b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9", b"\x91\xdd", b"\x81\xa1a\xdd", b"\x81\xa1a\xc6"]
)
def test_a_count_of_four_billion_in_ten_bytes_allocates_nothing(name: str, header: bytes) -> None:
    data = header + b"\xff\xff\xff\xff" + bytes(5)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            read(READERS[name], data)
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("reader", [codec.read_value, codec.skip_value])
def test_1023_levels_are_read_and_1024_are_not(reader: Callable[[codec.Cursor], Any]) -> None:
    read(reader, b"\x91" * 1022 + b"\x90")
    with pytest.raises(LimitError):
        read(reader, b"\x91" * 1023 + b"\x90")
    with pytest.raises(LimitError):
        read(reader, b"\x81\xa0" * 1023 + b"\x80")


@pytest.mark.parametrize(
    "packed",
    [b"\xca\x3f\x80\x00\x00", b"\xcb" + bytes(8), b"\xff", b"\xcd\x01\x00", b"\xa11", b"\xc0", b"\xc3"],
)
def test_u8_takes_only_integers_in_range(packed: bytes) -> None:
    with pytest.raises(FormatError, match="not a u8"):
        read(codec.read_u8, packed)


@pytest.mark.parametrize("packed", [b"\x07", b"\xcc\x07", b"\xcd\x00\x07", b"\xd0\x07", b"\xd3" + bytes(7) + b"\x07"])
def test_integers_of_any_width_are_read(packed: bytes) -> None:
    assert read(codec.read_u8, packed) == 7
    assert read(codec.read_i64, packed) == 7


@pytest.mark.parametrize("packed", [b"\xa1\xff", b"\xc4\x01\xff", b"\x01", b"\x91\x01"])
def test_what_is_not_utf8_text_is_not_a_string(packed: bytes) -> None:
    with pytest.raises(FormatError):
        read(codec.read_str, packed)


def test_ids_are_sixteen_bytes_or_sixteen_integers() -> None:
    value = bytes(range(120, 136))
    for packed in (codec.pack_bin16(value), codec.pack_int_array(value)):
        assert read(codec.read_id, packed) == value
        assert read(codec.read_plain_u128, packed) == value
    assert read(codec.read_plain_u128, b"\xcd\x01\x02") == bytes(14) + b"\x01\x02"
    for packed in (b"\x07", b"\xb0" + value, b"\xc4\x0f" + value[:15], codec.pack_int_array(value[:15])):
        with pytest.raises(FormatError):
            read(codec.read_id, packed)
    with pytest.raises(ValueError, match="16 bytes"):
        codec.pack_bin16(value[:15])


def test_extensions_keep_their_code_and_bytes() -> None:
    for size in (1, 2, 3, 4, 8, 16, 17, 300):
        packed = msgpack.packb(msgpack.ExtType(5, bytes(size)))
        assert codec.decode_value(packed) == (Extension(5, bytes(size)), len(packed))
    assert codec.decode_value(b"\xd4\xffx")[0] == Extension(-1, b"x")


def test_the_tag_c1_and_container_keys_are_refused() -> None:
    for reader in (codec.read_value, codec.skip_value):
        with pytest.raises(FormatError, match="c1"):
            read(reader, b"\xc1")
    with pytest.raises(FormatError, match="container"):
        read(codec.read_value, b"\x81\x90\x01")


def test_a_float32_is_widened() -> None:
    assert codec.decode_value(b"\xca" + struct.pack(">f", 0.1))[0] == 0.10000000149011612


def test_buffers_of_every_kind_are_read() -> None:
    assert codec.decode_value(bytearray(b"\x00\x93\x01\x02\x03"), 1) == ([1, 2, 3], 5)
    assert codec.decode_value(memoryview(b"\xa2hi")) == ("hi", 3)


PAIR = codec.Struct("a pair", {"a": codec.read_u8, "b": codec.read_u8}, defaults={"b": 9})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}),
        ({"b": 2, "a": 1}, {"a": 1, "b": 2}),
        ({"a": 1, "new": {"x": [1, {"y": b""}]}}, {"a": 1, "b": 9}),
        ([1, 2], {"a": 1, "b": 2}),
        ([1], {"a": 1, "b": 9}),
        ({b"a": 1}, {"a": 1, "b": 9}),
        ({0: 1, 1: 2, 7: 3}, {"a": 1, "b": 2}),
    ],
)
def test_structs_are_read_as_serde_derives_it(value: Any, expected: dict[str, int]) -> None:
    cur = codec.Cursor(msgpack.packb(value))
    assert PAIR(cur) == expected
    assert (cur.left, cur.depth) == (0, 0)


@pytest.mark.parametrize("value", [{"b": 1}, [], [1, 2, 3], {None: 1}, {-1: 1}, "a", 1, None])
def test_structs_that_serde_refuses_are_refused(value: Any) -> None:
    with pytest.raises(FormatError):
        PAIR(codec.Cursor(msgpack.packb(value)))


def test_a_repeated_known_key_is_refused_and_a_repeated_unknown_one_is_not() -> None:
    with pytest.raises(FormatError, match="repeats a"):
        PAIR(codec.Cursor(b"\x82\xa1a\x01\xa1a\x01"))
    assert PAIR(codec.Cursor(b"\x83\xa1a\x01\xa1z\x01\xa1z\x01")) == {"a": 1, "b": 9}


def test_errors_count_from_the_start_of_the_file() -> None:
    with pytest.raises(FormatError) as caught:
        codec.read_u8(codec.Cursor(b"\x00\xc0", 1, base=100))
    assert caught.value.offset == 101
