"""Snapshots and forks: the reference opens those from here and continues them, and its own report says the same."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.evidence.fork import ForkBody, decode_wire, encode_wire, fork_evidence
from batpak_analytics.evidence.snapshot import SnapshotBody, SourceWatermark, snapshot_evidence
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.store import Store
from tests.interop.compare import assert_store_equals, read_store
from tests.interop.oracle import Oracle, OracleFailed, copy_store
from tests.interop.rows import Row
from tests.interop.test_store_with_reference import work

COMMITTED = Path(__file__).resolve().parents[1] / "fixtures"
NAMES = sorted(path.name for path in COMMITTED.iterdir() if path.is_dir())
SEALED = ("encrypted", "encrypted-event")
KINDS = ("snapshot", "fork")
SEEDS = int(os.environ.get("BATPAK_COPY_SEEDS", "15"))


def facts(store: Any) -> list[dict[str, Any]]:
    """Every event with all that is known of it, but for where its number was found."""
    rows = read_store(store)
    for row in rows:
        del row["sequence_source"]
    return rows


def copy_of(store: Any, kind: str, path: Path, keys: Any = "refuse") -> Path:
    """A copy by this engine."""
    report = getattr(store, kind)(path, keys=keys)
    assert report.path == path
    assert report.events == len(facts(path))
    return path


def without_extensions(rows: list[Row]) -> list[Row]:
    """The engine has them only where every segment has a footer, as in a copy; `assert_store_equals` compares them."""
    return [{key: value for key, value in row.items() if key != "extensions"} for row in rows]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_copy_by_a_reader_is_the_same_store_for_both(oracle: Oracle, tmp_path: Path, name: str, kind: str) -> None:
    """Also of stores whose numbers only an index image has, and which neither engine could number without it."""
    store = copy_store(COMMITTED / name, tmp_path / "store")
    with bp.open_reader(store) as reader:
        copy = copy_of(reader, kind, tmp_path / "copy", "exclude" if name in SEALED else "refuse")
        mine, theirs = facts(copy), facts(reader)
    assert not list(copy.glob("index.fbati")) and not list(copy.glob("keyset*"))
    if name in SEALED:  # the keys stay behind, so neither engine can tell what is shredded from what is sealed
        for row in (*mine, *theirs):
            row.pop("disposition")
    else:
        assert without_extensions(oracle.dump(copy)) == without_extensions(oracle.dump(store))
        assert_store_equals(copy, oracle.dump(copy))
    assert mine == theirs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", ["merge", "retention", "tombstone"])
def test_copy_of_a_compacted_store_keeps_its_numbers(oracle: Oracle, tmp_path: Path, strategy: str, kind: str) -> None:
    """The output of a compaction has no footer; without the index image the reference would count anew."""
    store = copy_store(COMMITTED / "segments", tmp_path / "store")
    oracle.append(store, seed=1, events=30, segment_bytes=9_000, fences=20)
    oracle.compact(store, strategy)
    oracle.append(store, seed=2, events=30, segment_bytes=9_000, end="drop")
    before = oracle.dump(store)
    with bp.open_reader(store) as reader:
        copy = copy_of(reader, kind, tmp_path / "copy")
    assert without_extensions(oracle.dump(copy)) == without_extensions(before)
    assert_store_equals(copy, oracle.dump(copy))


def test_copy_by_the_reference_renumbers_what_a_retention_left_and_one_from_here_does_not(
    oracle: Oracle, tmp_path: Path
) -> None:
    store = copy_store(COMMITTED / "segments", tmp_path / "store")
    oracle.append(store, seed=1, events=30, segment_bytes=9_000)
    oracle.compact(store, "retention")
    oracle.append(store, seed=2, events=30, segment_bytes=9_000)
    with bp.open_reader(store) as reader:
        reader.snapshot(tmp_path / "mine")
    before, mine = (
        {row["event_id"]: row["global_sequence"] for row in oracle.dump(path)} for path in (store, tmp_path / "mine")
    )
    oracle.snapshot(store, tmp_path / "theirs")
    theirs = {row["event_id"]: row["global_sequence"] for row in oracle.dump(tmp_path / "theirs")}
    assert mine == before
    assert before.keys() < theirs.keys()
    assert [event for event, number in before.items() if theirs[event] != number]


@pytest.mark.parametrize("kind", KINDS)
def test_copy_of_a_store_that_is_written_is_continued_by_both(oracle: Oracle, tmp_path: Path, kind: str) -> None:
    chance, path = random.Random(3), tmp_path / "store"
    with Store.open(path, config=StoreConfig(segment_max_bytes=5_000)) as store:
        work(store, chance, 40)
        with store.begin_fence() as fence:
            fence.submit("order:1", "shop", 0x1003, 1)
            fence.cancel()
        store.append("order:1", "shop", 0x1003, 2, idempotency_key=77)
        shown = facts(path)
        copy = copy_of(store, kind, tmp_path / "copy")
        work(store, chance, 40)
    assert facts(copy) == shown
    assert_store_equals(copy, oracle.dump(copy))
    oracle.append(copy, seed=5, events=30, segment_bytes=5_000)
    assert_store_equals(copy, oracle.dump(copy))
    with Store.open(copy) as other:
        assert other.append("order:1", "shop", 0x1003, 3, idempotency_key=77).replayed
    assert_store_equals(copy, oracle.dump(copy))
    assert_store_equals(path, oracle.dump(path))
    assert oracle.verify(copy)["content_hash_mismatches"] == []


@pytest.mark.parametrize("compacted", ["store", "fork"])
def test_linked_segments_survive_writing_and_compacting_on_either_side(
    oracle: Oracle, tmp_path: Path, compacted: str
) -> None:
    """Sealed files with two names are changed in place by neither engine."""
    store, fork = copy_store(COMMITTED / "segments", tmp_path / "store"), tmp_path / "fork"
    with Store.open(store, config=StoreConfig(segment_max_bytes=5_000)) as writer:
        report = writer.fork(fork, copy="hardlink")
    shared = [one.name for one in report.files if one.how == "hardlink"]
    assert len(shared) > 3
    assert all((store / name).stat().st_ino == (fork / name).stat().st_ino for name in shared)
    other = store if compacted == "fork" else fork
    kept = {name: (other / name).read_bytes() for name in shared}
    before = {row["event_id"] for row in oracle.dump(other)}
    oracle.append(tmp_path / compacted, seed=1, events=20, segment_bytes=5_000)
    oracle.compact(tmp_path / compacted, "retention")
    with Store.open(tmp_path / compacted) as writer:
        work(writer, random.Random(1), 20)
    assert {name: (other / name).read_bytes() for name in shared} == kept
    assert {row["event_id"] for row in oracle.dump(other)} == before
    with Store.open(other) as writer:
        work(writer, random.Random(2), 20)
    oracle.append(other, seed=2, events=20, segment_bytes=5_000)
    for path in (store, fork):
        assert_store_equals(path, oracle.dump(path))


def theirs_and_mine(oracle: Oracle, tmp_path: Path, kind: str, **options: Any) -> tuple[Any, Any]:
    """The report of the reference, and that of this engine, on the same store with the same destination."""
    first = copy_store(COMMITTED / "hidden", tmp_path / "one" / "store")
    second, dest = tmp_path / "two" / "store", tmp_path / "copy"
    shutil.copytree(first, second)
    (first / ".batpak.lock").touch()
    theirs = getattr(oracle, kind)(first, dest, **options)
    dest.rename(tmp_path / "theirs")
    copy = options.pop("copy", None)
    with Store.open(second) as store:
        mine = getattr(store, kind)(dest, **({"copy": copy} if copy else {}))
    return theirs, mine


def test_snapshot_report_is_that_of_the_reference(oracle: Oracle, tmp_path: Path) -> None:
    """But for the size of the open segment: what the two engines note on opening differs in length."""
    (tmp_path / "one").mkdir()
    theirs, mine = theirs_and_mine(oracle, tmp_path, "snapshot")
    body: SnapshotBody = mine.body
    mark = SourceWatermark(**theirs["body"]["source_watermark"])
    assert mark.segment_id == body.source_watermark.segment_id
    same = snapshot_evidence(replace(body, source_watermark=mark))
    assert same.body_hash == theirs["body_hash"]
    assert list(same.body.snapshot_id) == theirs["body"]["snapshot_id"]


@pytest.mark.parametrize("copy", ["reflink", "hardlink", "copy"])
def test_fork_report_and_its_wire_form_are_those_of_the_reference(oracle: Oracle, tmp_path: Path, copy: str) -> None:
    (tmp_path / "one").mkdir()
    theirs, mine = theirs_and_mine(oracle, tmp_path, "fork", copy=copy)
    body: ForkBody = mine.body
    mark = SourceWatermark(**theirs["body"]["source_watermark"])
    same = fork_evidence(replace(body, source_watermark=mark))
    assert same.body_hash == theirs["body_hash"]
    wire = bytes.fromhex(theirs["wire"])
    assert encode_wire(same.body) == wire
    assert decode_wire(wire) == same.body


def test_copies_by_the_reference_hold_the_same_events(oracle: Oracle, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    theirs_and_mine(oracle, tmp_path, "snapshot")
    mine, theirs = facts(tmp_path / "copy"), facts(tmp_path / "theirs")
    opened = "batpak:store"  # each engine's own event on opening
    assert [row for row in mine if row["entity"] != opened] == [row for row in theirs if row["entity"] != opened]


def test_sealed_store_is_refused_by_both_unless_keys_stay_behind(oracle: Oracle, tmp_path: Path) -> None:
    store = copy_store(COMMITTED / "encrypted", tmp_path / "store")
    with pytest.raises(OracleFailed, match="KeysetNotPortable"):
        oracle.snapshot(store, tmp_path / "copy")
    with bp.open_reader(store) as reader, pytest.raises(bp.CopyRefusedError, match="keys='exclude'"):
        reader.snapshot(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()
    with bp.open_reader(store) as reader:
        report = reader.snapshot(tmp_path / "mine", keys="exclude")
    theirs = oracle.snapshot(store, tmp_path / "copy", keys="exclude")
    assert "KeysExcluded" in theirs["body"]["findings"]
    assert "KeysExcluded" in [type(one).__name__ for one in report.body.findings]
    assert not list((tmp_path / "mine").glob("keyset*"))


@pytest.mark.parametrize("kind", KINDS)
def test_store_as_its_own_destination_is_refused_where_a_snapshot_of_the_reference_deletes_it(
    oracle: Oracle, tmp_path: Path, kind: str
) -> None:
    store = copy_store(COMMITTED / "segments", tmp_path / "store")
    before = facts(store)
    with bp.open_reader(store) as reader, pytest.raises(bp.CopyRefusedError, match="exists"):
        getattr(reader, kind)(store)
    assert facts(store) == before
    if kind == "fork":
        with pytest.raises(OracleFailed, match="resolves to the source"):
            oracle.fork(store, store)
    else:
        assert oracle.snapshot(store, store)["body"]["copied_segment_ids_sorted"] == []
    left = {row["event_id"] for row in read_store(store)} if list(store.glob("*.fbat")) else set()
    assert ({row["event_id"] for row in before} <= left) == (kind == "fork")


@pytest.mark.parametrize("seed", range(0, SEEDS, 5))
def test_copies_of_random_stores_read_as_the_stores_do(oracle: Oracle, tmp_path: Path, seed: int) -> None:
    """``BATPAK_COPY_SEEDS=500`` tries more. Only what may be hidden, and cannot be known, is not copied."""
    for store in oracle.write_many(range(seed, seed + 5), tmp_path):
        for kind in KINDS:
            with bp.open_reader(store.path) as reader:
                unsure = "hidden-ambiguous" in {one.rule for one in reader.view.findings}
                if unsure:
                    with pytest.raises(bp.CopyRefusedError, match="hidden-ambiguous"):
                        getattr(reader, kind)(tmp_path / "copy")
                    continue
                copy = copy_of(reader, kind, tmp_path / f"{kind}-{store.seed}", "exclude")
                mine, shown = facts(copy), facts(reader)
            sealed = any(row["disposition"] in ("encrypted", "shredded") for row in shown)
            rows = oracle.dump(copy)
            if sealed:
                for row in (*mine, *shown):
                    del row["disposition"]
            else:
                assert_store_equals(copy, rows)
            assert mine == shown
            assert [row["global_sequence"] for row in rows] == [row["global_sequence"] for row in shown]
