"""A writer that is killed again and again, and a reader that looks all along: what was acknowledged stays visible."""

from __future__ import annotations

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import batpak_analytics as bp
from batpak_analytics.store.store import Store
from tests.interop.compare import assert_store_equals
from tests.interop.following import INDEX_ONLY, RECEIPT, Allowed
from tests.interop.oracle import Oracle, OracleFailed
from tests.interop.swallowed import swallowed_events, torn_at
from tests.interop.witness import follow, follower

KILLS = 12
MANY = 1_000_000


def run_and_kill(oracle: Oracle, store: Path, receipts: Path, seed: int) -> bool:
    """One life of a writer: it opens the store, writes, and is killed at a moment drawn from the seed.

    False when the engine refuses to open the store: it does after a kill in the middle of a footer, and in the second
    life after one in the middle of a frame.
    """
    moment = random.Random(seed)
    options: dict[str, int | str | Path] = {"events": MANY, "segment_bytes": 60_000, "seed": seed, "pause_us": 20}
    with oracle.live(store, receipts=receipts, **options) as process:
        assert process.stdout is not None
        for _ in range(moment.randrange(1, 12)):
            if not process.stdout.readline():
                return False
        threading.Event().wait(moment.random() / 100)
        process.kill()
    drop_half_a_receipt(receipts)
    return True


def drop_half_a_receipt(receipts: Path) -> None:
    """A writer killed while it noted a receipt leaves a part of one."""
    size = receipts.stat().st_size
    os.truncate(receipts, size - size % RECEIPT.itemsize)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_acknowledged_survives_every_kill_and_nothing_shown_goes_away(
    oracle: Oracle, tmp_path: Path, seed: int
) -> None:
    store, receipts = tmp_path / "store", tmp_path / "receipts"
    allowed = Allowed(unacknowledged=True)
    assert run_and_kill(oracle, store, receipts, 1_000 * seed)
    # The engine refuses a store once a segment stands behind a frame that a kill has cut; its events are shown.
    followers = [
        follower(store, receipts, "report", allowed=allowed),
        follower(store, receipts, "report", allowed=allowed, columns=INDEX_ONLY),
    ]
    with ThreadPoolExecutor(len(followers)) as threads:
        stop = threading.Event()
        running = [threads.submit(follow, one, stop) for one in followers]
        try:
            for life in range(1, KILLS):
                if not run_and_kill(oracle, store, receipts, 1_000 * seed + life):
                    break
        finally:
            stop.set()
        for future in running:
            future.result()
    # A kill between BEGIN and COMMIT costs the engine events that it has acknowledged, in every later session.
    swallowed = swallowed_events(store)
    torn = any(torn_at(path) is not None for path in store.glob("[0-9]*.fbat"))
    try:
        oracle.append(store, seed=1, events=10)
    except OracleFailed:
        # Behind a cut frame or footer the engine cannot go on, until the store was opened here.
        Store.open(store).close()
        swallowed, torn = frozenset(), False
        oracle.append(store, seed=1, events=10)
    for one in followers:
        one.step()
    with bp.open_reader(store, on_damage="report" if torn else "raise") as reader:
        assert_store_equals(reader, oracle.dump(store), swallowed)
