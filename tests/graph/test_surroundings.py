"""The neighbourhood of an event is what the definitions say, whatever the graph, and what is left out is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.graph import clocks, surroundings
from batpak_analytics.graph.picks import WAYS, Picks
from tests.arrow.scan_stores import event, store_of
from tests.graph import brute_force
from tests.graph.brute_force import Cause, Row
from tests.graph.stores import Made, stores
from tests.graph.test_views import slow, some_store
from tests.hostile import write_hostile


def all_causes(parents: Sequence[Cause], place: int) -> list[int]:
    return brute_force.path_up(parents, place)[0][1:]


def all_effects(parents: Sequence[Cause], place: int) -> set[int]:
    """Every other event that has it among its causes."""
    return {one for one in range(len(parents)) if one != place and place in all_causes(parents, one)}


def later_of_each_id(rows: list[Row]) -> dict[str, int]:
    return {row["event_id"]: place for place, row in enumerate(rows)}


@slow
@given(stores(), st.integers(0, 4), st.integers(0, 4), st.integers(1, 12))
def test_surroundings_are_the_nearest_causes_and_effects(made: Made, causes: int, effects: int, most: int) -> None:
    with some_store(made) as (reader, rows):
        parents, places = brute_force.causes_of(rows), later_of_each_id(rows)
        for name, place in places.items():
            found = reader.surroundings(name, causes=causes, effects=effects, max_events=most)
            above, below = all_causes(parents, place), all_effects(parents, place)
            shown = [one.global_sequence for one in found.events]
            assert len(set(shown)) == len(shown) <= most
            assert found.event.event_id.hex() == name and found.event.distance == 0
            before, after = found.events[: found.at], found.events[found.at + 1 :]
            nearest = [rows[one]["global_sequence"] for one in above]
            assert [one.global_sequence for one in before][::-1] == nearest[: len(before)]
            assert [one.distance for one in before] == list(range(-len(before), 0))
            assert found.more_causes == len(above) - len(before)
            assert found.more_effects == len(below - set(above)) - len(after)
            assert {one.global_sequence for one in after} <= {rows[one]["global_sequence"] for one in below}
            assert all(0 < one.distance <= effects for one in after)


@slow
@given(stores())
def test_every_event_shown_says_what_is_true_of_it(made: Made) -> None:
    with some_store(made) as (reader, rows):
        parents = brute_force.causes_of(rows)
        numbered = {row["global_sequence"]: place for place, row in enumerate(rows)}
        for row in rows:
            found = reader.surroundings(row["event_id"], causes=3, effects=2, max_events=8)
            sequences = [one.global_sequence for one in found.events]
            for one in found.events:
                place = numbered[one.global_sequence]
                cause, known = parents[place], rows[place]
                assert (one.kind, one.entity, one.scope) == (known["kind"], known["entity"], known["scope"])
                assert one.timestamp_us == known["timestamp_us"]
                if isinstance(cause, int):
                    drawn = None if one.cause is None else sequences[one.cause]
                    assert drawn in (rows[cause]["global_sequence"], None)
                    assert (drawn is None) == (rows[cause]["global_sequence"] not in sequences)
                    assert one.latency_ms == (known["timestamp_us"] - rows[cause]["timestamp_us"]) / 1000
                else:
                    assert one.cause is None and one.latency_ms is None
                effects = [rows[at]["global_sequence"] for at, parent in enumerate(parents) if parent == place]
                assert one.more_effects == len([effect for effect in effects if effect not in sequences])
            top = numbered[found.events[0].global_sequence]
            assert (found.missing is None) == (parents[top] != "dangling")
            assert found.ends == reader.ancestors(row["event_id"]).attrs["batpak"]["ends"]


@slow
@given(stores(), st.sampled_from(sorted(WAYS)))
def test_picks_are_all_events_of_their_way_in_its_order(made: Made, way: str) -> None:
    with some_store(made) as (reader, rows):
        parents = brute_force.causes_of(rows)
        led = [len(all_effects(parents, place)) for place in range(len(rows))]
        wanted: dict[str, Callable[[int], bool]] = {
            "latest": lambda place: True,
            "roots": lambda place: not isinstance(parents[place], int) and place in parents,
            "dangling": lambda place: parents[place] == "dangling",
            "most_effects": lambda place: led[place] > 0,
        }
        places = [place for place in range(len(rows)) if wanted[way](place)]
        places.sort(key=lambda place: (-led[place], place) if way == "most_effects" else -place)
        picks = Picks(reader.causal_nodes(), way)
        assert len(picks) == len(places)
        pages = [one for first in range(0, len(picks), 3) for one in picks.page(first, 3)]
        assert [one.global_sequence for one in pages] == [rows[place]["global_sequence"] for place in places]
        assert [one.effects for one in pages] == [led[place] for place in places]


def test_a_table_of_them_has_a_row_for_each_event(tmp_path: Path) -> None:
    reader = bp.open_reader(write_hostile(tmp_path / "store"))
    last = reader.query()[2].event_id
    found = reader.surroundings(last)
    frame = found.to_pandas()
    assert frame["distance"].tolist() == [-2, -1, 0] and frame["latency_ms"].tolist()[1:] == [1.0, 1.0]
    assert frame["event_id"].iloc[found.at] == last.hex()
    assert frame["cause"].isna().tolist() == [True, False, False]


def test_an_effect_of_another_on_the_cycle_is_counted_where_it_is_not_shown(tmp_path: Path) -> None:
    causes = {0: 1, 1: 0, 2: 1}  # 0 and 1 cause each other, and 1 caused 2 as well
    made = [event(number, {}, causation_id=event(cause).event_id) for number, cause in causes.items()]
    found = bp.open_reader(store_of(tmp_path / "store", made)).surroundings(event(0).event_id)
    assert [one.global_sequence for one in found.events] == [1, 0]
    assert (found.ends, found.more_causes, found.more_effects) == ("cycle", 0, 1)


def test_in_a_line_it_says_which_event_and_what_is_left_out(quickstart: Path) -> None:
    found = bp.open_reader(quickstart).surroundings("01a206129ef37ff99d1b972594a1b8ff", effects=0)
    told = "Surroundings(…94a1b8ff, 'monster:rat', kind=0xF002: 1 of 1 cause, 0 of 1 effect, ends='root')"
    assert repr(found) == told


def test_an_id_may_be_given_by_its_end(tmp_path: Path) -> None:
    reader = bp.open_reader(write_hostile(tmp_path / "store"))
    links = reader.causes().links
    assert links.find_ending("00000002") == 2 and links.find_ending("1") == 1
    with pytest.raises(ValueError, match="3 events have ids that end in"):
        links.find_ending("")
    with pytest.raises(bp.EventNotFoundError, match="ends in 9"):
        links.find_ending("9")


@pytest.mark.parametrize("wrong", [{"max_events": 0}, {"max_events": True}, {"causes": -1}, {"effects": 1.5}])
def test_wrong_bounds_are_refused(wrong: dict[str, Any], quickstart: Path) -> None:
    reader = bp.open_reader(quickstart)
    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))[:4]):
        reader.surroundings(reader.query()[0].event_id, **wrong)


def test_of_very_many_effects_only_those_shown_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = event(0)
    store = store_of(tmp_path / "store", [root, *(event(n, causation_id=root.event_id) for n in range(1, 500))])
    read: list[int] = []

    def spied(links: object, places: np.ndarray) -> clocks.Times:
        read.append(len(places))
        return clocks.timestamps(links, places)  # type: ignore[arg-type]

    monkeypatch.setattr(surroundings, "timestamps", spied)
    found = bp.open_reader(store).surroundings(root.event_id, max_events=10)
    assert len(found.events) == 10 and found.more_effects == 490 and read == [10]
