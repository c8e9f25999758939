"""A store that the engine goes on growing and compacting reads as the engine reads it after every step."""

from __future__ import annotations

from pathlib import Path

import pytest

import batpak_analytics as bp
from tests.interop.compare import assert_store_equals
from tests.interop.oracle import Oracle, copy_store

COMMITTED = Path(__file__).resolve().parents[1] / "fixtures"
STRATEGIES = ("merge", "retention", "tombstone")
TOMBSTONE_KIND = 0x0FFE


def grow(oracle: Oracle, store: Path, seed: int, end: str = "close", odd: int = 0) -> None:
    oracle.append(store, seed=seed, events=60, segment_bytes=9_000, end=end, odd=odd)


def compact(oracle: Oracle, store: Path, strategy: str) -> None:
    assert oracle.compact(store, strategy)["outcome"] == "Performed"


@pytest.mark.parametrize("name", ["segments", "lanes", "hidden", "crash", "checkpoint", "merge", "encrypted"])
def test_appending_to_a_committed_store(oracle: Oracle, tmp_path: Path, name: str) -> None:
    store = copy_store(COMMITTED / name, tmp_path / name)
    for seed, end in enumerate(("close", "crash", "drop", "close")):
        grow(oracle, store, seed, end, odd=10)
        assert_store_equals(store, oracle.dump(store))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["segments", "checkpoint", "encrypted-event", "tombstone"])
def test_compacting_a_committed_store(oracle: Oracle, tmp_path: Path, name: str, strategy: str) -> None:
    store = copy_store(COMMITTED / name, tmp_path / name)
    grow(oracle, store, seed=1)
    compact(oracle, store, strategy)
    assert_store_equals(store, oracle.dump(store))
    grow(oracle, store, seed=2)
    # The engine cannot read an encrypted event that it made a tombstone, so only a merge works on every store.
    compact(oracle, store, "merge")
    assert_store_equals(store, oracle.dump(store))


def test_open_reader_follows_appends_and_compactions(oracle: Oracle, tmp_path: Path) -> None:
    store = copy_store(COMMITTED / "quickstart", tmp_path / "store")
    with bp.open_reader(store) as reader:
        for seed, strategy in enumerate(STRATEGIES):
            grow(oracle, store, seed)
            assert_store_equals(reader.refresh(), oracle.dump(store))
            compact(oracle, store, strategy)
            assert_store_equals(reader.refresh(), oracle.dump(store))


def test_view_from_before_a_compaction_still_reads(oracle: Oracle, tmp_path: Path) -> None:
    store = copy_store(COMMITTED / "quickstart", tmp_path / "store")
    grow(oracle, store, seed=1)
    grow(oracle, store, seed=2)
    before = oracle.dump(store)
    with bp.open_reader(store) as reader:
        compact(oracle, store, "retention")
        assert_store_equals(reader, before)
        assert_store_equals(reader.refresh(), oracle.dump(store))


def test_tombstones_keep_their_payload_and_change_their_kind(oracle: Oracle, tmp_path: Path) -> None:
    store = copy_store(COMMITTED / "quickstart", tmp_path / "store")
    grow(oracle, store, seed=3)
    grow(oracle, store, seed=4)
    before = bp.scan_batpak(store, entity="order:2", payload="binary").to_arrow()
    compact(oracle, store, "tombstone")
    after = bp.scan_batpak(store, entity="order:2", payload="binary").to_arrow()
    assert after.column("payload") == before.column("payload")
    assert TOMBSTONE_KIND in after.column("kind").to_pylist()
