"""Column statistics and typed values: compiled against readable, and both against hand-made answers."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import payload
from tests.kernels import samples

TAKES = [
    "take_binary",
    "take_bool",
    "take_float64",
    "take_int64",
    "take_spans",
    "take_string",
    "take_uint64",
]
I64, U64 = 2**63, 2**64


def column(values: list[Any]) -> tuple[bytes, Any]:
    """The values back to back, and where each starts."""
    data, offsets = samples.joined([msgpack.packb(value) for value in values])
    return data, offsets[:-1]


def listed(taken: tuple[Any, Any]) -> list[Any]:
    return [value if good else None for value, good in zip(taken[0].tolist(), taken[1].tolist(), strict=True)]


@settings(max_examples=300)
@given(samples.rows, st.data())
def test_any_position_in_any_bytes_gives_the_readable_answer(parts: list[bytes], draw: st.DataObject) -> None:
    data, offsets = samples.joined(parts)
    anywhere = st.lists(st.integers(-2, len(data) + 2) | st.integers(-(2**63), 2**63 - 1), max_size=20)
    for pos in (offsets, np.array(draw.draw(anywhere), np.int64)):
        for clean in (False, True):
            assert kernels.column_stats(data, pos, clean) == payload.column_stats(data, pos, clean)
            for one, other in zip(
                kernels.take_string(data, pos, clean), payload.take_string(data, pos, clean), strict=True
            ):
                np.testing.assert_array_equal(one, other)
        for name in TAKES:
            got, wanted = getattr(kernels, name)(data, pos), getattr(payload, name)(data, pos)
            for one, other in zip(got, wanted, strict=True):
                assert one.dtype == other.dtype
                np.testing.assert_array_equal(one, other, err_msg=name)


def test_stats_count_every_type_once() -> None:
    values = [None, True, 5, -7, 1.5, "text", b"bin", msgpack.ExtType(1, b"x"), [1, 2], {"a": 1}]
    data, pos = column(values)
    stats = kernels.column_stats(data, np.append(pos, [-1, len(data)]))
    assert (stats.missing, stats.nil, stats.bool, stats.int, stats.float) == (2, 1, 1, 2, 1)
    assert (stats.str, stats.bin, stats.ext, stats.array, stats.map) == (1, 1, 1, 1, 1)
    assert (stats.int_min, stats.int_max, stats.ints_exact, stats.bad_utf8) == (-7, 5, True, 0)


@pytest.mark.parametrize(
    ("values", "low", "high", "exact"),
    [
        ([], None, None, True),
        ([0], 0, 0, True),
        ([-1], -1, -1, True),
        ([U64 - 1, 3], 3, U64 - 1, False),
        ([-I64, I64 - 1], -I64, I64 - 1, False),
        ([-I64, 2**63, 3 * 2**61], -I64, 2**63, True),
        ([2**53, -(2**53)], -(2**53), 2**53, True),
        ([2**53 + 1], 2**53 + 1, 2**53 + 1, False),
        ([2**53 + 2], 2**53 + 2, 2**53 + 2, True),
        ([-(2**53) - 1], -(2**53) - 1, -(2**53) - 1, False),
    ],
)
def test_integer_extremes_survive(values: list[int], low: int | None, high: int | None, exact: bool) -> None:
    stats = kernels.column_stats(*column(values))
    assert (stats.int_min, stats.int_max, stats.ints_exact) == (low, high, exact)


def test_integers_go_only_where_they_fit() -> None:
    data, pos = column([0, -1, I64 - 1, I64, U64 - 1, -I64, 1.0, True, None, "1"])
    none = [None] * 4
    assert listed(kernels.take_int64(data, pos)) == [0, -1, I64 - 1, None, None, -I64, *none]
    assert listed(kernels.take_uint64(data, pos)) == [0, None, I64 - 1, I64, U64 - 1, None, *none]


def test_floats_take_integers_too() -> None:
    data, pos = column([1, -2, 0.5, float("inf"), None, False])
    assert listed(kernels.take_float64(data, pos)) == [1.0, -2.0, 0.5, float("inf"), None, None]
    single = b"\xca\x3d\xcc\xcc\xcd"
    assert kernels.take_float64(single, [0])[0].tolist() == [0.10000000149011612]
    assert np.isnan(kernels.take_float64(b"\xcb\x7f\xf8" + bytes(6), [0])[0]).all()


def test_booleans_are_booleans_and_nothing_else() -> None:
    data, pos = column([True, False, 1, 0, None])
    assert listed(kernels.take_bool(data, pos)) == [True, False, None, None, None]


def test_strings_that_are_not_utf8_are_invalid_and_counted() -> None:
    parts = [b"\xa3abc", b"\xa1\xff", b"\xa0", b"\xd9\x02\xc3\xa9", b"\xc4\x01x", b"\xa3\xed\xa0\x80"]
    data, offsets = samples.joined(parts)
    bounds, taken, valid = kernels.take_string(data, offsets[:-1])
    assert (bounds.tolist(), bytes(taken)) == ([0, 3, 3, 3, 5, 5, 5], "abcé".encode())
    assert valid.tolist() == [1, 0, 1, 1, 0, 0]
    assert kernels.column_stats(data, offsets[:-1]).bad_utf8 == 2
    assert kernels.take_binary(data, offsets[:-1])[0].tolist() == [0, 0, 0, 0, 0, 1, 1]


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_utf8_is_judged_as_python_judges_it(texts: list[bytes]) -> None:
    data, offsets = samples.joined([b"\xd9" + bytes([len(text)]) + text for text in texts])
    assert kernels.take_string(data, offsets[:-1])[2].tolist() == [_is_utf8(text) for text in texts]


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("lead", range(0xC0, 0x100))
def test_every_second_byte_of_a_long_character(lead: int) -> None:
    texts = [bytes([lead, second, third, 0x80]) for second in range(0x70, 0xD0) for third in (0x7F, 0x80, 0xBF)]
    texts += [text[:size] for text in texts for size in (2, 3)]
    data, offsets = samples.joined([bytes([0xA0 + len(text)]) + text for text in texts])
    assert kernels.take_string(data, offsets[:-1])[2].tolist() == [_is_utf8(text) for text in texts]


def test_spans_cover_whole_values() -> None:
    data, pos = column([1, [1, [2, 3]], {"a": "xyz"}, "text"])
    starts, ends = kernels.take_spans(data, np.append(pos, -1))
    assert starts.tolist() == [0, 1, 6, 13, -1]
    assert ends.tolist() == [1, 6, 13, 18, -1]
