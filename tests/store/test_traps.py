"""Traps of the reference's write side that no other test is about (engine-write, part C)."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.model import HashChain, Position
from tests.engine.building import Segment, make_event

KIND = 0x1001
LAST_CLOCK = (1 << 32) - 1


def rows(path: Path, *columns: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = bp.scan_batpak(path, columns=list(columns), system=True).to_arrow().to_pylist()
    return found


@pytest.mark.parametrize("batch", [False, True])
def test_last_clock_of_a_lane_is_used_and_none_follows(tmp_path: Path, batch: bool) -> None:
    """Trap T50: in a batch the reference refuses the last clock."""
    one = make_event(1, entity="e")
    position = Position(one.position.wall_ms, clock=LAST_CLOCK - 1)
    Segment(1, [replace(one, position=position, hash_chain=HashChain(bytes(32), one.content_hash))]).write(tmp_path)
    with bp.Store.open(tmp_path) as store:
        item = bp.BatchItem("e", "s", KIND, 1)
        added = store.append_batch([item])[0] if batch else store.append("e", "s", KIND, 1)
        assert added.clock == LAST_CLOCK
        with pytest.raises(bp.AppendRefusedError, match="every clock"):
            store.append_batch([item]) if batch else store.append("e", "s", KIND, 1)
        assert store.append("e", "s", KIND, 1, lane=1).clock == 0
    assert not bp.open_reader(tmp_path).check()


def test_coordinates_of_the_engine_and_kinds_named_system_are_allowed(tmp_path: Path) -> None:
    """Traps T51 and T52: the same as in the reference, and harmless."""
    for round_ in range(2):
        with bp.Store.open(tmp_path) as store:
            store.append("batpak:store", "batpak:lifecycle", KIND, round_)
            store.append("_batch", "_system", KIND, round_)
            store.append_batch([bp.BatchItem("_batch", "_system", 0xFA01, round_)])
    assert [row["kind"] for row in rows(tmp_path, "kind")] == 2 * [0x0008, KIND, KIND, 0xFA01, 0x0009]
    assert not bp.open_reader(tmp_path).check()


def test_times_follow_the_order_of_the_store(tmp_path: Path) -> None:
    """Trap T39: the reference reads the clock before an append takes its place in the order."""
    readings = iter(range(10_000_000, 0, -7))
    with bp.Store.open(tmp_path, config=bp.StoreConfig(clock=lambda: next(readings))) as store:
        store.append("e", "s", KIND, 0)
    with bp.Store.open(tmp_path) as store:

        def work(name: str) -> None:
            for number in range(40):
                store.append(name, "s", KIND, number)

        threads = [threading.Thread(target=work, args=(f"e:{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    times = [row["timestamp"] for row in rows(tmp_path, "timestamp", "kind") if row["kind"] == KIND]
    assert times == sorted(times)


def test_repetitions_and_refusals_do_not_count_towards_the_cadence(tmp_path: Path) -> None:
    """Trap T16."""
    with bp.Store.open(tmp_path, config=bp.StoreConfig(sync=2)) as store:
        store.append("e", "s", KIND, 0, idempotency_key=1)
        for _ in range(3):
            assert not store.append("e", "s", KIND, 0, idempotency_key=1).durable
            with pytest.raises(bp.ClockMismatchError):
                store.append("e", "s", KIND, 0, expected_clock=7)
        assert store.append("e", "s", KIND, 1).durable


def test_receipt_of_a_repetition_names_the_place_of_today(tmp_path: Path) -> None:
    """Trap T31: the reference gives the place before a compaction, and refuses its own receipt for it."""
    with bp.Store.open(tmp_path, config=bp.StoreConfig(segment_max_bytes=1)) as store:
        first = store.append("e", "s", KIND, 0, idempotency_key=1)
        store.append("e", "s", KIND, 1)
    with bp.open_reader(tmp_path) as reader:
        frames = b"".join(bytes(one.window(one.frames_start, one.frames_end)) for one in reader.view.segments)
        header = bytes(reader.view.segments[0].window(0, reader.view.segments[0].frames_start))
    for file in tmp_path.glob("*.fbat"):
        file.unlink()
    (tmp_path / "000001.fbat").write_bytes(header + frames)
    with bp.Store.open(tmp_path) as store:
        again = store.append("e", "s", KIND, 0, idempotency_key=1)
        assert again.replayed and again.content_hash == first.content_hash
        assert (again.segment_id, again.offset) == (1, again.offset)
        assert again.offset != first.offset or again.segment_id != first.segment_id
        place = store.path / f"{again.segment_id:06}.fbat"
        assert first.event_id in place.read_bytes()[again.offset : again.offset + again.length]
