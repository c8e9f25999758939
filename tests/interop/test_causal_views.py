"""The causal views of stores that the reference compacted or wrote are those of the rows that it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

import batpak_analytics as bp
from tests.graph.test_views import assert_views
from tests.graph.test_written_stores import NOBODY, History
from tests.interop.oracle import Oracle


@pytest.mark.parametrize("strategy", ["merge", "retention", "tombstone"])
def test_views_of_a_compacted_store_are_those_of_what_is_left(strategy: str, oracle: Oracle, tmp_path: Path) -> None:
    for seed in range(3):
        store = tmp_path / f"store-{seed}"
        history = History(seed)
        history.fence = history.batch  # type: ignore[method-assign]  # a compaction moves what is hidden
        history.write(store)
        oracle.compact(store, strategy, strike="order:2")
        rows = oracle.dump(store)
        with bp.open_reader(store) as reader:
            assert_views(reader, rows)
            if strategy == "retention":
                dangling = reader.causal_nodes(columns=["dangling"]).to_pandas()["dangling"].sum()
                assert dangling > sum(row["causation_id"] == NOBODY.hex() for row in rows)


def test_views_of_random_stores_of_the_reference_are_those_of_its_rows(oracle: Oracle, tmp_path: Path) -> None:
    written = [one for one in oracle.write_many(range(30), tmp_path / "many") if one.refusal is None]
    compared = 0
    for one in written:
        rows = one.rows()
        with bp.open_reader(one.path) as reader:
            ids = [name.hex() for name in reader.events(columns=["event_id"], system=True).to_arrow()[0].to_pylist()]
            sequences = reader.events(columns=["global_sequence"], system=True).to_arrow()[0].to_pylist()
            if [(row["event_id"], row["global_sequence"]) for row in rows] != list(zip(ids, sequences, strict=True)):
                continue  # where the reference loses or misnumbers events, tests/interop/divergence.py says why
            assert_views(reader, rows)
            compared += 1
    assert compared > 20
