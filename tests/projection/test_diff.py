"""Differences between states are complete, ordered, and equal only where states are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics.projection.diff import Change, Diff, diff_states
from batpak_analytics.projection.parts import get_part, keys_of, path_text, same

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
states = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=3)
    | st.frozensets(st.integers() | st.text(max_size=2), max_size=3),
    max_leaves=8,
)  # fmt: skip


@dataclass
class Cart:
    total: int = 0
    lines: dict[str, int] = field(default_factory=dict)


class Plain:
    """Compared by identity, as most classes are."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Point(NamedTuple):
    x: int
    y: int


@given(states, states)
def test_there_is_a_change_exactly_where_states_differ(old: Any, new: Any) -> None:
    changes = diff_states(old, new)
    assert bool(changes) is not same(old, new)
    assert not diff_states(old, old) and same(old, old)
    assert len({one.keys for one in changes}) == len(changes)
    assert diff_states(old, new) == changes or any(_nan(one) for one in changes)
    for one in changes:
        if one.change == "changed":
            assert same(get_part(old, one.keys), one.old) and same(get_part(new, one.keys), one.new)


def _nan(change: Change) -> bool:
    return "nan" in repr(change)


def texts(old: Any, new: Any) -> list[str]:
    return [str(one) for one in diff_states(old, new)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (1, 3, ["state: 1 -> 3 (+2)"]),
        ({"a": 1.5}, {"a": 1.0}, ["a: 1.5 -> 1.0 (-0.5)"]),
        ({"a": math.nan}, {"a": math.nan}, []),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3, 4]}}, ["a.b[1]: 2 -> 3 (+1)", "+ a.b[2]: 4"]),
        ({"order:7": 1}, {}, ["- ['order:7']: 1"]),
        ({1, 2}, {2, 3}, ["- [1]: 1", "+ [3]: 3"]),
        (Cart(1, {"x": 1}), Cart(2, {"y": 1}), ["total: 1 -> 2 (+1)", "- lines.x: 1", "+ lines.y: 1"]),
        (Plain(1), Plain(1), []),
        (Slotted([1]), Slotted([2]), ["value[0]: 1 -> 2 (+1)"]),
        (Point(1, 2), Point(1, 5), ["y: 2 -> 5 (+3)"]),
        (Plain(1), Cart(1), None),
        (True, 1, ["state: True -> 1"]),
        ({"a": None}, {}, ["- a: None"]),
        ({"a": datetime(2026, 3, 1)}, {"a": datetime(2026, 3, 2)}, None),
        (Decimal("1.5"), Decimal("1"), ["state: Decimal('1.5') -> Decimal('1') (-0.5)"]),
        (np.uint64(3), np.uint64(5), ["state: np.uint64(3) -> np.uint64(5) (+2)"]),
        (np.uint64(5), np.uint64(3), ["state: np.uint64(5) -> np.uint64(3) (-2)"]),
        (np.array([1.0, math.nan]), np.array([1.0, math.nan]), []),
        (np.array([1]), np.array([2]), None),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}), []),
        ([1], (1,), None),
        ("a", 1, ["state: 'a' -> 1"]),
    ],
)  # fmt: skip
def test_each_shape_of_state_is_looked_into(old: Any, new: Any, expected: list[str] | None) -> None:
    found = texts(old, new)
    assert found == expected if expected is not None else len(found) == 1


def test_sets_are_told_in_one_order_whatever_their_hashes() -> None:
    names = [f"entity:{number}" for number in range(50)]
    forward, backward = (diff_states(set(), set(order)) for order in (names, names[::-1]))
    assert forward == backward


def test_a_diff_is_a_sequence_and_a_table() -> None:
    diff = Diff(diff_states({"a": 1, "b": "x"}, {"a": 3, "c": [1]}), 1, 2)
    assert [one.path for one in diff] == ["a", "b", "c"] and len(diff[:2]) == 2
    frame = diff.to_pandas()
    assert list(frame) == ["path", "change", "old", "new", "delta"]
    assert frame["change"].tolist() == ["changed", "removed", "added"]
    assert frame["new"].tolist() == [3, None, [1]] and frame["delta"].tolist() == [2, None, None]
    assert repr(Diff([], 1, 2)) == "Diff(1 -> 2, no change)"
    assert len(Diff([], 1, 2).to_pandas()) == 0
    many = Diff(diff_states({}, dict.fromkeys(range(100), 0)))
    assert "and 80 more" in repr(many) and "and 80 more" in many._repr_html_()


def test_keys_name_parts_of_any_state() -> None:
    state = {"by": {"order:7": Cart(5, {"x": 1})}, "list": [1, {"n": 2}]}
    assert get_part(state, ("by", "order:7", "total")) == 5
    assert get_part(state, keys_of("by.order:7.lines.x")) == 1
    assert get_part(state, ("list", -1, "n")) == 2
    for keys in (("no",), ("list", 5), ("by", "order:7", "no"), ("list", "n", 1), ("by", 3)):
        assert not get_part(state, keys)
    assert path_text(("by", "order:7", "total", 0)) == "by['order:7'].total[0]"
    for wrong in ("", (), 3, None):
        with pytest.raises(TypeError):
            keys_of(wrong)
