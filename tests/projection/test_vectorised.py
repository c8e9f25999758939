"""A projection over columns answers every question as the same projection event by event."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from tests.projection.stores import PAID, made_store, paid

COLUMNS = ["entity", "payload.cents"]
TOTAL = bp.vectorised(lambda df: df["payload.cents"].cumsum(), columns=COLUMNS, initial=0, kinds=PAID)
STATES = bp.vectorised(
    lambda df: {"total": df["payload.cents"].cumsum(), "seen": np.arange(1, len(df) + 1)},
    columns=COLUMNS, initial={"total": 0, "seen": 0}, kinds=PAID,
)  # fmt: skip
BY = bp.vectorised(
    lambda df: df.groupby("entity", observed=True)["payload.cents"].cumsum(),
    columns=COLUMNS, initial=0, by="entity", kinds=PAID,
)  # fmt: skip


@bp.fold(initial=lambda: {"total": 0, "seen": 0}, kinds=PAID)
def slowly(state: dict[str, int], event: Any) -> dict[str, int]:
    state["total"] += event.payload["cents"]
    state["seen"] += 1
    return state


rows = st.lists(st.builds(paid, st.sampled_from(["a", "b", "a:c"]), st.integers(-50, 50)), min_size=1, max_size=30)


@settings(max_examples=25, deadline=None)
@given(rows)
def test_every_answer_is_that_of_the_fold(made: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        reader = bp.open_reader(made_store(Path(directory) / "s", made))
        fast, slow = reader.replay(STATES), reader.replay(slowly)
        assert len(fast) == len(slow)
        for position in range(len(slow) + 1):
            assert fast.state_at(position) == slow.state_at(position)
        assert fast.final() == slow.final()
        one, other = (replay.trace(lambda s: s["total"]) for replay in (fast, slow))
        assert one.equals(other)
        found, wanted = (replay.first_where(lambda s: s["total"] < 0) for replay in (fast, slow))
        assert (found is None) == (wanted is None)
        if found is not None and wanted is not None:
            assert (found.position, found.before, found.after) == (wanted.position, wanted.before, wanted.after)
            assert found.event.event_id == wanted.event.event_id
        assert fast.changes("total").to_dict("list") == slow.changes("total").to_dict("list")
        assert fast.diff(0, len(slow)) == slow.diff(0, len(slow))
        assert fast.check().pure


@settings(max_examples=25, deadline=None)
@given(rows)
def test_groups_are_those_of_the_fold(made: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        reader = bp.open_reader(made_store(Path(directory) / "s", made))
        fast, slow = reader.replay(BY), reader.replay(bp.Sum("cents", by="entity", kinds=PAID))
        for position in range(len(slow) + 1):
            assert fast.state_at(position) == slow.state_at(position)
        for name in ("a", "b"):
            told = fast.changes("state")
            assert told[told["entity"] == name]["delta"].tolist() == [
                one for one in reader.replay(bp.Sum("cents", kinds=PAID), entity=name).changes(lambda s: s)["delta"]
            ]


def test_a_value_alone_and_arrow_tables_are_states_too(tmp_path: Path) -> None:
    reader = bp.open_reader(made_store(tmp_path / "s", [paid("a", 5), paid("b", -7), paid("a", 3)]))
    total = reader.replay(TOTAL)
    assert [total.state_at(position) for position in range(4)] == [0, 5, -2, 1]
    assert type(total.final()) is int
    found = total.first_where(lambda s: s < 0)
    assert found is not None and (found.position, found.event.payload, found.before, found.after) == (
        2, {"cents": -7}, 5, -2,
    )  # fmt: skip
    arrow = bp.vectorised(
        lambda table: pa.table({"sum": pc.cumulative_sum(table["payload.cents"])}),
        columns=["payload.cents"], initial={"sum": 0}, form="arrow",
    )  # fmt: skip
    assert reader.replay(arrow).trace("sum")["value"].tolist() == [0, 5, -2, 1]
    assert reader.replay(arrow).states["sum"].dtype == np.int64


def test_filters_and_addresses_work_as_for_any_replay(tmp_path: Path) -> None:
    reader = bp.open_reader(made_store(tmp_path / "s", [paid("a", 5), paid("a:b", 7), ("x", 9, {}), paid("a", 3)]))
    replay = reader.replay(TOTAL, entity="a")
    assert (len(replay), replay.final(), replay.at_sequence(2), replay.at(replay.event(2).event_id)) == (2, 8, 5, 8)
    assert replay.events().to_pandas()["payload.cents"].tolist() == [5, 3]
    assert repr(replay).startswith("VectorReplay(<lambda>: 2 events")
    assert "&lt;lambda&gt;" in replay._repr_html_()
    with pytest.raises(IndexError):
        replay.state_at(3)


def test_a_function_that_looks_ahead_is_found(tmp_path: Path) -> None:
    reader = bp.open_reader(made_store(tmp_path / "s", [paid("a", n) for n in range(20)]))
    ahead = bp.vectorised(lambda df: df["payload.cents"] * 0 + df["payload.cents"].sum(), columns=COLUMNS, initial=0)
    assert not reader.replay(ahead).check()
    assert reader.replay(TOTAL).check()


def test_what_a_function_gives_must_be_a_row_for_each_event(tmp_path: Path) -> None:
    reader = bp.open_reader(made_store(tmp_path / "s", [paid("a", 1), paid("a", 2)]))

    def replay(function: Any, initial: Any = 0) -> Any:
        return reader.replay(bp.vectorised(function, columns=COLUMNS, initial=initial)).final

    with pytest.raises(bp.ProjectionError, match="one row for each of 2"):
        replay(lambda df: df["payload.cents"][:1])()
    with pytest.raises(bp.ProjectionError, match="columns"):
        replay(lambda df: {"a": df["payload.cents"]}, {"b": 0})()
    with pytest.raises(bp.ProjectionError, match="initial= is one value"):
        replay(lambda df: df)()
    with pytest.raises(bp.ProjectionError, match="KeyError") as caught:
        replay(lambda df: df["nothing"])()
    assert isinstance(caught.value.__cause__, KeyError)
    whole = reader.replay(STATES)
    with pytest.raises(KeyError, match="none of the columns"):
        whole.trace("nothing")
    with pytest.raises(TypeError, match="all states at once"):
        whole.trace(lambda s: s["total"].sum())


@pytest.mark.parametrize(
    "options",
    [{"by": "scope"}, {"form": "polars"}, {"kinds": "x"}, {"columns": [], "by": "entity"}],
)
def test_a_wrong_declaration_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(bp.ProjectionDeclarationError):
        bp.vectorised(lambda df: df, **{"columns": COLUMNS, "initial": 0, **options})
    with pytest.raises(bp.ProjectionDeclarationError):
        bp.vectorised(3, columns=COLUMNS, initial=0)  # type: ignore[arg-type]


def test_types_of_states_hold_the_initial_one(tmp_path: Path) -> None:
    reader = bp.open_reader(made_store(tmp_path / "s", [paid("a", 1), paid("b", 2)]))

    def dtype(function: Any, initial: Any) -> str:
        made = reader.replay(bp.vectorised(function, columns=COLUMNS, initial=initial)).trace(lambda s: s)["value"]
        assert made.iloc[0] == initial
        return str(made.dtype)

    assert dtype(lambda df: df["payload.cents"].cumsum(), 0) == "int64"
    assert dtype(lambda df: df["payload.cents"].cumsum() / 2, 0) == "float64"
    assert dtype(lambda df: df["payload.cents"].cumsum(), -1.5) == "float64"
    assert dtype(lambda df: df["payload.cents"] > 1, False) == "bool"
    assert dtype(lambda df: df["payload.cents"].astype(object), "none") == "object"


def test_what_is_done_to_the_states_or_to_the_events_changes_no_later_answer(tmp_path: Path) -> None:
    def changed(events: Any) -> Any:
        events["payload.cents"] += 1
        events["more"] = 1
        return events["payload.cents"]

    reader = bp.open_reader(made_store(tmp_path / "s", [paid("a", 1), paid("a", 2), paid("a", 3)]))
    replay = reader.replay(bp.vectorised(changed, columns=COLUMNS, initial=0, kinds=PAID))
    mine = replay.states
    mine.loc[2, "state"] = 99
    assert replay.states["state"].tolist() == [2, 3, 4] and replay.state_at(2) == 3 and replay.check().pure


@pytest.mark.parametrize(
    "values",
    [
        np.array([5, 3, 2], np.uint64),
        np.array([2**64 - 1, 0, 7], np.uint64),
        np.array([-(2**63), 2**63 - 1, 0], np.int64),
        np.array([100, -100, 100], np.int8),
        np.array([3, 2, 1], np.uint16),
        pd.array([5, None, 3, 1], "Int64"),
    ],
)
def test_a_change_is_as_large_as_it_is_whatever_the_width_of_the_column(tmp_path: Path, values: Any) -> None:
    reader = bp.open_reader(made_store(tmp_path / "s", [paid("a", 1)] * len(values)))
    states = iter(values.tolist())
    fast = reader.replay(bp.vectorised(lambda df: values, columns=COLUMNS, initial=0, kinds=PAID))
    slow = reader.replay(bp.fold(lambda state, event: [next(states)], initial=[0], kinds=PAID))
    found, wanted = (frame["delta"].tolist() for frame in (fast.changes("state"), slow.changes((0,))))
    assert [None if pd.isna(one) else one for one in found] == [None if pd.isna(one) else one for one in wanted]
