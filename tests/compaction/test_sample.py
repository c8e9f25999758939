"""Estimates from kept columns: they say what reading the events says, and read the sample once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

import batpak_analytics as bp
from batpak_analytics.compaction import sample
from batpak_analytics.compaction.payloads import judged_by_filter
from batpak_analytics.compaction.rows import EventRows
from batpak_analytics.compaction.sample import judged_by_sample
from tests.compaction.stores import ENTITIES, write_random
from tests.conftest import FIXTURES

FILTERS: list[Any] = [
    [("payload.n", ">", 1)],
    [("payload.n", ">", 1), ("entity", "=", ENTITIES[0])],
    [[("payload.n", "<", 2), ("kind", "=", 0x1001)], [("entity", "!=", ENTITIES[1])]],
    [[("payload.n", "=", 2)], [("payload.n", "=", 0)]],
    [("disposition", "=", "present"), ("lane", "=", 0)],
    [("kind", "in", [0x1001, 0x2001])],
    pc.field("payload.n") > 1,
    (pc.field("payload.n") > 1) | (pc.field("kind") == 0x1002),
]


def payload_filters(reader: bp.Reader) -> list[Any]:
    """A filter on each payload field of a store, and on the index besides."""
    fields = [name for name in reader.events().schema.names if name.startswith("payload.")]
    nulls = [[(name, "!=", None)] for name in fields]
    return [*nulls, *([*one, ("kind", ">", 0x1001)] for one in nulls), *([one, [("clock", ">", 1)]] for one in nulls)]


def same(rows: EventRows, asked: Any, filters: Any) -> None:
    passed, unknown = judged_by_sample(rows, asked, filters)
    wanted, why = judged_by_filter(rows, asked, filters)
    assert passed.tolist() == wanted.tolist()
    assert unknown.keys() == why.keys()
    assert all(unknown[name].tolist() == why[name].tolist() for name in why)


def samples(rows: EventRows) -> list[Any]:
    dice = np.random.default_rng(7)
    return [np.ones(rows.count, bool), *(dice.random(rows.count) < share for share in (0.8, 0.3))]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kept_columns_say_what_reading_the_events_says(seed: int, tmp_path: Path) -> None:
    rows = EventRows.of(bp.open_reader(write_random(tmp_path / "s", seed)).view)
    for asked in samples(rows):
        for filters in FILTERS:
            same(rows, asked, filters)


@pytest.mark.parametrize("name", ["hidden", "retention", "lanes", "crash", "segments"])
def test_stores_of_the_reference_are_judged_the_same(name: str) -> None:
    reader = bp.open_reader(FIXTURES / name)
    rows, filters = EventRows.of(reader.view), payload_filters(reader)
    assert filters
    for asked in samples(rows):
        for one in filters:
            same(rows, asked, one)


def test_what_is_sealed_is_unknown_in_the_columns_too(tmp_path: Path) -> None:
    path = shutil.copytree(FIXTURES / "encrypted", tmp_path / "s")
    with bp.Store.open(path, config=bp.StoreConfig(allow_plaintext=True)) as store:
        store.append("order:1", "shop", 0x1001, {"n": 1})
    rows = EventRows.of(bp.open_reader(path).view)
    asked = np.ones(rows.count, bool)
    for filters in ([("payload.n", "=", 1)], [("payload.n", "=", 1), ("entity", "=", "order:1")]):
        same(rows, asked, filters)
    assert judged_by_sample(rows, asked, [("payload.n", "=", 1)])[1]["encrypted"].any()


def test_the_payloads_of_a_sample_are_read_once_for_a_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = bp.open_reader(write_random(tmp_path / "s", 4, steps=100))
    first = reader.plan_compaction("retention", [("payload.n", ">", 1)], sample=0.5).numbers
    for module in ("payloads", "sample"):
        monkeypatch.delattr(f"batpak_analytics.compaction.{module}.Scan")
    again = reader.plan_compaction("retention", [("payload.n", ">", 1)], sample=0.5).numbers
    assert again == first
    other = reader.plan_compaction("retention", [("payload.n", ">", 2)], sample=0.5).numbers
    assert other.events_kept < first.events_kept
    with pytest.raises(NameError, match="Scan"):
        reader.plan_compaction("retention", [("payload.n", ">", 2)], sample=0.4)


def test_a_sample_too_large_to_keep_is_read_for_each_filter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_random(tmp_path / "s", 4)
    kept = bp.open_reader(path).plan_compaction("retention", [("payload.n", ">", 1)], sample=0.5).numbers
    monkeypatch.setattr(sample, "MOST_BYTES", 0)
    reader = bp.open_reader(path)
    assert reader.plan_compaction("retention", [("payload.n", ">", 1)], sample=0.5).numbers == kept
    assert sample.KEY not in reader.view.cache


def test_a_field_that_no_event_of_the_store_has_is_an_error(tmp_path: Path) -> None:
    reader = bp.open_reader(write_random(tmp_path / "s", 4))
    with pytest.raises(bp.UnknownColumnError, match="nowhere"):
        reader.plan_compaction("retention", [("payload.nowhere", ">", 1)], sample=0.5)


def test_a_field_that_only_others_have_passes_none_of_the_sample(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with bp.Store.open(path) as store:
        for number in range(20):
            store.append("order:1", "shop", 0x1001, {"rare": 1} if number == 11 else {"n": number})
    rows = EventRows.of(bp.open_reader(path).view)
    asked = np.ones(rows.count, bool)
    same(rows, asked, [("payload.rare", "=", 1)])
    (at,) = np.flatnonzero(judged_by_sample(rows, asked, [("payload.rare", "=", 1)])[0])
    asked[at] = False
    same(rows, asked, [("payload.rare", "=", 1)])
