"""A tail that is read as it grows gives what a new reader gives, at whatever byte each refresh finds it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from batpak_analytics.engine import growth, recovery, topology
from batpak_analytics.engine.view import View
from batpak_analytics.reader import open_reader
from tests.engine.building import (
    EPOCH_US,
    Segment,
    begin,
    commit,
    make_event,
    numbers,
    rules,
    three_segments,
    write_store,
)


def tail() -> Segment:
    """Single events, a batch, a batch that is never committed, and single events after it."""
    stamp = EPOCH_US + 20_000
    batch = [make_event(n, entity=f"cart:{n}", at_us=stamp) for n in range(11, 14)]
    broken = [make_event(n, at_us=stamp + 10_000) for n in range(16, 18)]
    return Segment(
        4,
        [
            make_event(9),
            make_event(10, entity="order:2"),
            begin(7, 3, at_us=stamp + 1),
            *batch,
            commit(7, at_us=stamp + 2),
            make_event(14, entity="order:3", at_us=stamp + 5_000),
            make_event(15, at_us=stamp + 6_000),
            begin(8, 3, at_us=stamp + 10_001),
            *broken,
            make_event(18, entity="order:4", at_us=stamp + 20_000),
            make_event(19, at_us=stamp + 21_000),
        ],
        footer=False,
    )


def rows_of(view: View) -> list[tuple[Any, ...]]:
    """Everything a view says about its events, without the codes of the string tables."""
    found = []
    for segment in view.segments:
        for row, sequence in zip(segment.rows, segment.sequence, strict=True):
            names = segment.strings[row["entity_idx"]], segment.strings[row["scope_idx"]]
            fields = [row[name].tobytes() for name in row.dtype.names if not name.endswith("_idx")]
            found.append((segment.segment_id, int(sequence), *names, *fields))
    return found


def assert_same_view(grown: View, fresh: View) -> None:
    assert rows_of(grown) == rows_of(fresh)
    assert set(grown.findings) == set(fresh.findings)
    assert [one.frames_end for one in grown.segments] == [one.frames_end for one in fresh.segments]


@pytest.mark.parametrize("step", [23, 150, 400, 1_000, 2_500])
def test_each_refresh_equals_a_new_reader(tmp_path: Path, step: int) -> None:
    write_store(tmp_path, three_segments())
    data = tail().to_bytes()
    path = tmp_path / "000004.fbat"
    path.write_bytes(data[:40])
    with open_reader(tmp_path) as reader:
        for end in [*range(60, len(data), step), len(data)]:
            with path.open("ab") as file:
                file.write(data[path.stat().st_size : end])
            assert_same_view(reader.refresh().view, open_reader(tmp_path).view)
        assert numbers(reader.view) == [*range(16), 18, 19]


def test_a_grown_tail_is_read_from_its_last_event_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_store(tmp_path, three_segments())
    path = Segment(4, [make_event(n) for n in range(9, 60)], footer=False).write(tmp_path)
    before = path.stat().st_size
    read: list[tuple[int, int]] = []
    scan_frames = recovery.scan_frames

    def spy(file: Any, start: int, end: int) -> Any:
        read.append((start, end))
        return scan_frames(file, start, end)

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("a segment was scanned as a whole")

    with open_reader(tmp_path) as reader:
        last = int(reader.view.segments[-1].rows["offset"][-1])
        Segment(4, [make_event(n) for n in range(9, 61)], footer=False).write(tmp_path)
        monkeypatch.setattr(growth, "scan_frames", spy)
        monkeypatch.setattr(topology, "scan_segment", never)
        assert numbers(reader.refresh().view) == list(range(61))
        assert numbers(reader.refresh().view) == list(range(61))
    assert read == [(last, path.stat().st_size)] and before < path.stat().st_size


def test_other_bytes_under_the_same_inode_are_read_anew(tmp_path: Path) -> None:
    """Nothing of batpak writes so. A copy over the file does, and must not be mixed with what was there."""
    write_store(tmp_path, three_segments())
    path = Segment(4, [make_event(n) for n in range(9, 12)], footer=False).write(tmp_path)
    with open_reader(tmp_path) as reader:
        inode = os.stat(path).st_ino
        path.write_bytes(Segment(4, [make_event(n) for n in range(30, 40)], footer=False).to_bytes())
        assert os.stat(path).st_ino == inode
        assert numbers(reader.refresh().view) == [*range(9), *range(30, 40)]


def test_damage_before_the_last_event_is_told_again(tmp_path: Path) -> None:
    write_store(tmp_path, three_segments())
    segment = Segment(4, [make_event(n) for n in range(9, 14)], footer=False)
    data = bytearray(segment.to_bytes())
    data[segment.offsets()[2] + 100] ^= 1
    path = tmp_path / "000004.fbat"
    path.write_bytes(data[: segment.offsets()[4]])
    with open_reader(tmp_path) as reader:
        path.write_bytes(data)
        view = reader.refresh().view
        assert numbers(view) == [*range(11), 12, 13]
        assert_same_view(view, open_reader(tmp_path).view)
        assert any(one.severity == "error" for one in view.findings)


def test_a_tail_cut_at_any_byte_is_an_unfinished_write_and_nothing_worse(tmp_path: Path) -> None:
    write_store(tmp_path, three_segments())
    whole = tail()
    data, batch = whole.to_bytes(), whole.offsets()
    path = tmp_path / "000004.fbat"
    for end in [*range(0, batch[2], 41), *range(batch[2], batch[7] + 40, 7), *batch]:
        path.write_bytes(data[:end])
        view = open_reader(tmp_path, on_damage="raise").view
        assert not rules(view, "error", "warning"), end
