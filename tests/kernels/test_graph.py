"""Joining ids and measuring forests: kernel and twin agree, and both with what the words say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import graph

JOINS = [kernels.join_ids, graph.join_ids]
MEASURES = [kernels.measure_forest, graph.measure_forest]

# Few different halves, so that ids repeat and differ in one half only.
pairs = st.lists(st.tuples(*[st.sampled_from([0, 1, 2, 2**32, 2**63, 2**64 - 1])] * 2), max_size=30)
parents = st.lists(st.integers(-3, 25), max_size=25)


def words(found: Any) -> Any:
    return np.array(found, np.uint64).reshape(-1, 2)


@given(pairs, pairs, st.booleans())
def test_the_join_finds_what_a_search_of_the_list_finds(ids: Any, wanted: Any, last: bool) -> None:
    expected = []
    for pair in wanted:
        places = [place for place, one in enumerate(ids) if one == pair]
        expected.append(places[-1 if last else 0] if places else -1)
    for join in JOINS:
        assert join(words(ids), words(wanted), last=last).tolist() == expected


def test_many_ids_are_joined_one_by_one() -> None:
    random = np.random.default_rng(1)
    ids = random.integers(0, 2**63, (5000, 2)).astype(np.uint64)
    order = random.permutation(len(ids))
    for join in JOINS:
        assert join(ids, ids[order], last=True).tolist() == order.tolist()
        assert (join(ids, ids[:, ::-1], last=True) == -1).all()
        assert join(words([]), ids, last=False).tolist() == [-1] * len(ids)


@pytest.mark.parametrize("join", JOINS)
def test_ids_of_another_shape_are_refused(join: Any) -> None:
    for wrong in (np.zeros((3, 3), np.uint64), np.zeros((3, 2), np.int64), np.zeros(4, np.uint64)):
        with pytest.raises(ValueError, match="pairs"):
            join(wrong, words([]), last=True)
        with pytest.raises(ValueError, match="pairs"):
            join(words([]), wrong, last=True)


def walked(parents: list[int], place: int) -> list[int]:
    """The place and its causes, as far as they go or until one comes again."""
    found: list[int] = []
    while 0 <= place < len(parents) and place not in found:
        found.append(place)
        place = parents[place]
    return found


def brute_force(parents: list[int]) -> dict[str, list[Any]]:
    """The definitions, word for word."""
    count = len(parents)
    causes = [walked(parents, place) for place in range(count)]
    in_cycle = [0 <= parents[place] < count and place in walked(parents, parents[place]) for place in range(count)]
    root, depth = [], []
    for place in range(count):
        off_cycle = [one for one in causes[place] if not in_cycle[one]]
        on_cycle = [one for one in causes[place] if in_cycle[one]]
        root.append(min(on_cycle) if on_cycle else off_cycle[-1])
        depth.append(len(off_cycle) if on_cycle else len(off_cycle) - 1)
    reached = [{one for one in range(count) if place in causes[one]} - {place} for place in range(count)]
    height = [max(depth[one] for one in {*reached[place], place}) - depth[place] for place in range(count)]
    return {
        "root": root,
        "depth": depth,
        "height": height,
        "effects": [sum(cause == place for cause in parents) for place in range(count)],
        "descendants": [len(found) for found in reached],
        "in_cycle": in_cycle,
    }


@given(parents)
def test_the_measures_of_a_forest_are_what_their_words_say(parents: list[int]) -> None:
    expected = brute_force(parents)
    for measure in MEASURES:
        found = measure(np.array(parents, np.int32))
        assert {name: values.tolist() for name, values in found._asdict().items()} == expected


@pytest.mark.parametrize("measure", MEASURES)
def test_a_chain_of_a_hundred_thousand_costs_no_stack_and_no_square(measure: Any) -> None:
    count = 100_000
    for step in (-1, 1):  # causes before their effects, and after
        chain = np.arange(count, dtype=np.int32) + step
        found = measure(chain)
        assert found.depth.max() == found.height.max() == found.descendants.max() == count - 1
    ring = measure(np.roll(np.arange(count, dtype=np.int32), 1))
    assert ring.in_cycle.all() and not ring.root.any() and (ring.descendants == count - 1).all()


@given(st.lists(st.integers(-1, 200), min_size=200, max_size=200))
def test_kernel_and_twin_agree_on_larger_forests(parents: list[int]) -> None:
    kernel, twin = (measure(np.array(parents, np.int32)) for measure in MEASURES)
    for name, values in kernel._asdict().items():
        assert values.dtype == getattr(twin, name).dtype
        assert values.tolist() == getattr(twin, name).tolist(), name
