"""Two processes never both write one store; the loser hears of it at once, and readers are never in the way."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import batpak_analytics as bp

KIND = 0x1001
HOLD = """
import sys
import batpak_analytics as bp
try:
    store = bp.Store.open(sys.argv[1])
except bp.StoreLockedError as error:
    print("locked", error, flush=True)
    sys.exit()
store.append("e", "s", 0x1001, 1)
print("held", flush=True)
sys.stdin.readline()
store.close()
print("closed", flush=True)
"""
RACE = """
import sys
import batpak_analytics as bp
sys.stdin.readline()
for number in range(20):
    try:
        with bp.Store.open(sys.argv[1]) as store:
            print(store.append("e", "s", 0x1001, number).event_id.hex(), flush=True)
    except bp.StoreLockedError:
        pass
"""

FORK = """
import os, sys
import batpak_analytics as bp
store = bp.Store.open(sys.argv[1])
if os.fork() == 0:
    try:
        store.append("e", "s", 0x1001, 1)
    except bp.StoreClosedError as error:
        print("child", type(error).__name__, flush=True)
    store.close()
    os._exit(0)
os.wait()
try:
    bp.Store.open(sys.argv[1])
except bp.StoreLockedError as error:
    print("parent", type(error).__name__)
print(store.append("e", "s", 0x1001, 1).clock)
store.close()
"""


@contextmanager
def program(source: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another Python process."""
    command = [sys.executable, "-c", source, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    """What it says next."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    """Let it go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_second_process_is_refused_at_once_and_readers_are_not(tmp_path: Path) -> None:
    with program(HOLD, tmp_path) as first:
        assert line(first) == "held"
        with program(HOLD, tmp_path) as second:
            assert line(second).startswith(f"locked {tmp_path} is open in another batpak writer")
            assert second.wait() == 0
        with pytest.raises(bp.StoreLockedError):
            bp.Store.open(tmp_path)
        with bp.open_reader(tmp_path) as reader:
            assert reader.events().count() == 1
        go(first)
        assert line(first) == "closed"
    with bp.Store.open(tmp_path) as store:
        assert store.append("e", "s", KIND, 2).clock == 1


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with program(HOLD, tmp_path) as first:
        assert line(first) == "held"
        first.send_signal(signal.SIGKILL)
        first.wait()
        with bp.Store.open(tmp_path) as store:
            assert store.append("e", "s", KIND, 2).clock == 1


def test_processes_that_race_for_a_store_write_it_one_after_the_other(tmp_path: Path) -> None:
    with program(RACE, tmp_path) as one, program(RACE, tmp_path) as two, program(RACE, tmp_path) as three:
        racers = (one, two, three)
        for racer in racers:
            go(racer)
        written = [text for racer in racers for text in racer.communicate()[0].split()]
        assert [racer.returncode for racer in racers] == [0, 0, 0]
    table = bp.scan_batpak(tmp_path, columns=["event_id", "clock", "global_sequence"], system=True).to_arrow()
    assert table["global_sequence"].to_pylist() == list(range(3 * len(written)))
    found = bp.scan_batpak(tmp_path, columns=["event_id", "clock"]).to_arrow()
    assert {event.hex() for event in found["event_id"].to_pylist()} == set(written)
    assert found["clock"].to_pylist() == list(range(len(written)))
    assert not bp.open_reader(tmp_path).check()


def test_forked_child_neither_writes_nor_ends_the_store(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", FORK, str(tmp_path)], check=True, capture_output=True, text=True)
    assert ran.stdout.split() == ["child", "StoreClosedError", "parent", "StoreLockedError", "0"]
    assert bp.scan_batpak(tmp_path).count() == 1


def test_store_that_nobody_closed_keeps_nobody_out_and_says_so(tmp_path: Path) -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.warns(ResourceWarning, match="was not closed"):
        bp.Store.open(tmp_path).append("e", "s", KIND, 1)
        gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before  # fewer where others were let go of meanwhile
    with bp.Store.open(tmp_path) as store:
        assert store.stream("e")[0].position.clock == 0
