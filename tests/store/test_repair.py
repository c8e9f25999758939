"""What a crash leaves is made harmless on opening: nothing that was committed is lost, then or later."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.errors import StoreNeedsRepairError, WriteFailedError
from batpak_analytics.format.frame import encode_frame
from batpak_analytics.format.layout import KIND_BATCH_BEGIN
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.files import Files
from batpak_analytics.store.items import BatchItem
from batpak_analytics.store.store import Store
from batpak_analytics.store.unit import marker

KIND = 0x1001


def ids(path: Path) -> list[bytes]:
    found: list[bytes] = bp.scan_batpak(path, columns=["event_id"], system=True).to_arrow()["event_id"].to_pylist()
    return found


def crashed(path: Path) -> tuple[bytes, list[tuple[int, int, list[bytes]]]]:
    """The frames of a segment without footer, and (start, end, event ids) of each single event and each batch in it."""
    store = Store.open(path)
    parts = []
    for number in range(2):
        one = store.append("e", "s", KIND, {"n": number})
        parts.append((one.offset, one.offset + one.length, [one.event_id]))
        many = store.append_batch([BatchItem("f", "s", KIND, n) for n in range(3)])
        parts.append((one.offset + one.length, 0, [item.event_id for item in many]))
    store.drop()
    with bp.open_reader(path) as reader:
        end = reader.view.segments[0].frames_end
    edges = [*(start for start, _, _ in parts[1:]), end]
    whole = [(start, edge, found) for (start, _, found), edge in zip(parts, edges, strict=True)]
    return (path / "000001.fbat").read_bytes()[:end], whole


def test_segment_cut_at_any_byte_keeps_what_was_committed(tmp_path: Path) -> None:
    frames, parts = crashed(tmp_path / "made")
    opening = ids(tmp_path / "made")[0]
    for size in range(parts[0][0], len(frames) + 1, 3):
        path = tmp_path / str(size)
        path.mkdir()
        (path / "000001.fbat").write_bytes(frames[:size])
        wanted = [opening, *(one for _, end, found in parts if end <= size for one in found)]
        with Store.open(path) as store:
            added = store.append("e", "s", KIND, "after")
        assert ids(path)[: len(wanted)] == wanted, size
        assert added.event_id in ids(path)
        assert not [one for one in bp.open_reader(path).check() if one.rule not in ("image-unusable",)], size


@pytest.mark.parametrize("size", [0, 1, 30, 57, 60, 200])
def test_segment_of_which_only_the_beginning_was_written(tmp_path: Path, size: int) -> None:
    frames, _ = crashed(tmp_path / "made")
    path = tmp_path / "store"
    path.mkdir()
    (path / "000001.fbat").write_bytes(frames[:size])
    with Store.open(path) as store:
        store.append("e", "s", KIND, 1)
    assert len(ids(path)) == 3
    with Store.open(path):
        pass
    assert not [one for one in bp.open_reader(path).check() if one.severity != "info"]


def test_failed_batch_in_the_middle_swallows_no_later_event(tmp_path: Path) -> None:
    """A batch that failed behind its BEGIN, and the writer went on: 0.9.0 would drop what follows (trap T4)."""
    frames, parts = crashed(tmp_path / "made")
    start = parts[-1][0]
    begin = marker(KIND_BATCH_BEGIN, 77, 1_700_000_000_000_000, 9)
    path = tmp_path / "store"
    path.mkdir()
    (path / "000001.fbat").write_bytes(frames[:start] + begin + frames[start:])
    before = ids(path)
    with Store.open(path) as store:
        store.append("e", "s", KIND, 1)
    assert ids(path)[: len(before)] == before
    with bp.open_reader(path) as reader:
        assert reader.view.segments[0].footer_state == "trusted"


@pytest.mark.parametrize("crash", [True, False])
def test_events_are_not_born_hidden_after_cancelled_ones_were_lost(tmp_path: Path, crash: bool) -> None:
    """Trap T9: a power cut took the events of a cancelled fence, and left the ranges that hide their numbers."""
    store = Store.open(tmp_path)
    first = store.append("e", "s", KIND, 1)
    fence = store.begin_fence()
    lost = [fence.submit("e", "s", KIND, number, lane=number % 2) for number in range(5)]
    fence.cancel()
    store.drop()
    segment = tmp_path / "000001.fbat"
    segment.write_bytes(segment.read_bytes()[: lost[0].offset])
    with Store.open(tmp_path) as store:
        assert "visibility_ranges.fbv" in [one.file for one in store.open_report.repairs]
        added = [store.append("e", "s", KIND, number) for number in range(5)]
        store.sync()
        if crash:
            frames = (tmp_path / "000002.fbat").read_bytes()
    if crash:
        (tmp_path / "000002.fbat").write_bytes(frames)
    with Store.open(tmp_path) as store:
        assert store.open_report.repairs == ()
    assert {first.event_id, *(one.event_id for one in added)} <= set(ids(tmp_path))


def test_reader_of_the_torn_file_goes_on_reading_it(tmp_path: Path) -> None:
    frames, _ = crashed(tmp_path)
    (tmp_path / "000001.fbat").write_bytes(frames[:-20])
    with bp.open_reader(tmp_path) as reader:
        scan = reader.events(columns=["event_id", "payload"], system=True)
        before = scan.to_arrow()
        with Store.open(tmp_path) as store:
            store.append("e", "s", KIND, 1)
        reader.refresh()
        assert reader.events(columns=["event_id", "payload"], system=True).to_arrow().num_rows == before.num_rows + 3


def test_damage_is_not_repaired(tmp_path: Path) -> None:
    frames, parts = crashed(tmp_path)
    damaged = bytearray(frames)
    damaged[parts[1][0] + 30] ^= 1
    (tmp_path / "000001.fbat").write_bytes(damaged)
    with pytest.raises(StoreNeedsRepairError, match="000001"):
        Store.open(tmp_path)
    assert (tmp_path / "000001.fbat").read_bytes() == damaged


class Full(Files):
    """A disk on which the call with number `at` fails."""

    def __init__(self, at: int) -> None:
        self.left = at

    def _meet(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    def create(self, path: Path) -> int:
        self._meet()
        return super().create(path)

    def write(self, descriptor: int, data: memoryview) -> int:
        self._meet()
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._meet()
        super().sync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self._meet()
        super().rename(source, target)

    def sync_directory(self, path: Path) -> None:
        self._meet()
        super().sync_directory(path)


@pytest.mark.parametrize("at", range(1, 12))
def test_disk_that_fails_during_a_repair_costs_nothing(tmp_path: Path, at: int) -> None:
    frames, _ = crashed(tmp_path)
    (tmp_path / "000001.fbat").write_bytes(frames[:-20])
    before = ids(tmp_path)
    with pytest.raises(WriteFailedError, match="No space left"):
        Store.open(tmp_path, files=Full(at))
    assert ids(tmp_path)[: len(before)] == before
    with Store.open(tmp_path, config=StoreConfig(sync="always")) as store:
        store.append("e", "s", KIND, 1)
    assert ids(tmp_path)[: len(before)] == before


def test_frames_are_copied_as_they_are(tmp_path: Path) -> None:
    frames, parts = crashed(tmp_path)
    (tmp_path / "000001.fbat").write_bytes(frames + encode_frame(b"x" * 40)[:-1])
    Store.open(tmp_path).close()
    assert (tmp_path / "000001.fbat").read_bytes()[: len(frames)] == frames
    values: Any = bp.scan_batpak(tmp_path, payload="json").to_arrow()["payload"].to_pylist()
    assert values == ['{"n":0}', "0", "1", "2", '{"n":1}', "0", "1", "2"]
    assert len(parts) == 4
