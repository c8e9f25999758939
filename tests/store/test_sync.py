"""The syncs of a store as the system carries them out; other tests do not wait for them (`quick_sync`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.store.files import Files
from tests.conftest import REAL_SYNC

KIND = 0x1001


@pytest.mark.usefixtures("real_sync")
def test_the_system_takes_every_sync_of_a_store(tmp_path: Path) -> None:
    """Of files open for writing, of files and directories opened for it: some systems refuse one or the other."""
    path, config = tmp_path / "deep" / "store", bp.StoreConfig(segment_max_bytes=2_000)
    with bp.Store.open(path, config=config) as store:
        for number in range(20):
            store.append("order:1", "shop", KIND, {"n": number}, idempotency_key=number + 1)
        with store.begin_fence() as fence:
            fence.submit("order:2", "shop", KIND, None)
        store.begin_fence().cancel()
        store.append_batch([bp.BatchItem("order:3", "shop", KIND, number) for number in range(20)])
        assert store.compact(store.plan_compaction()).outcome == "performed"
        store.snapshot(tmp_path / "copy")
        store.sync()
    for each in (path, tmp_path / "copy"):
        assert len(bp.read_batpak(each)) == 41


def test_a_sync_of_a_closed_file_is_refused_with_and_without_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise tests that do not wait for the disk would miss a sync that comes too late."""
    files, syncs = Files(), [os.fsync, REAL_SYNC]
    assert syncs[0] is not syncs[1]
    descriptor = files.create(tmp_path / "file")
    for sync in syncs:
        monkeypatch.setattr(os, "fsync", sync)
        files.sync(descriptor)
    files.close(descriptor)
    for sync in syncs:
        monkeypatch.setattr(os, "fsync", sync)
        with pytest.raises(OSError):
            files.sync(descriptor)


def test_threads_meet_the_waiting_that_they_meet_in_an_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    asked: list[int] = []

    def real(descriptor: int) -> Any:
        asked.append(descriptor)

    monkeypatch.setattr("tests.conftest.REAL_SYNC", real)
    with bp.Store.open(tmp_path) as store:
        store.sync()
        assert not asked
        with ThreadPoolExecutor(1) as pool:
            pool.submit(store.append, "order:1", "shop", KIND, None).result()
            pool.submit(store.sync).result()
        assert asked
