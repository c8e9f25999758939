"""The reference is killed at every step of a compaction; opening the store here brings back all events, for both."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import batpak_analytics as bp
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.store import Store
from tests.interop.compare import assert_store_equals
from tests.interop.oracle import Oracle, OracleRefused, copy_store
from tests.store.half_compactions import MARKER, Compaction, steps
from tests.store.test_half_compaction import Dying

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
KIND = 0x1003
Shown = list[tuple[bytes, int]]


def compact_and_die(oracle: Oracle, preload: Path, path: Path, strategy: str, at: int) -> bool:
    """Compact, and die before the call number `at` that changes a file; False when the compaction took fewer."""
    environment = {**os.environ, "LD_PRELOAD": str(preload), "BATPAK_KILL_AT": str(at)}
    command = [str(oracle.binary), "compact", str(path), "--strategy", strategy]
    ran = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    assert ran.returncode in (0, -signal.SIGKILL), ran.stderr
    return ran.returncode != 0


def calls_of(oracle: Oracle, preload: Path, store: Path, strategy: str) -> int:
    """How many calls a whole compaction and the closing after it take."""
    low, high = 1, 4096
    while low < high:
        middle = (low + high) // 2
        with copy_of(store) as copy:
            died = compact_and_die(oracle, preload, copy, strategy, middle)
        low, high = (middle + 1, high) if died else (low, middle)
    return low - 1


@contextmanager
def copy_of(store: Path) -> Iterator[Path]:
    """A copy that is removed at the end."""
    copy = copy_store(store, store.with_name(f"{store.name}-copy"))
    try:
        yield copy
    finally:
        shutil.rmtree(copy)


def shown(path: Path) -> Shown:
    """(id, sequence) of every event, in order."""
    table = bp.scan_batpak(path, columns=["event_id", "global_sequence"], system=True).to_arrow()
    return [(row["event_id"], row["global_sequence"]) for row in table.to_pylist()]


def assert_both_go_on(oracle: Oracle, path: Path) -> None:
    """Opening here settles what was left; then both engines read the same, write on, and compact."""
    before = shown(path)
    with Store.open(path) as store:
        store.append("order:1", "shop", KIND, 1)
    assert shown(path)[: len(before)] == before
    assert_store_equals(path, oracle.dump(path))
    oracle.append(path, seed=1, events=5, segment_bytes=9_000)
    assert_store_equals(path, oracle.dump(path))
    assert shown(path)[: len(before)] == before
    oracle.compact(path, "merge")
    assert_store_equals(path, oracle.dump(path))
    assert [event for event, _ in shown(path)[: len(before)]] == [event for event, _ in before]


@pytest.mark.parametrize("strategy", ["merge", "retention", "tombstone"])
def test_every_step_of_a_killed_compaction_is_settled_for_both(
    oracle: Oracle, preload: Path, tmp_path: Path, strategy: str
) -> None:
    made = tmp_path / "made"
    with Store.open(made, config=StoreConfig(segment_max_bytes=2_000)) as store:
        for number in range(12):
            store.append(f"order:{number % 3}", "shop", KIND, {"n": number})
            store.append_batch([bp.BatchItem(f"order:{n}", "shop", KIND, {"n": n}) for n in range(2)])
    oracle.append(made, seed=7, events=12, segment_bytes=4_000)
    calls = calls_of(oracle, preload, made, strategy)
    windows = set()
    for at in sorted({*range(1, 8), calls // 3, calls // 2, *range(calls - 40, calls + 1)}):
        if at < 1:
            continue
        path = copy_store(made, tmp_path / str(at))
        assert compact_and_die(oracle, preload, path, strategy, at)
        moved = (path / "000001.fbat.compact-src").exists()
        windows.add(((path / MARKER).exists(), moved, (path / "000001.fbat").exists(), (path / "000002.fbat").exists()))
        assert_both_go_on(oracle, path)
    assert windows >= {
        (True, False, True, True),  # nothing moved, or only the moved-aside source deleted
        (True, True, False, True),  # moved
        (True, True, True, True),  # being written
        (True, False, True, False),  # sources being deleted
        (False, False, True, False),  # done
    }


@pytest.mark.parametrize("name", ["segments", "hidden", "merge"])
def test_every_window_of_a_compaction_is_settled_for_both(oracle: Oracle, tmp_path: Path, name: str) -> None:
    path = copy_store(FIXTURES / name, tmp_path / "store")
    for number, step in enumerate(steps(Compaction(path, "merge"))):
        if step[:6] not in ("000004", "000005", "000006", "000007", "000008", "000009", "000010"):
            assert_both_go_on(oracle, copy_store(path, tmp_path / str(number)))


def test_reference_never_sees_an_unknown_event_in_the_middle_of_a_repair(oracle: Oracle, tmp_path: Path) -> None:
    """It sees all events, or those that it sees in a window of its own compaction, or it refuses."""
    made = copy_store(FIXTURES / "lanes", tmp_path / "store")
    everything = {event.hex() for event, _ in shown(made)}
    for number, step in enumerate(steps(Compaction(made, "merge"))):
        if step == "done":
            break
        for at in range(1, 40):
            path = copy_store(made, tmp_path / f"{number}-{at}")
            least = seen(oracle, path)
            try:
                Store.open(path, files=Dying(at)).close()
            except Dying.Died:
                now = seen(oracle, path)
                first = {event.hex() for event, _ in first_segment(path)}
                assert now is None or any(now & everything >= whole for whole in (least, first) if whole), (step, at)
            else:
                break


def seen(oracle: Oracle, path: Path) -> set[str] | None:
    """The ids that the reference reads; None where it refuses."""
    try:
        return {row["event_id"] for row in oracle.dump(path)}
    except OracleRefused:
        return None


def first_segment(path: Path) -> Shown:
    """The events of the compaction's first source: what the reference shows when nothing was moved."""
    with bp.open_reader(path) as reader:
        segment = reader.view.segments[0]
        return [(one.tobytes()[::-1], 0) for one in segment.rows["event_id"]]
