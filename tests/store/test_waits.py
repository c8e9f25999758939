"""Marks say how far the store has come; a wait ends when its mark is there, or says why it will never be."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import batpak_analytics as bp
from batpak_analytics.store.files import Files
from batpak_analytics.store.store import Store

KIND = 0x1001
LONG = 60.0
"""Seconds that no test comes near, unless it fails."""


class Broken(Files):
    """Counts syncs, and fails them on demand."""

    def __init__(self) -> None:
        self.syncs = 0
        self.fails = False

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.fails:
            raise OSError(errno.EIO, "Input/output error")
        super().sync(descriptor)


def test_wait_for_durable_brings_the_events_to_disk(tmp_path: Path) -> None:
    """It would wait for ever otherwise: nothing else syncs a store that is quiet (trap T13)."""
    files = Broken()
    with Store.open(tmp_path, config=bp.StoreConfig(sync="batch"), files=files) as store:
        receipt = store.append("e", "s", KIND, 1)
        assert not receipt.durable
        assert store.watermarks() == bp.Watermarks(accepted=1, written=1, durable=0, visible=1)
        with pytest.raises(bp.WaitTimeoutError, match="durable up to 0, not 1") as caught:
            store.wait_for_durable(1, timeout=0)
        assert (caught.value.expected, caught.value.actual) == (1, 0)
        store.wait_for_durable(1)
        assert store.watermarks().durable == 1
        before = files.syncs
        store.wait_for_durable(1)
        store.wait_for_durable(0, timeout=0)
        assert files.syncs == before


def test_timeout_ends_the_wait_for_an_event_that_does_not_come(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        for wait in (store.wait_for_written, store.wait_for_visible, store.wait_for_durable):
            start = time.monotonic()
            with pytest.raises(TimeoutError):
                wait(1, timeout=0.02)
            assert time.monotonic() - start >= 0.02


def test_waits_end_when_other_threads_append(tmp_path: Path) -> None:
    with Store.open(tmp_path, config=bp.StoreConfig(sync="batch")) as store, ThreadPoolExecutor(12) as pool:
        waits = [
            pool.submit(wait, sequence, LONG)
            for wait in (store.wait_for_written, store.wait_for_visible, store.wait_for_durable)
            for sequence in (5, 10, 15)
        ]
        for number in range(5):
            store.append("e", "s", KIND, number)
            store.append_batch([bp.BatchItem("e", "s", KIND, number), bp.BatchItem("f", "s", KIND, number)])
        for wait in waits:
            wait.result(LONG)
        assert store.watermarks().durable == 15


def test_wait_for_visible_behind_a_fence_ends_with_its_commit(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store, ThreadPoolExecutor(2) as pool:
        fence = store.begin_fence()
        receipt = fence.submit("e", "s", KIND, 1)
        waiting = pool.submit(store.wait_for_visible, receipt.global_sequence, LONG)
        store.wait_for_written(receipt.global_sequence, timeout=0)
        store.wait_for_durable(receipt.global_sequence)
        with pytest.raises(bp.WaitTimeoutError):
            store.wait_for_visible(receipt.global_sequence, timeout=0.01)
        assert not waiting.done()
        fence.commit()
        waiting.result(LONG)


def test_cancelled_events_are_passed_by_the_next_visible_one(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        fence = store.begin_fence()
        gone = fence.submit("e", "s", KIND, 1)
        fence.cancel()
        with pytest.raises(bp.WaitTimeoutError):
            store.wait_for_visible(gone.global_sequence, timeout=0)
        store.append("e", "s", KIND, 2)
        store.wait_for_visible(gone.global_sequence, timeout=0)


@pytest.mark.parametrize("mark", ["written", "visible", "durable"])
def test_closing_ends_a_wait_that_is_in_vain_and_not_one_that_is_met(tmp_path: Path, mark: str) -> None:
    store = Store.open(tmp_path, config=bp.StoreConfig(sync="batch"))
    wait: Callable[..., None] = getattr(store, f"wait_for_{mark}")
    store.append("e", "s", KIND, 1)
    with ThreadPoolExecutor(1) as pool:
        vain = pool.submit(wait, 99, LONG)
        store.close()
        with pytest.raises(bp.StoreClosedError):
            vain.result(LONG)
    wait(1)
    wait(2)
    with pytest.raises(bp.StoreClosedError):
        wait(3, timeout=0)


def test_failed_sync_ends_every_wait(tmp_path: Path) -> None:
    """What was written and visible still is; what is on disk is not known any more (trap T22)."""
    files = Broken()
    store = Store.open(tmp_path, config=bp.StoreConfig(sync="batch"), files=files)
    store.append("e", "s", KIND, 1)
    with ThreadPoolExecutor(2) as pool:
        vain = [pool.submit(wait, 9, LONG) for wait in (store.wait_for_durable, store.wait_for_visible)]
        files.fails = True
        with pytest.raises(bp.WriteFailedError):
            store.wait_for_durable(1)
        for wait in vain:
            with pytest.raises(bp.StoreClosedError):
                wait.result(LONG)
    store.wait_for_written(1)
    store.wait_for_visible(1)
    with pytest.raises(bp.StoreClosedError):
        store.wait_for_durable(0)
    assert store.watermarks().durable == 0
    files.fails = False
    store.close()
    store.wait_for_visible(1)
    with pytest.raises(bp.StoreClosedError):
        store.wait_for_durable(1)


def test_one_sync_serves_all_threads_that_wait_for_it(tmp_path: Path) -> None:
    files = Broken()
    with Store.open(tmp_path, config=bp.StoreConfig(sync="batch"), files=files) as store:
        last = [store.append("e", "s", KIND, number) for number in range(20)][-1]
        before = files.syncs
        ready = threading.Barrier(8)

        def wait() -> None:
            ready.wait()
            store.wait_for_durable(last.global_sequence)

        with ThreadPoolExecutor(8) as pool:
            for one in [pool.submit(wait) for _ in range(8)]:
                one.result(LONG)
        assert files.syncs == before + 1
