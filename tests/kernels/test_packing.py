"""Payloads packed by the kernel are those that the readable path packs, or are left to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import packing as readable


@dataclass
class Money:
    amount: int


class Step(IntEnum):
    ONE = 1


class Text(str):
    pass


texts = st.text(max_size=40) | st.sampled_from(["", "x" * 31, "x" * 32, "é" * 130, "z" * 70_000, "\ud800", "\x00"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 65), 1 << 65)
    | st.sampled_from([edge + step for edge in (0, *(1 << n for n in range(4, 65)), *(-1 << n for n in range(4, 65)))
                       for step in (-1, 0, 1)])
    | st.floats()
    | texts
    | st.sampled_from([b"x", Money(1), Step.ONE, Text("x"), {1: 2}, {Text("k"): 1}, {"a"}])
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=20)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(texts, inner, max_size=20)
    ),
    max_leaves=30,
)


@given(values)
def test_kernel_packs_what_the_readable_path_packs(value: Any) -> None:
    assert kernels.pack_plain(value) == readable.pack_plain(value)


@pytest.mark.parametrize("count", [15, 16, 65_535, 65_536])
def test_heads_of_every_width(count: int) -> None:
    for value in ([None] * count, {f"{number:05}": 0 for number in range(count)}):
        assert kernels.pack_plain(value) == readable.pack_plain(value) == msgpack.packb(value)


def test_keys_ascend_by_their_utf8_bytes() -> None:
    value = {"ü": 1, "z": 2, "\U0001f600": 3, "\uffff": 4, "": 5, "za": 6}
    packed = kernels.pack_plain(value)
    assert packed is not None
    assert list(msgpack.unpackb(packed)) == sorted(value, key=str.encode)


@pytest.mark.parametrize("depth", [255, 256, 257, 5000])
def test_containers_are_counted(depth: int) -> None:
    value: Any = 0
    for number in range(depth):
        value = {"k": value} if number % 2 else [value]
    packed = kernels.pack_plain(value)
    assert (packed is None) == (depth > 256)
    if depth < 400:
        assert packed == readable.pack_plain(value)
