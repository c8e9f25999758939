"""Steps through a replay stop where a plain fold says so, and conditions ask what they print."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.projection.parts import MISSING, get_part, same
from batpak_analytics.projection.steps import Activity, count_parts, parts_of
from tests.projection.stores import PAID, Balance, decoded, paid, refunded, replay_of, states

FIELDS = [None, "total", "by", ("by", "order:1"), "last.cents", "nothing"]
rows = st.lists(
    st.builds(
        lambda entity, cents, back: (refunded if back else paid)(entity, cents),
        st.sampled_from(["order:1", "order:2", "user:7"]), st.integers(0, 2), st.booleans(),
    ),
    max_size=30,
)  # fmt: skip


def changed(replay: bp.Replay, field: Any) -> list[int]:
    """Every position whose event changed the part, by the definition."""
    keys = () if field is None else tuple(field.split(".")) if isinstance(field, str) else field
    parts = [get_part(replay.state_at(position), keys) for position in range(len(replay) + 1)]
    return [at for at in range(1, len(parts)) if not same(parts[at - 1], parts[at])]


@settings(max_examples=40, deadline=None)
@given(rows, st.sampled_from(FIELDS), st.integers(1, 9), st.booleans())
def test_the_next_and_the_previous_change_are_the_nearest(made: Any, field: Any, stride: int, some: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        replay = replay_of(Path(directory) / "store", Balance(), made)
        replay._snapshots.stride = stride
        among = replay.positions(entity="order:1") if some else None
        every = [at for at in changed(replay, field) if among is None or at in among]
        for position in range(len(replay) + 1):
            after = next((at for at in every if at > position), None)
            before = next((at for at in reversed(every) if at < position), None)
            assert replay.next_change(position, field, among=among) == after
            assert replay.previous_change(position, field, among=among) == before


@settings(max_examples=20, deadline=None)
@given(rows)
def test_positions_are_those_of_the_events_that_pass(made: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        replay = replay_of(Path(directory) / "store", Balance(), made)
        events = [replay.event(position) for position in range(1, len(replay) + 1)]
        orders = [at for at, one in enumerate(events, 1) if one.entity.startswith("order")]
        large = [at for at, one in enumerate(events, 1) if one.payload["cents"] > 1 and one.kind == PAID]
        assert replay.positions(entity="order").tolist() == orders
        assert replay.positions(kind=PAID, filters=[("payload.cents", ">", 1)]).tolist() == large
        assert replay.positions().tolist() == list(range(1, len(replay) + 1))
        assert sum(replay.activity(7).counts) == len(replay)


def test_a_condition_asks_what_it_prints(tmp_path: Path) -> None:
    replay = replay_of(tmp_path / "store", Balance(), [paid("order:1", 5), refunded("order:1", 9), paid("x", 1)])
    below = bp.when("total", "<", 0)
    assert repr(below) == "bp.when('total', '<', 0)"
    deep = bp.when(("by", "order:1"), "==", 5)
    whole = bp.when(None, "!=", {"total": 0, "by": {}, "last": None})
    for condition, position in ((below, 2), (deep, 1), (whole, 1)):
        again = eval(repr(condition), {"bp": bp})
        assert again == condition
        found = replay.first_where(again)
        assert found is not None and found.position == position


def test_a_part_that_is_not_there_or_cannot_be_compared_answers_no() -> None:
    assert not bp.when("a", "<", 1)({}) and not bp.when("a", "!=", 1)({})
    assert not bp.when("a", "<", 1)({"a": "text"}) and not bp.when("a", ">", None)({"a": 1})
    assert not bp.when("a", "==", 1)({"a": np.arange(3)})
    assert bp.when("a", "==", None)({"a": None})
    with pytest.raises(ValueError, match="=~"):
        bp.when("a", "=~", 1)
    with pytest.raises(TypeError, match="field=3"):
        bp.when(3, "<", 1)


def test_parts_of_a_state_are_listed_to_a_depth() -> None:
    state = {"total": 1, "by": {"order:1": {"open": [1, 2], "deep": {"er": {"est": 0}}}}, "none": {}}
    found = parts_of(state, 10)
    assert [path for path, _, _ in found] == [
        "total",
        'by["order:1"].open'.replace('"', "'"),
        "by['order:1'].deep",
        "none",
    ]
    assert all(get_part(state, keys) == value for _, keys, value in found)
    assert len(parts_of(state, 2)) == 2 and count_parts(state) == 4
    assert parts_of(5, 3) == [("", (), 5)]


def test_activity_holds_times_of_every_size() -> None:
    top = 2**63 - 1
    found = Activity.of(np.array([0, 10, 20, 20, top], np.int64), 2)
    assert found.counts == (4, 1) and (found.first_ms, found.last_ms) == (0, top)
    assert found.bin_of(0) == 0 and found.bin_of(top * 1000) == 1 and found.bin_of(-5) == 0
    assert Activity.of(np.zeros(0, np.int64), 3).counts == (0, 0, 0)
    assert Activity.of(np.array([7, 7], np.int64), 3).counts == (2, 0, 0)


def test_the_fold_of_the_fixture_is_not_disturbed_by_steps(tmp_path: Path) -> None:
    replay = replay_of(tmp_path / "store", Balance(), [paid(f"order:{n % 3}", n) for n in range(50)])
    for position in (3, 40, 7):
        replay.next_change(position, "total")
        replay.previous_change(position, "total")
    expected = states(Balance(), decoded(bp.open_reader(tmp_path / "store")))
    assert all(same(replay.state_at(position), expected[position]) for position in range(51))
    assert MISSING is get_part(replay.final(), ("nothing",))


def test_a_vectorised_replay_takes_the_same_steps_and_questions(tmp_path: Path) -> None:
    rows = [paid("order:1", 5), paid("order:2", 0), refunded("order:1", 9), paid("order:2", 1)]
    plain = replay_of(tmp_path / "store", Balance(), rows)

    def columns(df: Any) -> Any:
        signed = df["payload.cents"].where(df["kind"] == PAID, -df["payload.cents"])
        return {"total": signed.cumsum(), "seen": df["kind"].notna().cumsum()}

    fast = bp.open_reader(tmp_path / "store").replay(
        bp.vectorised(columns, columns=["payload.cents", "kind"], initial={"total": 0, "seen": 0})
    )
    for position in range(5):
        for step in ("next_change", "previous_change"):
            assert getattr(fast, step)(position, "total") == getattr(plain, step)(position, "total")
            assert getattr(fast, step)(position, "total", among=[3]) == getattr(plain, step)(
                position, "total", among=np.array([3])
            )
        assert fast.next_change(position) == (position + 1 if position < 4 else None)
    below, total = bp.when("total", "<", 0), bp.part("total")
    assert fast.first_where(below).position == 3
    assert fast.trace(total)["value"].tolist() == plain.trace(total)["value"].tolist()
    with pytest.raises(KeyError, match="no column"):
        fast.trace(bp.part(None))
    assert fast.positions(entity="order:2").tolist() == [2, 4] and sum(fast.activity().counts) == 4
