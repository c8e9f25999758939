"""A compaction from here and the reference: every state on the way, what it reads afterwards, and what it would do."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

import batpak_analytics as bp
from batpak_analytics.evidence.compaction import Performed, Skipped, compaction_evidence
from batpak_analytics.format.layout import MARKER_NAME
from batpak_analytics.format.segment import canonical_name
from batpak_analytics.format.sidecars import marker as marker_format
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.store import Store
from tests.interop.compare import assert_store_equals
from tests.interop.oracle import Oracle, OracleFailed, OracleRefused, copy_store
from tests.store.compactions import (
    FIXTURES,
    KIND,
    STRATEGIES,
    STRUCK,
    Shown,
    after,
    assert_settles,
    copy_of,
    keeps,
    plan_of,
    shown,
    written,
)
from tests.store.power import Power
from tests.store.test_half_compaction import Dying

KILLS = int(os.environ.get("BATPAK_KILLS", "100")) // 2
CUTS = int(os.environ.get("BATPAK_CUTS", "200")) // 4
KILLED = Path(__file__).resolve().parents[1] / "store" / "killed_compactor.py"


def seen(oracle: Oracle, path: Path) -> Shown:
    """What the reference reads."""
    return [(bytes.fromhex(row["event_id"]), row["global_sequence"], row["kind"]) for row in oracle.dump(path)]


def frozen(path: Path, copy: Path) -> Path:
    return Path(shutil.copytree(path, copy, symlinks=True))


WINDOWS = {"before, no marker", "before, marker", "after, marker, sources", "after, marker", "after, no marker"}
CASES = [
    *(("written", "merge"), ("written", "retention"), ("retention", "merge"), ("hidden", "tombstone")),
    ("crash", "retention"),
]


@pytest.mark.parametrize(("name", "strategy"), CASES)
def test_every_state_of_a_compaction_is_before_or_after_for_both(
    oracle: Oracle, tmp_path: Path, name: str, strategy: Any
) -> None:
    written(tmp_path / "store") if name == "written" else copy_of(name, tmp_path / "store")
    met: set[tuple[tuple[str, int], ...]] = set()
    windows: set[str] = set()
    for at in range(1, 200):
        path, files = tmp_path / f"run-{at}", Dying(1_000_000)
        shutil.copytree(tmp_path / "store", path)
        store = Store.open(path, files=files)
        before, plan = shown(path), plan_of(path, strategy)
        kept = after(before, plan, path)
        files.left = at
        try:
            store.compact(plan)
            break
        except Dying.Died:
            left = frozen(path, tmp_path / f"left-{at}")
        state = tuple(sorted((file.name, file.lstat().st_size) for file in left.iterdir()))
        if state in met:
            continue
        met.add(state)
        now = seen(oracle, left)
        assert now == shown(left) and now in (before, kept), (at, state)
        windows.add(_window(left, [source.name for source in plan.sources]))
        for end in ("close", "drop"):
            grown = frozen(left, tmp_path / f"grown-{at}-{end}")
            assert_reference_goes_on_and_this_engine_settles(oracle, grown, now, end)
    files.left = 1_000_000
    store.close()
    assert shown(path)[: len(kept)] == kept == seen(oracle, path)[: len(kept)]
    assert windows >= {
        "before, no marker",
        "before, marker",
        "after, marker, sources",
        "after, marker",
        "after, no marker",
    }


def _window(path: Path, sources: list[str]) -> str:
    """Where the compaction stopped, by what is in the directory."""
    left = [name for name in sources if (path / name).exists()]
    if not (path / MARKER_NAME).is_symlink():
        return "before, no marker" if len(left) == len(sources) else "after, no marker"
    merged = marker_format.decode((path / MARKER_NAME).read_bytes()).merged_id
    if not (path / canonical_name(merged)).exists():
        return "before, marker"
    return f"after, marker{', sources' if left else ''}"


def assert_reference_goes_on_and_this_engine_settles(oracle: Oracle, path: Path, now: Shown, end: str) -> None:
    """It appends; it does not compact, which would take the sources again; and then the store is opened here."""
    oracle.append(path, seed=1, events=5, segment_bytes=9_000, end=end)
    assert seen(oracle, path)[: len(now)] == now == shown(path)[: len(now)]
    if (path / MARKER_NAME).exists():
        with pytest.raises(OracleFailed, match="refusing to write compaction marker through symlink"):
            oracle.compact(path, "merge")
    assert seen(oracle, path)[: len(now)] == now
    assert_settles(path, shown(path))
    assert_store_equals(path, oracle.dump(path))
    assert oracle.compact(path, "merge")["outcome"] == "Performed"
    # It counts anew now, and leaves hidden ranges where they were (T-1): what is shown may differ, not what is there.
    with bp.open_reader(path) as reader:
        there = {one.tobytes()[::-1] for segment in reader.view.segments for one in segment.rows["event_id"]}
    assert there >= {event for event, _, _ in now}


def test_power_cut_leaves_before_or_after_for_the_reference_too(oracle: Oracle, tmp_path: Path) -> None:
    """It refuses zeros where a footer was being written, as after any power cut, until the store was opened here."""
    path = written(tmp_path / "store")
    chance, files = random.Random(3), Power(path)
    store = Store.open(path, config=StoreConfig(segment_max_bytes=3_000), files=files)
    before, plan = shown(path), plan_of(path, "retention")
    kept = after(before, plan, path)
    first = len(files.states) - 1
    store.compact(plan)
    last = len(files.states)
    store.close()
    refused = 0
    for number in range(CUTS):
        left = files.states[first + number % (last - first)].after_power_cut(chance, tmp_path / f"cut-{number}")
        now = shown(left)
        assert now in (before, kept)
        try:
            assert seen(oracle, left) == now
        except OracleRefused:
            refused += 1
            assert not (left / MARKER_NAME).exists()
        assert_settles(left, now)
        assert seen(oracle, left)[: len(now)] == now
    assert refused < CUTS / 5


def kill_a_compactor(path: Path, seed: int, compactions: int, seconds: float) -> list[list[str]]:
    """The lines that it printed whole, as words; it is killed so long after it began so many compactions."""
    log = path.with_suffix(f".{seed}")
    command = [sys.executable, str(KILLED), str(path), str(seed)]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out) as process:
        while log.read_bytes().count(b"dropping") < compactions and process.poll() is None:
            time.sleep(0.005)
        time.sleep(seconds)
        assert process.poll() is None, f"it ended by itself, seed {seed}"
        process.send_signal(signal.SIGKILL)
    return [line.split() for line in log.read_text().split("\n")[:-1]]


def test_killed_compactors_leave_exactly_the_events_that_were_kept(oracle: Oracle, tmp_path: Path) -> None:
    """Events are appended by one thread while another compacts; each line says what is sure from then on."""
    chance = random.Random(KILLS)
    sure: dict[str, bool] = {}
    path = tmp_path / "store"
    compacted = half_way = 0
    for seed in range(KILLS):
        if seed % 10 == 0:
            sure, path = {}, tmp_path / f"store-{seed}"
        going: list[str] = []
        for word, *ids in kill_a_compactor(path, seed, chance.randrange(1, 4), chance.random() * 0.3):
            if word == "appended":
                sure |= dict.fromkeys(ids, True)
            elif word == "dropping":
                going = ids
            elif word == "dropped":
                sure |= dict.fromkeys(going, False)
                going, compacted = [], compacted + 1
        half_way += bool(list(path.glob(".tmp-compacted-*"))) or (path / MARKER_NAME).is_symlink()
        rows = shown(path)
        there = {event.hex() for event, _, _ in rows}
        assert len(there) == len(rows)
        left = [event for event in going if event in there]
        assert len(left) in (0, len(going)), f"seed {seed}: {len(left)} of {len(going)} that a compaction was to drop"
        sure |= dict.fromkeys(going, bool(left))
        assert not [one for one, kept in sure.items() if kept and one not in there], f"seed {seed}: events are gone"
        assert not [one for one, kept in sure.items() if not kept and one in there], f"seed {seed}: events are back"
        assert rows == seen(oracle, path)
        if seed % 10 == 9 or seed == KILLS - 1:
            assert_settles(path, rows)
            assert_store_equals(path, oracle.dump(path))
    assert compacted > KILLS / 4 and half_way > KILLS / 20


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["segments", "lanes", "hidden", "payloads", "encrypted", "merge"])
def test_reference_reads_the_result_and_keeps_the_same_events_itself(
    oracle: Oracle, tmp_path: Path, name: str, strategy: Any
) -> None:
    ours, theirs = copy_store(FIXTURES / name, tmp_path / "ours"), copy_store(FIXTURES / name, tmp_path / "theirs")
    plain = StoreConfig(allow_plaintext=True)
    links = set(oracle.verify(ours)["dangling_links"])
    with Store.open(ours, config=plain) as store:
        plan = store.plan_compaction(strategy, *([] if strategy == "merge" else [keeps()]), tombstone_encrypted=True)
        report = store.compact(plan)
        assert report.outcome == "performed"
    assert_store_equals(ours, oracle.dump(ours))
    verified = oracle.verify(ours)
    assert verified["content_hash_mismatches"] == []
    found = plan.findings()
    struck = set(plan.events()["event_id"]) if strategy == "retention" else set()
    named = set(found[found["rule"] == "link-broken"]["event_id"])
    assert set(verified["dangling_links"]) == (links - struck) | named
    outcome = oracle.compact(theirs, strategy)["outcome"]
    if "unreadable payload" in outcome:  # it gives up at what is not JSON, even where the rule does not look at it
        assert name in ("lanes", "payloads", "hidden") and strategy != "merge"
        return
    assert outcome == "Performed"
    assert _user_events(seen(oracle, ours)) == _user_events(seen(oracle, theirs))


def _user_events(rows: Shown) -> list[tuple[bytes, int]]:
    return [(event, kind) for event, _, kind in rows if kind not in (8, 9)]


@pytest.mark.parametrize("seed", range(int(os.environ.get("BATPAK_SEEDS", "8"))))
def test_random_stores_are_compacted_as_planned_and_read_so_by_both(oracle: Oracle, tmp_path: Path, seed: int) -> None:
    """Sessions of both engines, ended in every way, compacted again and again by both."""
    path, chance = tmp_path / "store", random.Random(seed)
    for turn in range(4):
        end = chance.choice(["close", "drop", "crash"])
        oracle.append(path, seed=10 * seed + turn, events=25, segment_bytes=6_000, fences=10, end=end)
        with Store.open(path, config=StoreConfig(segment_max_bytes=4_000)) as store:
            store.append_batch([bp.BatchItem(f"order:{n}", "shop", KIND, n) for n in range(chance.randrange(1, 9))])
            before = shown(path)
            strategy: Any = chance.choice(STRATEGIES)
            plan = store.plan_compaction(strategy, *([] if strategy == "merge" else [keeps()]))
            expected = after(before, plan, path)
            store.compact(plan)
            assert shown(path) == expected
            if chance.random() < 0.5:
                store.append("order:1", "shop", KIND, "last")
        after_all = shown(path)
        assert after_all == seen(oracle, path)
        if chance.random() < 0.3:
            oracle.compact(path, "merge")
        assert_store_equals(path, oracle.dump(path))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_body_and_hash_are_those_of_the_reference(oracle: Oracle, tmp_path: Path, strategy: str) -> None:
    path = copy_of("segments", tmp_path / "store")
    theirs: dict[str, Any] = oracle.compact(path, strategy)
    body = theirs["body"]
    made = compaction_evidence(
        body["strategy_shape"], Performed(), min_segments=2, active_segment_id=body["active_segment_id"],
        source_ids=body["source_segment_ids_sorted"], merged_id=body["merged_segment_id"],
        output_hash=blake3((path / "000001.fbat").read_bytes()).digest(),
        segments_removed=body["segments_removed"], bytes_reclaimed=body["bytes_reclaimed"],
    )  # fmt: skip
    assert list(made.body.compaction_id) == body["compaction_id"]
    assert made.body_hash == theirs["body_hash"]


def test_report_of_the_same_compaction_has_the_id_that_the_reference_gives(oracle: Oracle, tmp_path: Path) -> None:
    """All but the hash of the output is the same, where the sources have the same sizes."""
    ours, theirs = copy_of("segments", tmp_path / "ours"), copy_of("segments", tmp_path / "theirs")
    with Store.open(ours) as store:
        report = store.compact(store.plan_compaction("retention", keeps()))
    assert list(report.evidence.body.compaction_id) == oracle.compact(theirs, "retention")["body"]["compaction_id"]
    few = copy_of("untouched", tmp_path / "few")
    with Store.open(few) as store:
        skipped = store.compact(store.plan_compaction())
    assert isinstance(skipped.evidence.body.outcome, Skipped)
    told = oracle.compact(copy_of("untouched", tmp_path / "few-too"), "merge")
    assert skipped.body_hash == told["body_hash"]


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("sessions", [1, 2])
def test_numbers_behind_a_dropped_end_are_the_same_for_both_after_a_crash(
    oracle: Oracle, tmp_path: Path, rotated: bool, sessions: int
) -> None:
    """The reference believes the footer of a segment that ends in a batch only where it has a row for the COMMIT."""
    path = tmp_path / "store"
    for _ in range(sessions - 1):
        with Store.open(path) as store:
            store.append("order:1", "shop", KIND, 1)
    store = Store.open(path, config=StoreConfig(segment_max_bytes=1_500))
    while store.last_sequence is None or store.last_sequence < 20:
        store.append_batch([bp.BatchItem(name, "shop", KIND, "x" * 100) for name in ("order:1", STRUCK)])
    plan = store.plan_compaction("retention", keeps())
    for _ in range(4 if rotated else 0):
        store.append_batch([bp.BatchItem("order:3", "shop", KIND, "y" * 400) for _ in range(3)])
    expected = after(shown(path), plan, path)
    store.compact(plan)
    store.append_batch([bp.BatchItem("order:3", "shop", KIND, n) for n in range(2)])
    crashed = Path(shutil.copytree(path, tmp_path / "crashed"))
    store.close()
    now = shown(crashed)
    assert now[: len(expected)] == expected and len(now) == len(expected) + 2
    assert now == seen(oracle, crashed)
    oracle.append(crashed, seed=1, events=5, end="crash")
    assert seen(oracle, crashed)[: len(now)] == now == shown(crashed)[: len(now)]
