"""Kept states are copies, take no more memory than allowed, and impure projections are found."""

from __future__ import annotations

import itertools
import pickle
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.projection.copies import Copier, deep_size, is_immutable
from batpak_analytics.projection.snapshots import Snapshots
from tests.projection.stores import Balance, paid, replay_of


class Nothing:
    """Columns of no events."""


@given(st.integers(1, 5000), st.integers(0, 3000), st.lists(st.integers(0, 5000), max_size=60))
def test_kept_states_stay_within_their_memory(events: int, memory: int, positions: list[int]) -> None:
    kept = Snapshots(events, Copier(Nothing(), "test"), memory)
    for position in positions:
        kept.keep(position, [position] * 5)
        assert kept.bytes <= memory
    for position in range(0, 5000, 7):
        before = kept.before(position)
        assert before <= position
        assert before == 0 or kept.state(before) == [before] * 5
    assert kept.bytes == sum(size for _, size in kept._kept.values())


def test_thinned_copies_stay_evenly_spread() -> None:
    kept = Snapshots(100_000, Copier(Nothing(), "test"), 20_000)
    for position in range(100, 100_001, 100):
        kept.keep(position, "x" * 1000)
    gaps = [kept.before(position) for position in range(0, 100_001, 100)]
    assert max(b - a for a, b in itertools.pairwise(gaps)) <= 2 * kept.stride
    assert 5 <= len(kept) <= 20


@pytest.mark.parametrize("state", [{"a": [1]}, [1], bytearray(b"x"), {1}, b"x", (1, [2]), 5, None, "x", Balance])
def test_a_copy_is_equal_and_shares_nothing_that_changes(state: Any) -> None:
    copier = Copier(Nothing(), "test")
    made = copier.thaw(copier.freeze(state)[0])
    assert made == state and type(made) is type(state)
    assert made is not state or is_immutable(state) or isinstance(state, type)


def test_states_that_cannot_be_pickled_are_deep_copied() -> None:
    copier = Copier(Nothing(), "test")
    state: Any = defaultdict(lambda: 0, a=1)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(state)
    frozen, size = copier.freeze(state)
    state["a"] = 2
    made = copier.thaw(frozen)
    made["b"] += 1
    assert made == {"a": 1, "b": 1} and copier.thaw(frozen) == {"a": 1}
    assert size == deep_size(defaultdict(lambda: 0, a=1)) > 100


def test_states_may_hold_events(tmp_path: Path) -> None:
    holding = bp.fold(lambda state, event: {**state, event.entity: event}, initial=dict)
    replay = replay_of(tmp_path / "s", holding, [paid(name, 1) for name in "abcab" * 20])
    assert replay.state_at(100)["a"] == replay.event(99) and replay.state_at(64)["a"].global_sequence == 63
    assert replay.state_at(64)["b"].payload == {"cents": 1}
    taken = pickle.loads(pickle.dumps(replay.final()))
    assert type(taken["c"]) is bp.Event and taken["c"] == bp.open_reader(tmp_path / "s").get(taken["c"].event_id)
    assert replay.check().pure


@pytest.mark.parametrize("length", [1, 40, 1200])
def test_pure_projections_pass(length: int, tmp_path: Path) -> None:
    report = replay_of(tmp_path / "s", Balance(), [paid("a", 1)] * length).check()
    assert report.pure and bool(report) and report.events == length


def impure(how: str) -> Any:
    counter, shared = itertools.count(), {"n": 0}

    def apply(state: Any, event: Any) -> Any:
        if how == "memory":
            return state + next(counter)
        if how == "chance":
            return state + random.random()
        if how == "time":
            return state + time.perf_counter()
        if how == "payload":
            event.payload["cents"] = 0
            return state + 1
        if how == "initial":
            state["n"] += 1
        if how == "raises":
            raise KeyError("x")
        return state

    if how == "initial":
        return bp.fold(apply, initial=lambda: shared)
    return bp.fold(apply, initial=0)


@pytest.mark.parametrize(
    ("how", "rule", "position"),
    [
        ("memory", "state-differs", 1),
        ("chance", "state-differs", 1),
        ("time", "state-differs", 1),
        ("payload", "payload-changed", 1),
        ("raises", "failed", 1),
    ],
)
def test_impure_projections_are_found_and_the_event_is_named(
    how: str, rule: str, position: int, tmp_path: Path
) -> None:
    replay = replay_of(tmp_path / "s", impure(how), [paid("a", 1)] * 30)
    report = replay.check()
    assert not report and rule in [one.rule for one in report.impurities]
    found = next(one for one in report.impurities if one.rule == rule)
    assert (found.position, found.event_id) == (position, replay.event(position).event_id)
    assert rule in repr(report) and rule in report._repr_html_()


def test_an_initial_state_that_folds_share_is_found(tmp_path: Path) -> None:
    report = replay_of(tmp_path / "s", impure("initial"), [paid("a", 1)] * 3).check()
    assert not report.pure


def test_a_changed_payload_reaches_no_other_fold(tmp_path: Path) -> None:
    replay = replay_of(tmp_path / "s", impure("payload"), [paid("a", 7)] * 3)
    replay.final()
    assert replay.event(2).payload == {"cents": 7}
