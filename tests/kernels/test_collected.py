"""Values collected by the kernel are those of the readable twin, whatever comes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import collected as readable

BOTH = [readable.Collected, kernels.Collected]


class Number(int):
    """No plain number: it may carry anything."""


one_sort = st.one_of(
    st.lists(st.integers(-(1 << 64), 1 << 64)), st.lists(st.floats()), st.lists(st.booleans()), st.lists(st.text())
)
mixed = st.lists(
    st.integers() | st.floats() | st.booleans() | st.none() | st.text() | st.lists(st.integers()) | st.builds(Number)
)


def collected(cls: Any, values: list[Any], room: int = 0) -> Any:
    """What the class makes of the values."""
    made = cls(len(values) + room, lambda value: ("copied", value))
    for value in values:
        made.append(value)
    return made.values()


@pytest.mark.skipif(not kernels.COMPILED, reason="there is no kernel to compare")
@given(one_sort | mixed, st.integers(0, 2))
@example([1, True], 0)
@example([1.0, 1], 0)
@example([0.0, -0.0, float("nan")], 0)
@example([(1 << 63) - 1, -(1 << 63)], 0)
@example([1, 1 << 63, 2], 0)
@example([1 << 63], 0)
@example([], 1)
def test_the_kernel_gives_what_its_twin_gives(values: list[Any], room: int) -> None:
    expected, found = (collected(cls, values, room) for cls in BOTH)
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert (found.dtype, found.tobytes()) == (expected.dtype, expected.tobytes())
    else:
        assert list(map(type, found)) == list(map(type, expected))
        assert repr(found) == repr(expected)


@pytest.mark.parametrize("cls", BOTH)
def test_numbers_of_one_sort_become_an_array_of_it(cls: Any) -> None:
    assert [collected(cls, values).dtype for values in ([1, 2], [1.0], [True])] == [np.int64, np.float64, np.bool_]
    assert collected(cls, [1, None, 2.0]) == [1, ("copied", None), 2.0]


@pytest.mark.parametrize("cls", BOTH)
def test_what_can_change_is_copied_when_it_comes(cls: Any) -> None:
    changing: list[int] = []
    made = cls(2, list)
    made.append(changing)
    changing.append(1)
    made.append(changing)
    assert made.values() == [[], [1]]


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize("value", [1, "one"])
def test_more_than_were_announced_are_refused(cls: Any, value: Any) -> None:
    made = cls(1, str)
    made.append(value)
    with pytest.raises(IndexError, match="more values than were announced"):
        made.append(value)
    assert list(made.values()) == [value]


@pytest.mark.parametrize("cls", BOTH)
def test_what_copying_raises_comes_through_and_takes_no_room(cls: Any) -> None:
    made = cls(2, {"known": "copy"}.__getitem__)
    made.append("known")
    with pytest.raises(KeyError):
        made.append("unknown")
    made.append("known")
    assert made.values() == ["copy", "copy"]
