"""Imports: both engines make the same events of the same source, and neither imports what the other has imported."""

from __future__ import annotations

import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.store import Store
from tests.interop.compare import assert_store_equals, read_store
from tests.interop.oracle import Oracle, OracleFailed, copy_store
from tests.interop.test_copies_with_reference import COMMITTED, NAMES, SEALED
from tests.interop.test_store_with_reference import work

OF_THE_EVENT = (
    "event_id", "correlation_id", "causation_id", "entity", "scope", "kind", "event_hash", "payload_raw", "extensions",
    "lane", "depth", "flags", "payload_version",
)  # fmt: skip
COUNTS = (
    "imported", "deduplicated", "skipped_reserved", "skipped_filtered", "skipped_reimported", "source_high_watermark",
)  # fmt: skip
AS_THE_REFERENCE: dict[str, Any] = {"causes": "clear", "versions": False}
OPEN = [name for name in NAMES if name not in SEALED]


def events(path: Path) -> list[dict[str, Any]]:
    """The events of applications, in order, without what an import makes anew."""
    rows = [row for row in read_store(path) if row["entity"] != "batpak:store"]
    return [{name: row[name] for name in OF_THE_EVENT} for row in rows]


def counts(report: bp.ImportReport) -> dict[str, Any]:
    """What the reference counts too."""
    assert report.skipped_encrypted == 0
    assert asdict(report.evidence.body).items() >= {name: getattr(report, name) for name in COUNTS[:-1]}.items()
    return {name: getattr(report, name) for name in COUNTS}


def imported(path: Path, source: Path, namespace: str = "src", **options: Any) -> bp.ImportReport:
    """An import by this engine."""
    with Store.open(path) as store:
        return store.import_events(source, namespace=namespace, **options)


@pytest.mark.parametrize("name", OPEN)
def test_both_make_the_same_events_of_a_source(oracle: Oracle, tmp_path: Path, name: str) -> None:
    """Ids, provenance bytes and payloads included; and hidden events are imported by neither."""
    source = copy_store(COMMITTED / name, tmp_path / "source")
    theirs = oracle.import_events(tmp_path / "theirs", source, "src")
    mine = imported(tmp_path / "mine", source, **AS_THE_REFERENCE)
    assert counts(mine) == theirs
    assert events(tmp_path / "mine") == events(tmp_path / "theirs")
    assert_store_equals(tmp_path / "mine", oracle.dump(tmp_path / "mine"))


@pytest.mark.parametrize("name", ["segments", "lanes"])
def test_neither_imports_what_the_other_has(oracle: Oracle, tmp_path: Path, name: str) -> None:
    source = copy_store(COMMITTED / name, tmp_path / "source")
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    count = imported(mine, source).imported
    assert count > 5
    again = oracle.import_events(mine, source, "src")
    assert (again["imported"], again["deduplicated"]) == (0, count)
    assert oracle.import_events(theirs, source, "src")["imported"] == count
    back = imported(theirs, source)
    assert (back.imported, back.deduplicated) == (0, count)
    assert imported(theirs, source, "another").imported == count
    for path in (mine, theirs):
        assert_store_equals(path, oracle.dump(path))


@pytest.mark.parametrize("options", [{"after": 20}, {"entity": "order:1"}, {"after": 7, "chunk": 3}, {"chunk": 1}])
def test_selections_are_those_of_the_reference(oracle: Oracle, tmp_path: Path, options: dict[str, Any]) -> None:
    source = copy_store(COMMITTED / "segments", tmp_path / "source")
    theirs = oracle.import_events(tmp_path / "theirs", source, "src", **options)
    entity, chunk = options.get("entity"), options.get("chunk", 256)
    region = None if entity is None else bp.Region(entity=entity)
    mine = imported(
        tmp_path / "mine", source, region=region, after=options.get("after"), chunk_size=chunk, **AS_THE_REFERENCE
    )
    assert counts(mine) == theirs
    assert events(tmp_path / "mine") == events(tmp_path / "theirs")


def test_store_that_is_imported_into_itself_ends_and_does_not_grow_again(oracle: Oracle, tmp_path: Path) -> None:
    mine = copy_store(COMMITTED / "segments", tmp_path / "mine")
    theirs = copy_store(COMMITTED / "segments", tmp_path / "theirs")
    for _ in range(3):
        with Store.open(mine) as store:
            report = counts(store.import_events(store, namespace="own", **AS_THE_REFERENCE))
        expected = oracle.import_events(theirs, theirs, "own")
        assert report == expected
        assert events(mine) == events(theirs)
    assert report["imported"] == 0 and report["skipped_reimported"] == report["deduplicated"] > 0


@pytest.mark.parametrize("seed", range(6))
def test_imports_of_random_stores_are_read_and_continued_by_both(oracle: Oracle, tmp_path: Path, seed: int) -> None:
    """With causes, lanes, versions and flags kept, in chunks of any size, into stores of either engine."""
    chance = random.Random(seed)
    (source,) = oracle.write_many(range(seed, seed + 1), tmp_path)
    path = tmp_path / "store"
    if seed % 2:
        oracle.append(path, seed=seed, events=20, segment_bytes=4_000)
    config = StoreConfig(segment_max_bytes=4_000)
    with bp.open_reader(source.path) as reader, Store.open(path, config=config) as store:
        work(store, chance, 10)
        report = store.import_events(
            reader, namespace="src", lanes=True, encrypted="skip", chunk_size=chance.choice([1, 7, 256])
        )
        shown = [entry for entry in reader.query() if not entry.kind.is_reserved]
        assert report.imported + report.skipped_encrypted + report.deduplicated == len(shown)
        work(store, chance, 10)
    assert_store_equals(path, oracle.dump(path))
    oracle.append(path, seed=seed, events=20, segment_bytes=4_000)
    with Store.open(path) as store:
        again = store.import_events(source.path, namespace="src", encrypted="skip")
        assert (again.imported, again.deduplicated) == (0, report.imported + report.deduplicated)
    assert_store_equals(path, oracle.dump(path))
    assert oracle.verify(path)["content_hash_mismatches"] == []


def test_sealed_events_are_refused_or_left_out_where_the_reference_copies_what_nobody_can_read(
    oracle: Oracle, tmp_path: Path
) -> None:
    source = copy_store(COMMITTED / "encrypted", tmp_path / "source")
    with Store.open(tmp_path / "mine") as store:
        before = store.last_sequence
        with pytest.raises(bp.PayloadEncryptedError, match="encrypted='skip'"):
            store.import_events(source, namespace="src")
        assert store.last_sequence == before
        report = store.import_events(source, namespace="src", encrypted="skip")
    assert report.skipped_encrypted > 0
    oracle.import_events(tmp_path / "theirs", source, "src")
    broken = [row for row in oracle.dump(tmp_path / "theirs") if "$error" in str(row["payload"])]
    assert broken and not [row for row in broken if row["encrypted"]]
    assert len(events(tmp_path / "theirs")) == report.imported + report.skipped_encrypted


def test_event_larger_than_a_batch_stops_the_reference_and_not_this_engine(oracle: Oracle, tmp_path: Path) -> None:
    source = tmp_path / "source"
    with Store.open(source) as store:
        for size in (10, 1_200_000, 700_000, 700_000, 10):
            store.append("order:1", "shop", 0x1001, "x" * size)
    with pytest.raises(OracleFailed, match="BatchFailed"):
        oracle.import_events(tmp_path / "theirs", source, "src")
    assert imported(tmp_path / "mine", source).imported == 5
    assert_store_equals(tmp_path / "mine", oracle.dump(tmp_path / "mine"))
