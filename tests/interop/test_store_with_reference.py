"""Stores that this engine and the reference write in turn: each reads and continues what the other left."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

import batpak_analytics as bp
from batpak_analytics.errors import StoreLockedError, StoreNeedsRepairError
from batpak_analytics.format.sidecars import idempotency
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.items import BatchItem, PriorItem
from batpak_analytics.store.store import Store
from tests.interop.compare import assert_store_equals
from tests.interop.oracle import Oracle, OracleFailed, copy_store

KIND = 0x1003
PAYLOADS = [None, True, -1, 2**63, 1.5, "é", [1, [2]], {"b": 1, "a": {"z": None}}, {"n": "x" * 300}]


def work(store: Store, chance: random.Random, events: int) -> list[bytes]:
    """Some appends and batches; the ids that were acknowledged."""
    kept: list[bytes] = []
    for _ in range(events):
        entity, lane = f"order:{chance.randrange(4)}", chance.choice([0, 0, 0, 2])
        if chance.random() < 0.3:
            items = [
                BatchItem(entity, "shop", KIND, chance.choice(PAYLOADS), causation_id=PriorItem(n - 1) if n else None)
                for n in range(chance.randrange(1, 5))
            ]
            kept += [one.event_id for one in store.append_batch(items)]
        else:
            cause = chance.choice([None, *kept[-3:]])
            extensions = chance.choice([{}, {"audit.user": b"\x00\xff"}])
            one = store.append(entity, "shop", KIND, chance.choice(PAYLOADS), lane=lane, causation_id=cause,
                               flags=chance.randrange(4), depth=chance.randrange(3), extensions=extensions)  # fmt: skip
            kept.append(one.event_id)
    return kept


def shown(path: Path) -> set[bytes]:
    return set(bp.scan_batpak(path, columns=["event_id"], system=True).to_arrow()["event_id"].to_pylist())


def assert_linked(path: Path) -> None:
    """Each event links to the one before it on its (entity, lane), and its clock follows."""
    table = bp.scan_batpak(
        path, system=True, payload=None, columns=["entity", "lane", "clock", "prev_hash", "event_hash"]
    )
    heads: dict[tuple[str, int], tuple[int, bytes]] = {}
    for row in table.to_arrow().to_pylist():
        clock, link = heads.get((row["entity"], row["lane"]), (-1, bytes(32)))
        assert (row["clock"], row["prev_hash"]) == (clock + 1, link), row
        heads[row["entity"], row["lane"]] = row["clock"], row["event_hash"]


@pytest.mark.parametrize("end", ["close", "drop"])
def test_reference_reads_and_continues_a_store_from_here(oracle: Oracle, tmp_path: Path, end: str) -> None:
    chance = random.Random(1)
    store = Store.open(tmp_path / "store", config=StoreConfig(segment_max_bytes=9_000))
    kept = work(store, chance, 60)
    getattr(store, end)()
    assert_store_equals(tmp_path / "store", oracle.dump(tmp_path / "store"))
    oracle.append(tmp_path / "store", seed=1, events=40, segment_bytes=9_000)
    assert_store_equals(tmp_path / "store", oracle.dump(tmp_path / "store"))
    assert set(kept) <= shown(tmp_path / "store")
    assert_linked(tmp_path / "store")


def table_of(chance: random.Random, rows: int) -> pa.Table:
    numbers = [chance.randrange(-9, 300) for _ in range(rows)]
    return pa.table(
        {
            "order": [f"order:{chance.randrange(4)}" for _ in range(rows)], "n": numbers,
            "single": pa.array(numbers, pa.float32()), "note": [chance.choice(["é", None, "x" * 40]) for _ in numbers],
            "at": pa.array(numbers, pa.timestamp("us")), "tags": [[{"k": n}, None][: n % 3] for n in numbers],
        }
    )  # fmt: skip


@pytest.mark.parametrize("batch_rows", [7, 5_000])
def test_reference_reads_and_continues_tables_from_here(oracle: Oracle, tmp_path: Path, batch_rows: int) -> None:
    """Batches beyond what the reference itself would write as well, behind a footer and without one."""
    chance, path = random.Random(batch_rows), tmp_path / "store"
    for number in range(3):
        with Store.open(path, config=StoreConfig(segment_max_bytes=60_000)) as store:
            kept = work(store, chance, 10)
            table = table_of(chance, 200 if batch_rows < 100 else 6_000)
            done = store.append_frame(table, entity="order", scope="shop", kind=KIND, causation_id=kept[0],
                                      batch_rows=batch_rows)  # fmt: skip
            work(store, chance, 10)
            as_after_a_kill = shutil.copytree(path, tmp_path / f"killed-{number}")
        assert_store_equals(as_after_a_kill, oracle.dump(as_after_a_kill))
        assert set(done.event_ids.to_pylist()) <= shown(as_after_a_kill)
        oracle.append(path, seed=number, events=20, segment_bytes=9_000, end="drop")
        assert_store_equals(path, oracle.dump(path))
    assert_linked(path)


@pytest.mark.parametrize("name", ["quickstart", "segments", "lanes", "hidden", "crash", "checkpoint", "merge"])
def test_store_of_the_reference_is_continued(oracle: Oracle, tmp_path: Path, name: str) -> None:
    path = copy_store(Path(__file__).resolve().parents[1] / "fixtures" / name, tmp_path / name)
    before = shown(path)
    with Store.open(path) as store:
        work(store, random.Random(name), 30)
    assert before <= shown(path)
    assert_store_equals(path, oracle.dump(path))


def test_cancelled_fences_of_both_engines_hide_the_same(oracle: Oracle, tmp_path: Path) -> None:
    path = copy_store(Path(__file__).resolve().parents[1] / "fixtures" / "hidden", tmp_path / "hidden")
    for number in range(3):
        with Store.open(path, config=StoreConfig(segment_max_bytes=3_000)) as store:
            work(store, random.Random(number), 5)
            for cancel in (True, False, True):
                fence = store.begin_fence()
                fence.submit("order:1", "shop", KIND, number, lane=3)
                fence.submit_batch([BatchItem(f"order:{n}", "shop", KIND, n, lane=n % 2) for n in range(3)])
                fence.cancel() if cancel else fence.commit()
            work(store, random.Random(number), 5)
        assert_store_equals(path, oracle.dump(path))
        oracle.append(path, seed=number, events=10, segment_bytes=9_000, end="drop")
        assert_store_equals(path, oracle.dump(path))


@pytest.mark.parametrize("name", ["quickstart", "segments", "hidden", "retention"])
def test_keys_of_the_reference_are_known(oracle: Oracle, tmp_path: Path, name: str) -> None:
    path = copy_store(Path(__file__).resolve().parents[1] / "fixtures" / name, tmp_path / name)
    oracle.append(path, seed=3, events=30, segment_bytes=9_000)
    entries = idempotency.decode((path / "index.idemp").read_bytes())
    with Store.open(path) as store:
        before = store.last_sequence
        for entry in entries:
            again = store.append("order:1", "shop", KIND, 1, idempotency_key=entry.key)
            assert (again.replayed, again.content_hash) == (True, entry.content_hash)
        assert store.last_sequence == before
    kept = {entry.key: entry for entry in idempotency.decode((path / "index.idemp").read_bytes())}
    assert {entry.key: entry for entry in entries}.items() <= kept.items()
    assert_store_equals(path, oracle.dump(path))


def test_segment_torn_at_any_place_is_repaired_for_both(oracle: Oracle, tmp_path: Path) -> None:
    made = tmp_path / "made"
    store = Store.open(made)
    work(store, random.Random(5), 6)
    store.drop()
    with bp.open_reader(made) as reader:
        segment = reader.view.segments[0]
        first, end = int(segment.rows["offset"][1]), segment.frames_end
    data = (made / "000001.fbat").read_bytes()
    for size in range(first, end, 211):
        path = tmp_path / str(size)
        path.mkdir()
        (path / "000001.fbat").write_bytes(data[:size])
        with Store.open(path) as store:
            store.append("order:1", "shop", KIND, "after")
        assert_store_equals(path, oracle.dump(path))


def test_reference_and_this_engine_exclude_each_other(oracle: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "store"
    with Store.open(path) as store:
        store.append("order:1", "shop", KIND, 1)
        with pytest.raises(OracleFailed, match=r"(?i)lock"):
            oracle.append(path, seed=1, events=1, segment_bytes=9_000)
    with oracle.live(path, seed=1, events=100_000, segment_bytes=100_000, pause_us=2000) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(StoreLockedError, match="Close that one first"):
            Store.open(path)
        assert bp.scan_batpak(path).count() > 0
    try:
        Store.open(path).close()
    except StoreNeedsRepairError as error:
        pytest.fail(str(error))
