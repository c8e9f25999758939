"""A compaction that is running, or was cut short at any step, hides no event and shows none twice.

The states are those of sidecars spec 7.4; 0.9.0 loses events from view in three of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batpak_analytics.errors import MarkerCorruptError
from batpak_analytics.reader import open_reader
from tests.engine.building import Segment, make_event, numbers, rules, three_segments, write_store

ALL = list(range(12))
KEPT = [n for n in ALL if n not in (1, 4)]


def sources() -> list[Segment]:
    return three_segments()


def active() -> Segment:
    return Segment(4, [make_event(n) for n in range(9, 12)], footer=False)


def output(drop: tuple[int, ...] = ()) -> Segment:
    """What the compaction writes: one file with the lowest id, no footer, created last."""
    events = [make_event(n) for n in range(9) if n not in drop]
    return Segment(1, events, footer=False, created_ns=1_800_000_000_000_000_000)


def mark(directory: Path) -> None:
    (directory / "compaction.pending.json").write_text(json.dumps({"merged_id": 1, "source_segment_ids": [1, 2, 3]}))


def move_aside(directory: Path) -> None:
    (directory / "000001.fbat").rename(directory / "000001.fbat.compact-src")


def test_marker_written_and_nothing_moved(tmp_path: Path) -> None:
    write_store(tmp_path, [*sources(), active()])
    mark(tmp_path)
    view = open_reader(tmp_path).view
    assert numbers(view) == ALL
    assert rules(view) == {"compaction-cut-short"}


def test_marker_written_and_nothing_moved_after_an_earlier_compaction(tmp_path: Path) -> None:
    """The first source is itself an output, created after the segment that was being written while it was made."""
    earlier = Segment(1, [make_event(n) for n in range(6)], footer=False, created_ns=1_800_000_000_000_000_000)
    write_store(tmp_path, [earlier, sources()[2], active()])
    (tmp_path / "compaction.pending.json").write_text(json.dumps({"merged_id": 1, "source_segment_ids": [1, 3]}))
    view = open_reader(tmp_path).view
    assert numbers(view) == ALL
    assert rules(view) == {"compaction-cut-short"}


def test_first_source_moved_and_no_output(tmp_path: Path) -> None:
    write_store(tmp_path, [*sources(), active()])
    mark(tmp_path)
    move_aside(tmp_path)
    view = open_reader(tmp_path).view
    assert numbers(view) == ALL
    assert [segment.role for segment in view.segments] == ["moved-aside", "sealed", "sealed", "tail"]


@pytest.mark.parametrize("written", [0, 60, 700, None])
def test_output_partly_written(tmp_path: Path, written: int | None) -> None:
    write_store(tmp_path, [*sources(), active()])
    mark(tmp_path)
    move_aside(tmp_path)
    (tmp_path / "000001.fbat").write_bytes(output(drop=(1, 4)).to_bytes()[:written])
    assert numbers(open_reader(tmp_path).view) == ALL


@pytest.mark.parametrize("left", [(2, 3), (3,)])
def test_sources_being_deleted(tmp_path: Path, left: tuple[int, ...]) -> None:
    write_store(tmp_path, [output(drop=(1, 4)), *[one for one in sources() if one.segment_id in left], active()])
    mark(tmp_path)
    view = open_reader(tmp_path).view
    assert numbers(view) == KEPT
    assert rules(view) == {"compaction-running"}


def test_sources_left_whose_events_were_all_dropped(tmp_path: Path) -> None:
    write_store(tmp_path, [output(drop=(6, 7, 8)), sources()[2], active()])
    mark(tmp_path)
    assert numbers(open_reader(tmp_path).view) == [0, 1, 2, 3, 4, 5, 9, 10, 11]


def test_leftover_marker(tmp_path: Path) -> None:
    write_store(tmp_path, [output(), active()])
    mark(tmp_path)
    view = open_reader(tmp_path).view
    assert numbers(view) == ALL
    assert rules(view) == {"compaction-finished"}


def test_missing_source_is_an_error_finding_and_refused_in_raise(tmp_path: Path) -> None:
    write_store(tmp_path, [*sources()[1:2], active()])
    mark(tmp_path)
    view = open_reader(tmp_path).view
    assert numbers(view) == [3, 4, 5, 9, 10, 11]
    assert rules(view, "error") == {"compaction-sources-missing"}
    with pytest.raises(MarkerCorruptError):
        open_reader(tmp_path, on_damage="raise")


@pytest.mark.parametrize("text", ["", "{", '{"merged_id":1}', '{"merged_id":-1,"source_segment_ids":[1]}', "null"])
def test_corrupt_marker_fails_closed_in_both_modes(tmp_path: Path, text: str) -> None:
    write_store(tmp_path, sources())
    (tmp_path / "compaction.pending.json").write_text(text)
    for mode in ("report", "raise"):
        with pytest.raises(MarkerCorruptError, match=r"compaction\.pending\.json"):
            open_reader(tmp_path, on_damage=mode)


def test_orphaned_source_is_told(tmp_path: Path) -> None:
    write_store(tmp_path, [output(), active()])
    (tmp_path / "000001.fbat.compact-src").write_bytes(sources()[0].to_bytes())
    view = open_reader(tmp_path).view
    assert numbers(view) == ALL
    assert rules(view) == {"compaction-orphan"}


def mark_swap(directory: Path, merged_id: int = 0) -> None:
    """The marker of a compaction from here: a link, and an output that no file is yet."""
    named = {"merged_id": merged_id, "source_segment_ids": [1, 2, 3]}
    (directory / "compaction.swap.json").write_text(json.dumps(named))
    (directory / "compaction.pending.json").symlink_to("compaction.swap.json")


def put_in_place(directory: Path, drop: tuple[int, ...], merged_id: int = 0) -> None:
    (directory / f"{merged_id:06}.fbat").write_bytes(output(drop).to_bytes())


def test_swap_that_did_not_happen_shows_the_sources(tmp_path: Path) -> None:
    write_store(tmp_path, [*sources(), active()])
    mark_swap(tmp_path)
    view = open_reader(tmp_path).view
    assert numbers(view) == ALL
    assert rules(view) == {"compaction-cut-short"}


@pytest.mark.parametrize("gone", [(), (1,), (2, 3), (1, 2, 3)])
def test_swap_that_happened_shows_the_output_whatever_is_left(tmp_path: Path, gone: tuple[int, ...]) -> None:
    """Also where it shares no event with the sources that are left: nothing is decided by content."""
    drop = (3, 4, 5, 6, 7, 8)
    write_store(tmp_path, [*[one for one in sources() if one.segment_id not in gone], active()])
    mark_swap(tmp_path)
    put_in_place(tmp_path, drop)
    view = open_reader(tmp_path).view
    assert numbers(view) == [0, 1, 2, 9, 10, 11]
    assert [segment.segment_id for segment in view.segments] == [1, 4]  # the id that it will have
    assert rules(view) == {"compaction-finished" if len(gone) == 3 else "compaction-running"}
    assert numbers(open_reader(tmp_path, on_damage="raise").view) == [0, 1, 2, 9, 10, 11]


def test_swap_without_output_and_sources_is_refused_as_the_reference_refuses_it(tmp_path: Path) -> None:
    write_store(tmp_path, [*sources()[1:], active()])
    mark_swap(tmp_path)
    view = open_reader(tmp_path).view
    assert rules(view, "error") == {"compaction-sources-missing"}
    with pytest.raises(MarkerCorruptError):
        open_reader(tmp_path, on_damage="raise")


def test_copy_that_was_moved_aside_before_is_no_source_of_a_swap(tmp_path: Path) -> None:
    write_store(tmp_path, [*sources(), active()])
    mark_swap(tmp_path)
    (tmp_path / "000000.fbat.compact-src").write_bytes(output().to_bytes())
    view = open_reader(tmp_path).view
    assert numbers(view) == ALL
    assert rules(view) == {"compaction-cut-short", "compaction-orphan"}
