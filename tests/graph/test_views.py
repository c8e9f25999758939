"""The views of the causal graph say what the definitions say: on real stores, and on random graphs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from tests.graph import brute_force
from tests.graph.brute_force import Row, plain
from tests.graph.stores import ENTITIES, KINDS, SCOPES, Made, stores
from tests.interop.rows import read_rows

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
NAMES = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())
TABLES: dict[str, Callable[[Sequence[Row], Sequence[int]], list[Row]]] = {
    "causes": brute_force.causes,
    "causal_nodes": brute_force.nodes,
    "correlations": brute_force.correlations,
}


def assert_views(reader: Any, rows: list[Row], chosen: Sequence[int] | None = None, **filters: Any) -> None:
    """All three tables, with rows for the events at the chosen places."""
    places = range(len(rows)) if chosen is None else chosen
    for name, expected in TABLES.items():
        table = getattr(reader, name)(**filters)
        found = plain(table.to_arrow())
        assert found == [{column: row[column] for column in table.columns} for row in expected(rows, places)], name
        assert table.count() == len(found)


@pytest.mark.parametrize("name", NAMES)
def test_views_of_every_fixture_are_those_of_its_rows(name: str) -> None:
    reader = bp.open_reader(FIXTURES / name)
    rows = read_rows(FIXTURES / f"{name}.jsonl")
    assert_views(reader, rows)
    users = [place for place, row in enumerate(rows) if row["entity"] != "batpak:store"]
    assert_views(reader, rows, users, system=False)
    for row in brute_force.correlations(rows, range(len(rows))):
        found = reader.critical_path(row["correlation_id"])
        assert found["event_id"].tolist() == brute_force.critical_path(rows, row["correlation_id"])


@contextmanager
def some_store(made: Made) -> Iterator[tuple[Any, list[Row]]]:
    with tempfile.TemporaryDirectory() as directory, bp.open_reader(made.write(Path(directory) / "store")) as reader:
        yield reader, made.rows()


slow = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@slow
@given(stores())
def test_views_of_random_graphs_are_what_the_definitions_say(made: Made) -> None:
    with some_store(made) as (reader, rows):
        seen = reader.events(columns=["global_sequence"], system=True).to_arrow()["global_sequence"].to_pylist()
        assert seen == [row["global_sequence"] for row in rows]
        assert_views(reader, rows)


@slow
@given(stores(), st.sampled_from(ENTITIES), st.sampled_from(SCOPES), st.sampled_from(KINDS), st.integers(0, 12))
def test_filters_choose_rows_and_change_no_graph(made: Made, entity: str, scope: str, kind: int, n: int) -> None:
    with some_store(made) as (reader, rows):
        filters: list[tuple[dict[str, Any], Callable[[Row], bool]]] = [
            ({"entity": entity}, lambda row: row["entity"] == entity),
            ({"scope": scope, "kind": kind}, lambda row: row["scope"] == scope and row["kind"] == kind),
            ({"lane": 1}, lambda row: row["lane"] == 1),
            ({"filters": [("global_sequence", ">", n)]}, lambda row: row["global_sequence"] > n),
            ({"filters": [("payload.n", "<", n)]}, lambda row: row["n"] < n),
            (
                {"filters": [("payload.n", "<", n)], "entity": entity},
                lambda row: row["n"] < n and row["entity"] == entity,
            ),
        ]
        for options, passes in filters:
            chosen = [place for place, row in enumerate(rows) if passes(row)]
            if rows or "payload.n" not in str(options):
                assert_views(reader, rows, chosen, **options)


@slow
@given(stores(), st.integers(0, 12))
def test_as_of_moves_the_whole_graph_back(made: Made, last: int) -> None:
    with some_store(made) as (reader, rows):
        assert_views(reader, [row for row in rows if row["global_sequence"] <= last], as_of=last)
        assert_views(reader, rows)  # and leaves what is kept for the view alone


@slow
@given(stores(), st.data())
def test_walks_of_random_graphs_are_what_the_definitions_say(made: Made, data: st.DataObject) -> None:
    with some_store(made) as (reader, rows):
        if not rows:
            return
        row = data.draw(st.sampled_from(rows))
        event_id = row["event_id"]
        above = brute_force.ancestors(rows, event_id)
        found = reader.ancestors(event_id)
        assert found["event_id"].tolist() == above
        assert found["distance"].tolist() == list(range(len(above), 0, -1))
        below = brute_force.descendants(rows, event_id)
        found = reader.descendants(event_id)
        assert list(zip(found["distance"], found["event_id"], strict=True)) == below
        few = data.draw(st.integers(0, 4))
        assert reader.ancestors(event_id, few)["event_id"].tolist() == (above[-few:] if few else [])
        assert reader.descendants(event_id, max_depth=few)["event_id"].tolist() == [x for d, x in below if d <= few]
        path = reader.critical_path(row["correlation_id"])
        assert path["event_id"].tolist() == brute_force.critical_path(rows, row["correlation_id"])
        correlation = brute_force.correlation(rows, row["correlation_id"])
        assert path["elapsed_ms"].iloc[-1] == correlation["critical_path_ms"]
        other = data.draw(st.sampled_from(rows))["event_id"]
        common = reader.common_causes(event_id, other)
        both = [one for one in above if one in brute_force.ancestors(rows, other)]
        assert common["event_id"].tolist() == both
