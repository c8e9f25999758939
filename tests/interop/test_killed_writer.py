"""`kill -9` of a writing process, again and again: what it acknowledged is there, in both engines.

``BATPAK_KILLS=500`` kills more often.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import batpak_analytics as bp
from tests.interop.compare import assert_store_equals
from tests.interop.oracle import Oracle

KILLS = int(os.environ.get("BATPAK_KILLS", "100"))
WRITER = Path(__file__).resolve().parents[1] / "store" / "killed_writer.py"
ROUNDS_OF_A_STORE = 10


def kill_a_writer(path: Path, seed: int, seconds: float) -> list[str]:
    """The event id of every receipt that was printed as a whole line."""
    log = path.with_suffix(f".{seed}")
    with (
        log.open("wb") as out,
        subprocess.Popen([sys.executable, str(WRITER), str(path), str(seed)], stdout=out) as process,
    ):
        while log.stat().st_size == 0 and process.poll() is None:
            time.sleep(0.005)
        time.sleep(seconds)
        assert process.poll() is None, f"the writer ended by itself, seed {seed}"
        process.send_signal(signal.SIGKILL)
    return log.read_text().split("\n")[:-1]


def test_killed_writers_lose_nothing_and_leave_nothing_half_written(oracle: Oracle, tmp_path: Path) -> None:
    chance = random.Random(KILLS)
    acknowledged: list[str] = []
    path = tmp_path / "store"
    for seed in range(KILLS):
        if seed % ROUNDS_OF_A_STORE == 0:
            acknowledged, path = [], tmp_path / f"store-{seed}"
        acknowledged += kill_a_writer(path, seed, chance.random() * 0.05)
        table = bp.scan_batpak(path, columns=["event_id", "payload.run", "payload.number", "payload.of"]).to_arrow()
        rows = table.to_pylist()
        events = {row["event_id"].hex() for row in rows}
        assert len(events) == len(rows)
        missing = [event for event in acknowledged if event not in events]
        assert not missing, f"seed {seed}: {len(missing)} acknowledged events are gone"
        together = Counter((row["payload.run"], row["payload.number"], row["payload.of"]) for row in rows)
        halves = [key for key, count in together.items() if count != key[2]]
        assert not halves, f"seed {seed}: batches that are there in part: {halves}"
        if seed % ROUNDS_OF_A_STORE == ROUNDS_OF_A_STORE - 1 or seed == KILLS - 1:
            bp.Store.open(path).close()
            assert_store_equals(path, oracle.dump(path))
            oracle.append(path, seed=seed, events=20, segment_bytes=9_000)
            assert_store_equals(path, oracle.dump(path))
