"""A batch whose BEGIN or COMMIT is damaged: what the remains of the marker still prove."""

from __future__ import annotations

from pathlib import Path

import pytest

from batpak_analytics.model import Event
from batpak_analytics.reader import open_reader
from tests.damage.stores import batch
from tests.engine.building import Segment, make_event, numbers, rules


def store(directory: Path, events: list[Event], damage: dict[int, tuple[int, bytes]]) -> Path:
    """One segment without footer; `damage` is row -> (place in its frame, bytes to put there)."""
    segment = Segment(1, events, footer=False)
    data = bytearray(segment.to_bytes())
    for row, (place, new) in damage.items():
        at = segment.offsets()[row] + place
        data[at : at + len(new)] = new
    (directory / "000001.fbat").write_bytes(data)
    return directory


OPEN = [make_event(1), *batch(2, 100, 3, close=False)]
WHOLE = [make_event(1), *batch(2, 100, 3), make_event(5)]


@pytest.mark.parametrize("place", range(0, 346, 5))
def test_open_batch_stays_hidden_when_its_begin_is_damaged(tmp_path: Path, place: int) -> None:
    view = open_reader(store(tmp_path, OPEN, {1: (place, b"\xc1")})).view
    assert numbers(view) == [1]
    assert rules(view, "warning", "error") == {"frames-damaged", "batch-incomplete"}


def test_open_batch_whose_begin_and_first_item_are_damaged_stays_hidden(tmp_path: Path) -> None:
    assert numbers(open_reader(store(tmp_path, OPEN, {1: (60, b"\xc1"), 2: (60, b"\xc1")})).view) == [1]


def test_begin_of_which_nothing_is_left_cannot_be_known(tmp_path: Path) -> None:
    """docs/compatibility.md says so: the items are shown as single events, beside an error."""
    view = open_reader(store(tmp_path, OPEN, {1: (0, bytes(346))})).view
    assert numbers(view) == [1, 100, 101, 102]
    assert rules(view, "error") == {"frames-damaged"}


@pytest.mark.parametrize("place", range(0, 346, 5))
def test_whole_batch_is_shown_when_its_begin_is_damaged(tmp_path: Path, place: int) -> None:
    assert numbers(open_reader(store(tmp_path, WHOLE, {1: (place, b"\xc1")})).view) == [1, 100, 101, 102, 5]


@pytest.mark.parametrize("place", range(0, 346, 5))
def test_whole_batch_is_shown_when_its_commit_is_damaged(tmp_path: Path, place: int) -> None:
    view = open_reader(store(tmp_path, WHOLE, {5: (place, b"\xc1")})).view
    assert numbers(view) == [1, 100, 101, 102, 5]
    assert rules(view, "error") == {"frames-damaged"}


def test_batch_whose_commit_is_destroyed_is_left_out_and_told(tmp_path: Path) -> None:
    view = open_reader(store(tmp_path, WHOLE, {5: (0, b"\xff" * 346)})).view
    assert numbers(view) == [1, 5]
    assert "batch-incomplete" in rules(view, "warning")


@pytest.mark.parametrize("place", range(0, 460, 9))
def test_damaged_single_event_takes_no_event_behind_it_along(tmp_path: Path, place: int) -> None:
    events = [make_event(0), make_event(1), make_event(2, at_us=7), make_event(3, at_us=7)]
    assert numbers(open_reader(store(tmp_path, events, {1: (place, b"\xc1")})).view) == [0, 2, 3]


def test_commit_of_another_batch_behind_as_many_frames_commits_nothing(tmp_path: Path) -> None:
    """A splice put the begin of one batch before the end of another, with damage between them."""
    lost = make_event(4)
    spliced = [make_event(1), *batch(2, 100, 3, close=False)[:3], lost, *batch(5, 200, 3)[3:]]
    view = open_reader(store(tmp_path, spliced, {4: (60, b"\xc1")})).view
    assert numbers(view) == [1, 202]
    assert rules(view, "warning", "error") == {"frames-damaged", "batch-incomplete"}


def test_batch_with_an_item_twice_is_still_committed(tmp_path: Path) -> None:
    events = batch(2, 100, 3)
    twice = [*events[:2], *events[1:]]
    view = open_reader(store(tmp_path, twice, {})).view
    assert numbers(view) == [100, 101, 102]
    assert rules(view) == {"duplicate-event"}


@pytest.mark.parametrize("count", [0, 1, 2, 4, 1_000_000, 1_000_001, 2**32 - 1])
def test_begin_with_a_wrong_count_hides_only_its_own_batch(tmp_path: Path, count: int) -> None:
    """0.9.0 drops such a batch too; it refuses the store where the count is impossible."""
    from dataclasses import replace

    events = [make_event(1), *batch(2, 100, 3), make_event(5), make_event(6)]
    events[1] = replace(events[1], payload_size=count)
    shown = numbers(open_reader(store(tmp_path, events, {})).view)
    assert shown[0] == 1 and shown[-2:] == [5, 6]
    assert set(shown) <= {1, 5, 6, 100, 101, 102}
    assert "batch-incomplete" in rules(open_reader(tmp_path).view)
