"""Payloads as JSON: the reference's values, and serde_json's text."""

from __future__ import annotations

import json
import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics.errors import FormatError, LimitError, TruncatedError
from batpak_analytics.format import layout
from batpak_analytics.format.cursor import Cursor
from batpak_analytics.format.json_text import float_text, json_text, payload_to_json_value
from batpak_analytics.format.values import read_value

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(layout.I64_MIN, layout.U64_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=6), inner, max_size=6),
    max_leaves=25,
)

# Printed by serde_json 1.0.150 for the f64 on the left.
PRINTED = {
    0.0: "0.0",
    1.0: "1.0",
    -1.5: "-1.5",
    100.0: "100.0",
    0.1: "0.1",
    1e15: "1000000000000000.0",
    1e16: "1e+16",
    1e17: "1e+17",
    123456789012345680.0: "1.2345678901234568e+17",
    12345678901234567.0: "1.2345678901234568e+16",
    99999999999999990.0: "9.999999999999998e+16",
    9007199254740993.0: "9007199254740992.0",
    1234567890123456.7: "1234567890123456.8",
    1e-4: "0.0001",
    1e-5: "0.00001",
    1.5e-5: "0.000015",
    0.00001234: "0.00001234",
    1e-7: "1e-7",
    1.5e-7: "1.5e-7",
    5e-324: "5e-324",
    1.7976931348623157e308: "1.7976931348623157e+308",
}


@pytest.mark.parametrize(("value", "text"), PRINTED.items())
def test_floats_are_printed_as_serde_json_prints_them(value: float, text: str) -> None:
    assert float_text(value) == text
    if value > 0:
        assert float_text(-value) == f"-{text}"


def test_the_sign_of_zero_is_kept_and_what_is_not_finite_is_null() -> None:
    assert float_text(-0.0) == "-0.0"
    assert json_text([math.nan, math.inf, -math.inf]) == "[null,null,null]"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_float_text_reads_back_as_the_same_float(value: float) -> None:
    text = float_text(value)
    assert float(text) == value and math.copysign(1, float(text)) == math.copysign(1, value)
    assert "." in text or "e" in text


@given(JSON)
def test_text_reads_back_and_is_compact_and_sorted(value: Any) -> None:
    text = json_text(value)
    assert json.loads(text) == value
    assert json_text(json.loads(text)) == text
    keys = [[key for key, _ in pairs] for pairs in _objects(text)]
    assert all(names == sorted(names, key=str.encode) for names in keys)


def _objects(text: str) -> list[list[tuple[str, Any]]]:
    found: list[list[tuple[str, Any]]] = []
    json.loads(text, object_pairs_hook=lambda pairs: found.append(pairs))
    return found


def test_text_outside_ascii_stays_and_controls_are_escaped() -> None:
    assert json_text('é\u2028😀"\\/\b\f\n\r\t\x00\x1f\x7f') == ('"é\u2028😀\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f"')


def test_keys_sort_by_utf8_bytes_and_not_by_utf16() -> None:
    assert json_text({"\U00010000": 1, "\uffff": 2}) == '{"\uffff":2,"\U00010000":1}'


@pytest.mark.parametrize(
    ("value", "text"),
    [([], "[]"), ({}, "{}"), ([[], {}], "[[],{}]"), ({"b": [1, True], "a": None}, '{"a":null,"b":[1,true]}')],
)
def test_containers_have_no_spaces(value: Any, text: str) -> None:
    assert json_text(value) == text


def test_deep_values_print_without_recursion() -> None:
    assert json_text(payload_to_json_value(b"\x91" * 1022 + b"\x90")) == "[" * 1023 + "]" * 1023
    with pytest.raises(LimitError):
        payload_to_json_value(b"\x91" * 1023 + b"\x90")


def test_what_has_no_json_form_is_not_printed() -> None:
    with pytest.raises(TypeError, match="bytes"):
        json_text([b""])


@given(JSON)
def test_payloads_read_as_the_json_they_hold(value: Any) -> None:
    packed = msgpack.packb(value)
    assert payload_to_json_value(packed) == value
    assert payload_to_json_value(packed + b"\xc1") == value
    for size in range(len(packed)):
        with pytest.raises(TruncatedError):
            payload_to_json_value(packed[:size])


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\xc1",
        b"\xc4\x00",
        b"\x91\xc4\x01x",
        b"\xd4\x01x",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xa1\xff",
        b"\x81\x01\x01",
        b"\x81\xc0\x01",
        b"\x81\xc3\x01",
        b"\x81\xcb" + bytes(8) + b"\x01",
        b"\x81\xc4\x01a\x01",
        b"\x81\x90\x01",
        b"\x81\xa1\xff\x01",
    ],
)
def test_payloads_that_the_reference_cannot_read_are_errors(packed: bytes) -> None:
    with pytest.raises(FormatError):
        payload_to_json_value(packed)


def test_numbers_keep_their_kind() -> None:
    assert json_text(payload_to_json_value(msgpack.packb([1.0, 1, layout.U64_MAX, layout.I64_MIN]))) == (
        "[1.0,1,18446744073709551615,-9223372036854775808]"
    )
    assert payload_to_json_value(b"\xca\x3d\xcc\xcc\xcd") == 0.10000000149011612


def test_not_a_number_is_null_and_of_equal_keys_the_last_wins() -> None:
    assert payload_to_json_value(msgpack.packb([math.nan, math.inf])) == [None, None]
    assert payload_to_json_value(b"\xca\x7f\x80\x00\x00") is None
    assert payload_to_json_value(b"\x82\xa1a\x01\xa1a\x02") == {"a": 2}


ANY = st.recursive(
    JSON | st.binary(max_size=9) | st.floats() | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=9)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner),
    max_leaves=12,
)


@given(st.one_of(ANY.map(msgpack.packb), st.binary(max_size=30)), st.integers(0, 3), st.binary(max_size=2))
def test_quick_reading_is_the_careful_one(packed: bytes, cut: int, rest: bytes) -> None:
    data = packed[: len(packed) - cut] + rest

    def outcome(read: Any) -> str:
        try:
            return repr(read(data))
        except FormatError as error:
            return f"{error.reason} {error.offset}"

    assert outcome(payload_to_json_value) == outcome(lambda data: read_value(Cursor(data), json=True))
