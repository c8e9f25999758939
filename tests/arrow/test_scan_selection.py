"""Which rows: the reference's region rules, time travel, lanes, pruning."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batpak_analytics.arrow.filters import category
from batpak_analytics.arrow.scan import Scan
from batpak_analytics.engine.region import in_namespace
from batpak_analytics.errors import EventNotFoundError
from batpak_analytics.format.sidecars.visibility import HiddenRanges
from tests.arrow.scan_stores import event, fixture_view, rows, sequences, view_of
from tests.engine.building import EPOCH_US

SEGMENTS = fixture_view("segments")
LANES = fixture_view("lanes")


def at(number: float) -> datetime:
    """The time of `make_event(number)`."""
    return datetime.fromtimestamp(EPOCH_US / 1_000_000, UTC) + timedelta(milliseconds=number)


@pytest.mark.parametrize(
    ("entity", "wanted", "matches"),
    [
        ("order:1", "order:1", True),
        ("order:1", "order", True),
        ("order:1:item", "order:1", True),
        ("order:11", "order:1", False),
        ("orders", "order", False),
        ("order:1", "order:", False),
        ("order:1", "", False),
        (":x", "", True),
    ],
)
def test_entity_matches_by_namespace_not_by_prefix(entity: str, wanted: str, matches: bool) -> None:
    assert in_namespace(entity, (wanted,)) is matches


def test_entity_and_scope_select_rows(tmp_path: Path) -> None:
    view = view_of(
        tmp_path / "s",
        [event(0, entity="a"), event(1, entity="a:1"), event(2, entity="ab", scope="other")],
        [event(3, entity="b"), event(4, entity="a:1:x", scope="other")],
    )
    assert sequences(view, entity="a") == [0, 1, 4]
    assert sequences(view, entity=["a:1", "b"]) == [1, 3, 4]
    assert sequences(view, scope="other") == [2, 4]
    assert sequences(view, entity="a", scope="other") == [4]
    assert sequences(view, scope="oth") == []


def test_the_string_table_prunes_segments_even_where_a_string_is_only_a_scope(tmp_path: Path) -> None:
    view = view_of(tmp_path / "s", [event(0)], [event(1, entity="other")], [event(2, scope="other")])
    plan = Scan(view, entity="other", columns=["kind"]).explain()
    assert [segment.selected for segment in plan.segments] == [0, 1, 0]
    assert plan.segments[0].reason == "no entity in 'other'"
    assert plan.segments[2].reason is None


def test_kinds_by_number_list_and_category() -> None:
    kinds = [row["kind"] for row in rows(SEGMENTS, columns=["kind"])]
    for chosen, wanted in (
        (0x1001, {0x1001}),
        ([0x1001, np.uint16(0x2001)], {0x1001, 0x2001}),
        (category(0xF), set(range(0xF000, 0x10000))),
        ([category(2), 0x1001], {0x1001, *range(0x2000, 0x3000)}),
        ([], set()),
    ):
        found = [row["kind"] for row in rows(SEGMENTS, columns=["kind"], kind=chosen)]
        assert found == [kind for kind in kinds if kind in wanted]


@pytest.mark.parametrize("number", [-1, 16, 1.0, True, "1"])
def test_a_category_is_four_bits(number: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="0 to 15"):
        category(number)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("kind", value) for value in (65_536, -1, "DATA", True)),
        *(("lane", value) for value in (-1, 2**32, "0")),
        *(("as_of", value) for value in (-1, True, 1.5, "xyz", b"short")),
        ("entity", 5),
        ("scope", [b"x"]),
        ("since", "2026-01-01"),
        ("until", 5),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(option: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        Scan(SEGMENTS, **{option: value})
    assert option in str(caught.value)
    assert len(str(caught.value)) > 30


# -- lanes ------------------------------------------------------------------------------------------------


def test_lanes_select_rows() -> None:
    everything = rows(LANES, columns=["global_sequence", "lane"])
    lanes = {row["lane"] for row in everything}
    assert len(lanes) > 1
    for lane in lanes:
        assert sequences(LANES, lane=lane) == [r["global_sequence"] for r in everything if r["lane"] == lane]
    assert sequences(LANES, lane=sorted(lanes)) == [row["global_sequence"] for row in everything]
    assert sequences(LANES, lane=2**32 - 2) == []


def test_a_lane_query_leaves_out_what_is_hidden_on_that_lane_and_no_other_query_does(tmp_path: Path) -> None:
    view = view_of(tmp_path / "s", [event(n, lane=n % 2) for n in range(8)])
    hidden = replace(view, hidden=HiddenRanges(ranges=(), lane_ranges={1: ((1, 4), (7, 8)), 0: ((2, 3),)}))
    assert sequences(hidden) == list(range(8))
    assert sequences(hidden, lane=1) == [5]
    assert sequences(hidden, lane=0) == [0, 4, 6]
    assert sequences(hidden, lane=[0, 1]) == [0, 4, 5, 6]


# -- time -------------------------------------------------------------------------------------------------


def test_since_is_inclusive_and_until_exclusive(tmp_path: Path) -> None:
    view = view_of(tmp_path / "s", [event(n) for n in range(3)], [event(n) for n in range(3, 6)])
    assert sequences(view, since=at(2)) == [2, 3, 4, 5]
    assert sequences(view, until=at(2)) == [0, 1]
    assert sequences(view, since=at(1), until=at(4)) == [1, 2, 3]
    assert sequences(view, since=at(1.001)) == [2, 3, 4, 5]
    assert sequences(view, until=at(1.001)) == [0, 1]
    assert sequences(view, until=datetime(1969, 1, 1, tzinfo=UTC)) == []
    assert sequences(view, since=datetime(1969, 1, 1, tzinfo=UTC)) == list(range(6))
    assert sequences(view, since=datetime(9999, 1, 1, tzinfo=UTC)) == []


def test_any_zone_and_nanoseconds_of_a_timestamp_count(tmp_path: Path) -> None:
    view = view_of(tmp_path / "s", [event(n) for n in range(4)])
    elsewhere = timezone(timedelta(hours=-7, minutes=30))
    assert sequences(view, since=at(2).astimezone(elsewhere)) == [2, 3]
    exact = pd.Timestamp(at(2))
    assert sequences(view, since=exact) == [2, 3]
    assert sequences(view, since=exact + pd.Timedelta(1, "ns")) == [3]
    assert sequences(view, until=exact.tz_convert("Asia/Kathmandu") + pd.Timedelta(1, "ns")) == [0, 1, 2]


def test_a_time_may_be_text_with_its_zone(tmp_path: Path) -> None:
    view = view_of(tmp_path / "s", [event(n) for n in range(4)])
    assert sequences(view, since=at(2).isoformat()) == [2, 3]
    assert sequences(view, until="2023-11-14T22:13:20.002Z") == [0, 1]
    assert sequences(view, since="2023-11-15T03:58:20.003+05:45") == [3]
    with pytest.raises(ValueError, match="since='tomorrow'"):
        Scan(view, since="tomorrow")


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), pd.Timestamp("2026-01-01"), pd.NaT])
@pytest.mark.parametrize("option", ["since", "until", "as_of"])
def test_naive_times_raise_instead_of_guessing_a_zone(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=option):
        Scan(SEGMENTS, **{option: value})


def test_segments_outside_the_times_are_pruned(tmp_path: Path) -> None:
    view = view_of(tmp_path / "s", [event(0)], [event(1)], [event(2)])
    plan = Scan(view, since=at(1), until=at(2), columns=["kind"]).explain()
    assert [segment.selected for segment in plan.segments] == [0, 1, 0]
    assert plan.segments[0].reason == plan.segments[2].reason == "wall_time outside since/until"


# -- as_of ------------------------------------------------------------------------------------------------


def test_as_of_a_sequence_is_inclusive() -> None:
    everything = sequences(SEGMENTS, system=True)
    for number in (0, 5, 50, 10**9, 2**64 - 1):
        assert sequences(SEGMENTS, system=True, as_of=number) == [s for s in everything if s <= number]


def test_as_of_an_event_id_in_every_form() -> None:
    row = rows(SEGMENTS, columns=["global_sequence", "event_id"])[17]
    expected = sequences(SEGMENTS, as_of=row["global_sequence"])
    key = row["event_id"]
    for form in (key, key.hex(), key.hex().upper(), uuid.UUID(bytes=key), str(uuid.UUID(bytes=key)), bytearray(key)):
        assert sequences(SEGMENTS, as_of=form) == expected


def test_as_of_an_unknown_or_hidden_event_says_so() -> None:
    view = fixture_view("hidden")
    hidden = next(s.rows["event_id"][s.excluded][0].tobytes()[::-1] for s in view.segments if s.excluded.any())
    for key in (hidden, bytes(16)):
        with pytest.raises(EventNotFoundError, match=key.hex()):
            Scan(view, as_of=key)


def test_as_of_a_time_is_the_prefix_before_the_first_later_event(tmp_path: Path) -> None:
    """Times may go back between entities; a plain filter on wall_time would tear holes into the history."""
    order = [0, 3, 1, 2, 6, 4, 9]
    events = [replace(event(n), position=replace(event(n).position, clock=i)) for i, n in enumerate(order)]
    view = view_of(tmp_path / "s", events[:4], events[4:])
    running = np.maximum.accumulate(order)
    for moment in np.arange(-1, 11, 0.5):
        expected = [i for i, top in enumerate(running) if top <= moment]
        assert sequences(view, as_of=at(float(moment))) == expected
    assert sequences(view, as_of=datetime(1960, 1, 1, tzinfo=UTC)) == []


def test_as_of_is_settled_when_the_scan_is_made(tmp_path: Path) -> None:
    view = view_of(tmp_path / "s", [event(0), event(1)])
    chosen = Scan(view, as_of=at(0), columns=["global_sequence"])
    assert chosen.count() == chosen.to_arrow().num_rows == 1


# -- the store's own events -------------------------------------------------------------------------------


def test_lifecycle_events_are_left_out_unless_asked_for() -> None:
    everything = rows(SEGMENTS, columns=["global_sequence", "entity", "scope"], system=True)
    own = [r for r in everything if (r["entity"], r["scope"]) == ("batpak:store", "batpak:lifecycle")]
    assert len(own) == 4
    kept = [r["global_sequence"] for r in everything if r not in own]
    assert sequences(SEGMENTS) == kept


def test_an_application_may_use_half_of_the_lifecycle_coordinate(tmp_path: Path) -> None:
    view = view_of(
        tmp_path / "s",
        [
            event(0, entity="batpak:store", scope="mine"),
            event(1, entity="order:1", scope="batpak:lifecycle"),
            event(2, entity="batpak:store", scope="batpak:lifecycle"),
        ],
    )
    assert sequences(view) == [0, 1]


def test_a_store_of_system_events_only_gives_an_empty_frame_with_its_columns() -> None:
    table = Scan(fixture_view("untouched"), columns="all").to_arrow()
    assert table.num_rows == 0
    assert "global_sequence" in table.column_names


# -- all of it against plain Python -----------------------------------------------------------------------

EVERYTHING = rows(LANES, columns=["global_sequence", "entity", "scope", "kind", "lane", "wall_time"], system=True)
some = st.sampled_from
times = st.none() | some([row["wall_time"] for row in EVERYTHING])


@settings(max_examples=150, deadline=None)
@given(
    entity=st.none() | some(["order", "order:1", "order:3", "batpak", "nobody"]),
    scope=st.none() | some(sorted({row["scope"] for row in EVERYTHING})),
    kind=st.none() | st.lists(some(sorted({row["kind"] for row in EVERYTHING})), max_size=4),
    lane=st.none() | st.integers(0, 3),
    since=times,
    until=times,
    as_of=st.none() | st.integers(0, 120),
    system=st.booleans(),
)
def test_every_combination_selects_what_plain_python_selects(**options: Any) -> None:
    def passes(row: dict[str, Any]) -> bool:
        own = (row["entity"], row["scope"]) == ("batpak:store", "batpak:lifecycle")
        return (
            (options["system"] or not own)
            and (options["entity"] is None or in_namespace(row["entity"], (options["entity"],)))
            and (options["scope"] is None or row["scope"] == options["scope"])
            and (options["kind"] is None or row["kind"] in options["kind"])
            and (options["lane"] is None or row["lane"] == options["lane"])
            and (options["since"] is None or row["wall_time"] >= options["since"])
            and (options["until"] is None or row["wall_time"] < options["until"])
            and (options["as_of"] is None or row["global_sequence"] <= options["as_of"])
        )

    assert sequences(LANES, **options) == [row["global_sequence"] for row in EVERYTHING if passes(row)]


def test_little_is_kept_of_each_of_many_segments(tmp_path: Path) -> None:
    view = view_of(tmp_path / "s", [event(number, kind=0x1001 + number % 3) for number in range(9)])
    assert Scan(view, kind=[0x1001, 0x2000]).count() == 3
    assert Scan(view, kind=category(2)).count() == Scan(view, kind=[]).count() == 0
    assert sum(getattr(kept, "nbytes", 0) for kept in view.cache.values()) < 100
