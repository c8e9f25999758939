"""A replay gives the states of a plain fold, at every position, whatever was asked before."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.projection.parts import same
from tests.projection.stores import PAID, Balance, decoded, made_store, paid, refunded, replay_of, states

entities = st.sampled_from(["order:1", "order:10", "user:ä", "x"])
scalars = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text(max_size=5)
payloads = st.dictionaries(st.text(max_size=3), scalars | st.lists(scalars, max_size=3), max_size=4) | scalars
rows = st.lists(st.tuples(entities, st.sampled_from([0x1001, 0x1002, 0x2001]), payloads), max_size=40)


def remember(state: list[Any], event: Any) -> list[Any]:
    """Everything that an event has, so that no two different folds give the same."""
    names = ("entity", "scope", "kind", "payload", "event_id", "correlation_id", "causation_id", "global_sequence")
    more = ("timestamp_us", "position", "payload_version", "coordinate", "raw", "hash_chain", "content_hash", "flags")
    state.append({name: getattr(event, name) for name in (*names, *more)})
    return state


PROJECTIONS = [
    bp.fold(remember, initial=list),
    bp.fold(lambda state, event: (*state, repr(event.payload)), initial=()),
    bp.fold(lambda state, event: event.payload, initial=None),
    bp.Last(by="entity"),
    bp.Count(by="kind"),
    bp.GroupBy("entity", bp.Last(), ),
    bp.fold(lambda state, event: state | {event.entity}, initial=set, kinds=[0x1001]),
]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(rows, st.sampled_from(PROJECTIONS), st.lists(st.integers(0, 40), max_size=12), st.integers(0, 3000))
def test_every_position_equals_a_plain_fold(made: Any, projection: Any, asked: list[int], memory: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        reader = bp.open_reader(made_store(Path(directory) / "store", made))
        replay = reader.replay(projection, memory=memory)
        replay._snapshots.stride = 3
        kinds = getattr(projection, "kinds", None)
        events = [one for one in decoded(reader) if kinds is None or one.kind in kinds]
        expected = states(projection, events)
        assert len(replay) == len(events)
        for position in [*(one for one in asked if one <= len(events)), *range(len(expected))]:
            assert same(replay.state_at(position), expected[position]), position
        assert same(replay.final(), expected[-1])
        assert [len(repr(state)) for state in expected] == replay.trace(lambda s: len(repr(s)))["value"].tolist()


STORES = ("quickstart", "segments", "lanes", "hidden", "crash", "payloads", "merge", "retention", "tombstone")


@pytest.mark.parametrize("name", STORES)
def test_the_stores_of_the_rust_engine_replay_as_they_are_read(name: str, fixture_stores: Path) -> None:
    reader = bp.open_reader(fixture_stores / name)
    projection = bp.fold(remember, initial=list)
    readable = [("disposition", "=", "present")]
    replay = reader.replay(projection, filters=readable)
    assert len(replay)
    assert same(replay.final(), states(projection, decoded(reader, filters=readable))[-1])


def test_a_returned_state_may_be_changed_without_harm(tmp_path: Path) -> None:
    replay = replay_of(tmp_path / "s", Balance(), [paid("a", 5)] * 100)
    for position in (100, 64, 40, 0):
        before = replay.state_at(position)
        spoilt = replay.state_at(position)
        spoilt["by"]["a"] = "spoilt"
        spoilt["total"] = None
        assert replay.state_at(position) == before
    assert replay.state_at(100)["total"] == 500


def test_values_of_a_trace_do_not_change_with_the_state(tmp_path: Path) -> None:
    replay = replay_of(tmp_path / "s", Balance(), [paid("a", 1), paid("b", 2), refunded("a", 3)])
    assert replay.trace(lambda state: state["by"])["value"].tolist() == [
        {}, {"a": 1}, {"a": 1, "b": 2}, {"a": -2, "b": 2},
    ]  # fmt: skip
    assert replay.trace(lambda state: (state["by"],))["value"].tolist()[1] == ({"a": 1},)


def test_the_first_place_where_something_holds_is_found_with_its_event(tmp_path: Path) -> None:
    rows = [paid("a", 5), refunded("a", 2), refunded("a", 4), paid("a", 9), refunded("a", 20)]
    replay = replay_of(tmp_path / "s", Balance(), rows)
    found = replay.first_where(lambda state: state["total"] < 0)
    assert found is not None
    assert (found.position, found.event.global_sequence, found.event.payload) == (3, 2, {"cents": 4})
    assert (found.before["total"], found.after["total"]) == (3, -1)
    assert replay.first_where(lambda state: state["total"] > 100) is None
    assert replay.first_where(lambda state: state["total"] == 0) == bp.Found(0, None, None, replay.state_at(0))
    late = replay.first_where(lambda state: len(state["by"]) > 0, monotone=True)
    assert late is not None and late.position == 1
    assert replay.first_where(lambda state: False, monotone=True) is None


def test_changes_lists_only_events_that_changed_the_field(tmp_path: Path) -> None:
    rows = [paid("a", 5), paid("b", 0), refunded("a", 5), paid("a", 1)]
    replay = replay_of(tmp_path / "s", Balance(), rows)
    frame = replay.changes("total")
    assert frame[["position", "old", "new", "delta"]].to_numpy().tolist() == [[1, 0, 5, 5], [3, 5, 0, -5], [4, 0, 1, 1]]
    assert frame["global_sequence"].tolist() == [0, 2, 3]
    assert replay.changes(("by", "b"))["new"].tolist() == [0]
    assert replay.changes("by.a")["position"].tolist() == [1, 3, 4]
    assert replay.changes(lambda state: sorted(state["by"]))["new"].tolist() == [["a"], ["a", "b"]]
    assert len(replay.changes("nothing")) == 0
    with pytest.raises(TypeError, match="field="):
        replay.changes(3)


def test_a_trace_tells_event_time_and_value_and_its_index_is_the_position(tmp_path: Path) -> None:
    replay = replay_of(tmp_path / "s", Balance(), [paid("a", 5), ("x", 0x3001, {}), paid("b", 6)])
    frame = replay.trace(lambda state: state["total"])
    assert frame.index.tolist() == [0, 1, 2] and frame.index.name == "position"
    assert list(frame) == ["global_sequence", "wall_time", "entity", "kind", "value"]
    assert frame["value"].tolist() == [0, 5, 11] and frame["value"].dtype == np.int64
    assert frame["global_sequence"].tolist()[1:] == [0, 2] and frame["global_sequence"].isna()[0]
    assert frame["entity"].tolist()[1:] == ["a", "b"]
    part = replay.trace(lambda state: state["total"], start=1, stop=2)
    assert part.index.tolist() == [1, 2] and part["global_sequence"].tolist() == [0, 2]
    assert str(part["global_sequence"].dtype) == "uint64"


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], "int64"),
        ([1, None], "Int64"),
        ([1, 2.5], "float64"),
        ([(1 << 53) + 1, 2.5], "object"),
        ([1 << 70], "object"),
        ([True, None], "boolean"),
        ([True, 1], "object"),
        ([[1], {}], "object"),
    ],
)
def test_traced_values_keep_what_they_are(values: list[Any], dtype: str, tmp_path: Path) -> None:
    made = iter([*values, *values])
    replay = replay_of(tmp_path / "s", bp.Count(), [paid("a", 1)] * (len(values) - 1))
    frame = replay.trace(lambda state: next(made))
    assert str(frame["value"].dtype) == dtype
    assert frame["value"].iloc[0] == values[0]


def test_events_lists_exactly_what_is_folded(tmp_path: Path) -> None:
    rows = [paid("a", 5), ("x", 0x3001, {}), paid("a:b", 6), paid("a", 7)]
    reader = bp.open_reader(made_store(tmp_path / "s", rows))
    replay = reader.replay(Balance(), entity="a")
    frame = replay.events().to_pandas()
    assert frame["position"].tolist() == [1, 2]
    assert frame["payload.cents"].tolist() == [5, 7]
    assert replay.events(columns=["position", "entity"]).to_pandas()["entity"].tolist() == ["a", "a"]
    assert replay.events().count() == len(replay) == 2
    assert replay.event(2).payload == {"cents": 7}
    assert "position" in replay.events()._repr_html_()


def test_what_a_projection_reads_is_all_that_it_is_given(tmp_path: Path) -> None:
    rows = [("a", PAID, {"cents": 5, "note": [1]}), ("a", PAID, [1]), ("a", PAID, {"note": 2})]
    seen = bp.fold(lambda state, event: [*state, event.payload], initial=[], reads="cents")
    replay = replay_of(tmp_path / "s", seen, rows)
    assert replay.final() == [{"cents": 5}, [1], {}]
    assert replay.check().pure


def test_a_replay_stays_at_the_view_that_it_was_made_from(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path / "s") as store:
        store.append("a", "s", PAID, {"cents": 1})
        replay = store.replay(Balance())
        store.append("a", "s", PAID, {"cents": 1})
        assert replay.final()["total"] == 1
        assert store.replay(Balance()).final()["total"] == 2
        assert store.reader().replay(Balance()).final()["total"] == 2


def test_repr_is_short_and_names_are_escaped(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    replay = replay_of(tmp_path / "s", Balance(), [paid(hostile, -5)], entity=hostile)
    assert repr(replay) == f"Replay(Balance: 1 events, sequences 0 to 0, entity {hostile!r})"
    found = replay.first_where(lambda state: state["total"] < 0)
    for page in (replay._repr_html_(), replay.diff(0, 1)._repr_html_(), replay.events()._repr_html_()):
        assert "<img" not in page and len(page) < 15_000
    assert hostile in repr(found)


def test_times_beyond_the_calendar_are_shown_as_numbers(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path, config=bp.StoreConfig(clock=lambda: 1 << 62)) as store:
        store.append("a", "s", PAID, {"cents": 1})
    assert f"{(1 << 62) // 1000} ms since 1970" in bp.open_reader(tmp_path).replay(bp.Count())._repr_html_()


def test_threads_may_share_a_replay(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    replay = replay_of(tmp_path / "s", Balance(), [paid("a", 1)] * 300)
    with ThreadPoolExecutor(4) as pool:
        positions = [300, 1, 299, 40, 170, 0] * 10
        totals = [state["total"] for state in pool.map(replay.state_at, positions)]
    assert totals == positions
