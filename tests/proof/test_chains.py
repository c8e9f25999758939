"""Chains against a brute-force computation, on every fixture and on random stores with everything that is rare."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.arrow.schema import LABEL
from batpak_analytics.proof.chains import CHAINS_SCHEMA, SUMMARY_SCHEMA, Chains, ChainSummary
from batpak_analytics.proof.links import LINK_NAMES
from batpak_analytics.proof.segments import SEGMENTS_SCHEMA, Segments
from tests.conftest import FIXTURES
from tests.engine.building import Segment
from tests.interop.rows import read_rows
from tests.proof.brute import brute_links, every_row
from tests.proof.histories import random_events, random_history

STORES = sorted(path for path in FIXTURES.iterdir() if path.is_dir())
COMPARED = ("entity", "lane", "clock", "global_sequence", "event_id", "event_hash", "prev_hash", "link", "parent_id")


def as_text(table: pa.Table) -> list[dict[str, Any]]:
    return [
        {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()}
        for row in table.to_pylist()
    ]


def compare(store: Path) -> Counter[str]:
    """Hold `chains()` and `chain_summary()` against the plain computation; how often each link occurs."""
    expected = brute_links(every_row(store))
    with bp.open_reader(store) as reader:
        found = as_text(reader.chains(check_payloads=True).to_arrow())
        order = {row["event_id"]: at for at, row in enumerate(found)}
        expected.sort(key=lambda row: (row["global_sequence"], order[row["event_id"]]))
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert {name: one[name] for name in COMPARED} == {name: other[name] for name in COMPARED}
            assert one["payload_ok"] == other["payload_ok"]
        compare_summary(reader, expected)
    return Counter(row["link"] for row in expected)


def compare_summary(reader: bp.Reader, expected: list[dict[str, Any]]) -> None:
    groups = defaultdict(list)
    for row in expected:
        groups[row["entity"], row["lane"]].append(row)
    table = reader.chain_summary().to_arrow()
    found = table.drop_columns(["first_time", "last_time"]).to_pylist()  # of Python's years there may be too few
    assert {(row["entity"], row["lane"]) for row in found} == set(groups) and len(found) == len(groups)
    for row in found:
        mine = groups[row["entity"], row["lane"]]
        counts = Counter(one["link"] for one in mine)
        assert {name: row[name] for name in LINK_NAMES} == {name: counts[name] for name in LINK_NAMES}
        clocks = [one["clock"] for one in mine]
        assert (row["length"], row["first_clock"], row["last_clock"]) == (len(mine), min(clocks), max(clocks))
        bad, gone = counts["mismatch"] + counts["forked"], counts["parent_missing"] + counts["ambiguous"]
        assert row["verdict"] == ("broken" if bad else "gaps" if gone else "whole")


@pytest.mark.parametrize("store", STORES, ids=lambda path: path.name)
def test_every_link_of_a_real_store_is_what_plain_python_finds(store: Path) -> None:
    compare(store)


@pytest.mark.parametrize("store", STORES, ids=lambda path: path.name)
def test_the_rows_are_those_that_the_reference_shows(store: Path) -> None:
    rows = read_rows(store.with_suffix(".jsonl"))
    with bp.open_reader(store) as reader:
        found = as_text(reader.chains().to_arrow())
    names = ("entity", "lane", "clock", "event_id", "event_hash", "prev_hash")
    assert [{n: row[n] for n in names} for row in found] == [{n: row[n] for n in names} for row in rows]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 32))
def test_every_link_of_a_random_history_is_what_plain_python_finds(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    compare(random_history(Random(seed), tmp_path_factory.mktemp("history")))


def test_random_histories_hold_every_kind_of_link(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(30):
        seen += compare(random_history(Random(seed), tmp_path / str(seed)))
    assert set(seen) == set(LINK_NAMES), f"never seen: {set(LINK_NAMES) - set(seen)}"


def test_filters_choose_rows_and_change_no_link() -> None:
    with bp.open_reader(FIXTURES / "lanes") as reader:
        whole = {row["event_id"]: row for row in as_text(reader.chains().to_arrow())}
        for filters in (
            {"lane": 0},
            {"entity": "order"},
            {"filters": [("clock", ">", 1)]},
            {"limit": 7},
            {"system": False},
        ):
            chosen = [
                row["event_id"]
                for row in reader.events(columns=["event_id"], **{"system": True, **filters}).to_arrow().to_pylist()
            ]
            found = as_text(reader.chains(**filters).to_arrow())
            assert [row["event_id"] for row in found] == [one.hex() for one in chosen]
            assert all(row == whole[row["event_id"]] for row in found)
            assert reader.chains(**filters).count() == len(found)


def test_two_files_of_one_number_are_told_apart(tmp_path: Path) -> None:
    """While a compaction is cut short, or after somebody copied a file; offsets alone would mix them up."""
    events = random_events(Random(5), 40)
    Segment(1, events[:20]).write(tmp_path)
    Segment(1, events[20:], first_sequence=20).write(tmp_path, "1.fbat")
    Segment(2, events[5:9], first_sequence=40).write(tmp_path)  # a second copy of some
    assert len({segment.segment_id for segment in bp.open_reader(tmp_path).view.segments}) == 2
    compare(tmp_path)


def test_payloads_are_checked_only_on_request() -> None:
    with bp.open_reader(FIXTURES / "segments") as reader:
        assert reader.chains().to_arrow()["payload_ok"].null_count == reader.chains().count()
        assert set(reader.chains(check_payloads=True).to_arrow()["payload_ok"].to_pylist()) == {True}


def test_options_that_a_chain_has_not_are_refused() -> None:
    with bp.open_reader(FIXTURES / "segments") as reader, pytest.raises(TypeError, match="columns"):
        reader.chains(columns=["entity"])


@pytest.mark.parametrize(
    ("table", "schema"),
    [(Chains, CHAINS_SCHEMA), (ChainSummary, SUMMARY_SCHEMA), (Segments, SEGMENTS_SCHEMA)],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_columns_and_types_are_those_in_the_docstring(table: Any, schema: pa.Schema) -> None:
    lines = [line.strip() for line in (table.__doc__ or "").splitlines()]
    rules = [at for at, line in enumerate(lines) if line.startswith("===")]
    listed = [tuple(re.split(" {2,}", line)[:2]) for line in lines[rules[1] + 1 : rules[2]]]
    labels = {LABEL: "dictionary<int32,string>"}
    assert listed == [(field.name, labels.get(field.type, str(field.type))) for field in schema]


def test_frames_have_the_dtypes_that_events_have() -> None:
    frame = bp.read_chains(FIXTURES / "segments")
    events = bp.read_batpak(FIXTURES / "segments", columns="all", payload=None, system=True)
    for name in ("entity", "lane", "clock", "global_sequence", "event_id", "event_hash", "prev_hash"):
        assert frame[name].dtype == events[name].dtype or str(frame[name].dtype) == "category"
    assert frame["parent_id"].dropna().str.len().eq(32).all()
    assert str(frame["link"].dtype) == "category"


def test_segments_add_up() -> None:
    for store in STORES:
        table = bp.open_reader(store).segments().to_arrow().to_pylist()
        rows = read_rows(store.with_suffix(".jsonl"))
        assert sum(row["events"] for row in table) == len(rows)
        assert sum(row["stored_bytes"] for row in table) == sum(row["length"] for row in rows)
        for row in table:
            assert row["bytes"] == (store / row["file"]).stat().st_size
            assert row["dead_bytes"] >= row["hidden_bytes"] and row["payload_bytes"] <= row["stored_bytes"]
    hidden = bp.read_segments(FIXTURES / "hidden")
    assert hidden["hidden_bytes"].sum() > 0 and hidden["dead_bytes"].equals(hidden["hidden_bytes"])
