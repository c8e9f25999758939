"""`kill -9` at every call of a snapshot, a fork and an import: either engine then reads what was before, or all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import batpak_analytics as bp
from tests.interop.compare import assert_store_equals
from tests.interop.oracle import Oracle
from tests.store.copy_cases import COPIES, KIND, written
from tests.store.test_copies_crash import assert_prefix_of_chunks, users

SCRIPT = Path(__file__).resolve().parents[1] / "store" / "killed_copies.py"
OWN = "batpak:store"


def killed(case: str, origin: Path, directory: Path) -> list[Path]:
    """A directory for each call, as the death there left it."""
    command = [sys.executable, str(SCRIPT), case, str(origin), str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    calls = int(done.stdout)
    assert calls > 20
    return [directory / str(at) for at in range(1, calls + 1)]


def theirs(oracle: Oracle, path: Path) -> list[tuple[bytes, int]]:
    """The events of applications that the reference reads."""
    rows = [row for row in oracle.dump(path) if row["entity"] != OWN]
    return [(bytes.fromhex(row["event_id"]), row["global_sequence"]) for row in rows]


@pytest.mark.parametrize("name", COPIES)
def test_copy_that_was_killed_is_whole_or_absent_for_both(oracle: Oracle, tmp_path: Path, name: str) -> None:
    before = users(written(tmp_path / "origin" / "store"))
    there = 0
    for left in killed(name, tmp_path / "origin", tmp_path / "killed"):
        assert theirs(oracle, left / "store") == users(left / "store") == before, left
        if (left / "copy").exists():
            there += 1
            assert theirs(oracle, left / "copy") == users(left / "copy") == before, left
            assert_store_equals(left / "copy", oracle.dump(left / "copy"))
        partial = left / "copy.batpak-partial"
        assert {path.name for path in left.iterdir()} <= {"store", "copy", partial.name}
        if partial.exists():
            with bp.open_reader(left / "store") as reader, pytest.raises(bp.CopyRefusedError, match="rm -r"):
                reader.snapshot(left / "copy")
            shutil.rmtree(partial)
        with bp.Store.open(left / "store") as store:
            store.fork(left / "again")
        assert theirs(oracle, left / "again") == theirs(oracle, left / "store") == before
    assert there


def test_import_that_was_killed_has_whole_chunks_and_is_finished_by_either(oracle: Oracle, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    written(origin / "store")
    with bp.Store.open(origin / "copy") as store:
        store.append("order:1", "shop", KIND, "mine")
    shutil.copytree(origin, tmp_path / "calm")
    with bp.Store.open(tmp_path / "calm" / "copy") as store:
        store.import_events(origin / "store", namespace="src")
    whole = [event for event, _ in users(tmp_path / "calm" / "copy")]
    for number, left in enumerate(killed("import", origin, tmp_path / "killed")):
        path = left / "copy"
        assert theirs(oracle, path) == users(path), left
        kept = assert_prefix_of_chunks(path, whole) - 1
        if number % 2:
            report = oracle.import_events(path, left / "store", "src")
            assert (report["deduplicated"], report["imported"]) == (kept, len(whole) - 1 - kept)
        else:
            with bp.Store.open(path) as store:
                store.import_events(left / "store", namespace="src")
        assert [event for event, _ in users(path)] == whole
        assert_store_equals(path, oracle.dump(path))
