"""Reading while an application writes: nothing raises, repeats, goes backwards or is lost."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import batpak_analytics as bp
from tests.interop.compare import assert_store_equals
from tests.interop.oracle import Oracle

EVENTS = 5_000
SEGMENT_BYTES = 200_000
COLUMNS = ["global_sequence", "event_id", "payload"]


def first_line(process: subprocess.Popen[str]) -> dict[str, object]:
    """Wait until the application has written its first stretch of events."""
    assert process.stdout is not None
    line: dict[str, object] = json.loads(process.stdout.readline())
    return line


def watch(reader: bp.Reader) -> list[tuple[int, bytes]]:
    """(sequence, id) of every event in one new view."""
    table = reader.refresh().events(columns=COLUMNS, payload="binary", system=True).to_arrow()
    numbers = table.column("global_sequence").to_pylist()
    return list(zip(numbers, table.column("event_id").to_pylist(), strict=True))


def check_grown(seen: list[tuple[int, bytes]], now: list[tuple[int, bytes]]) -> None:
    """No event twice, none out of order, and what was there before is there still, in the same place."""
    assert len({event for _, event in now}) == len(now)
    assert [number for number, _ in now] == sorted({number for number, _ in now})
    assert now[: len(seen)] == seen


@pytest.mark.parametrize("pause_us", [0, 200])
def test_reader_follows_an_application_that_writes(oracle: Oracle, tmp_path: Path, pause_us: int) -> None:
    store = tmp_path / "store"
    options = {"events": EVENTS, "segment_bytes": SEGMENT_BYTES, "pause_us": pause_us}
    with oracle.live(store, **options) as process:
        first_line(process)
        seen: list[tuple[int, bytes]] = []
        with bp.open_reader(store) as reader:
            while process.poll() is None:
                now = watch(reader)
                check_grown(seen, now)
                seen = now
            check_grown(seen, watch(reader))
            assert_store_equals(reader, oracle.dump(store))
    assert process.returncode == 0


def test_reader_survives_compactions_beside_it(oracle: Oracle, tmp_path: Path) -> None:
    store = tmp_path / "store"
    compact_at = ",".join(str(at) for at in range(500, EVENTS, 500))
    options: dict[str, int | str] = {"events": EVENTS, "segment_bytes": 50_000, "compact_at": compact_at}
    with oracle.live(store, **options) as process:
        first_line(process)
        seen: list[tuple[int, bytes]] = []
        with bp.open_reader(store) as reader:
            while process.poll() is None:
                now = watch(reader)
                check_grown(seen, now)
                seen = now
            assert_store_equals(reader.refresh(), oracle.dump(store))
    assert process.returncode == 0


def test_events_of_an_open_fence_may_vanish_and_nothing_else(oracle: Oracle, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with oracle.live(store, events=EVENTS, segment_bytes=SEGMENT_BYTES, fences=1) as process:
        first_line(process)
        gone: set[bytes] = set()
        seen: set[bytes] = set()
        with bp.open_reader(store) as reader:
            while process.poll() is None:
                now = [event for _, event in watch(reader)]
                assert len(set(now)) == len(now)
                gone |= seen - set(now)
                seen = set(now)
            rows = oracle.dump(store)
            assert_store_equals(reader.refresh(), rows)
    assert not gone & {bytes.fromhex(row["event_id"]) for row in rows}
