"""Events behind a fence are kept together or taken back together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.errors import FenceActiveError, FenceEndedError
from batpak_analytics.format.sidecars import visibility
from batpak_analytics.store.files import Files
from batpak_analytics.store.items import BatchItem
from batpak_analytics.store.store import Store

KIND = 0x1001


def numbers(path: Path) -> list[int]:
    found: list[int] = bp.scan_batpak(path, columns=["payload"], payload="columns").to_arrow().column(0).to_pylist()
    return found


def test_committed_events_stay_and_cancelled_ones_go(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.append("e", "s", KIND, 1)
        with store.begin_fence() as fence:
            assert fence.submit("e", "s", KIND, 2).clock == 1
        with pytest.raises(KeyError), store.begin_fence() as fence:
            fence.submit("e", "s", KIND, 3, lane=4)
            fence.submit_batch([BatchItem("e", "s", KIND, 4), BatchItem("f", "s", KIND, 5)])
            raise KeyError
        with store.begin_fence() as fence:
            fence.submit("e", "s", KIND, 7)
            fence.cancel()
        store.append("e", "s", KIND, 6)
    assert numbers(tmp_path) == [1, 2, 6]
    found = visibility.decode((tmp_path / "visibility_ranges.fbv").read_bytes())
    assert (found.ranges, dict(found.lane_ranges)) == (((3, 7),), {0: ((4, 7),), 4: ((3, 4),)})


def test_cancelled_events_stay_in_clocks_and_links(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        fence = store.begin_fence()
        taken_back = fence.submit("e", "s", KIND, 1, idempotency_key=7)
        fence.cancel()
        assert store.append("e", "s", KIND, 2).clock == 1
        assert store.append("e", "s", KIND, 1, idempotency_key=7).global_sequence == taken_back.global_sequence
    row: Any = bp.scan_batpak(tmp_path, columns=["prev_hash"]).to_arrow().column(0).to_pylist()
    assert row == [taken_back.content_hash]


def test_open_fence_takes_no_other_append(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        fence = store.begin_fence()
        for refused in (
            lambda: store.append("e", "s", KIND, 1),
            lambda: store.append_batch([BatchItem("e", "s", KIND, 1)]),
            store.begin_fence,
        ):
            with pytest.raises(FenceActiveError):
                refused()
        fence.commit()
        store.append("e", "s", KIND, 1)
        for ended in (fence.commit, fence.cancel, lambda: fence.submit("e", "s", KIND, 1)):
            with pytest.raises(FenceEndedError):
                ended()
    assert numbers(tmp_path) == [1]


@pytest.mark.parametrize("end", ["close", "drop"])
def test_closing_cancels_the_fence(tmp_path: Path, end: str) -> None:
    store = Store.open(tmp_path)
    store.append("e", "s", KIND, 1)
    store.begin_fence().submit("e", "s", KIND, 2)
    getattr(store, end)()
    assert numbers(tmp_path) == [1]
    with Store.open(tmp_path) as store:
        assert store.append("e", "s", KIND, 3).clock == 2
    assert numbers(tmp_path) == [1, 3]


class Order(Files):
    """Notes what reaches the disk, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def sync(self, descriptor: int) -> None:
        self.told.append("sync")
        super().sync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self.told.append(target.name)
        super().rename(source, target)


def test_events_are_on_disk_before_they_are_hidden(tmp_path: Path) -> None:
    files = Order()
    with Store.open(tmp_path, files=files) as store:
        fence = store.begin_fence()
        receipt = fence.submit("e", "s", KIND, 1)
        files.told.clear()
        fence.cancel()
        assert files.told == ["sync", "sync", "visibility_ranges.fbv"]  # the events, the ranges, their name
        assert store.durable_sequence == receipt.global_sequence
