"""Batches are all or nothing, and an unfinished one takes nothing with it that is not its own."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics.model import Event
from batpak_analytics.reader import open_reader
from tests.engine.building import EPOCH_US, Segment, begin, commit, make_event, numbers, rules, write_store

BATCH_US = EPOCH_US + 500_000


def items(first: int, count: int) -> list[Event]:
    """Items of one batch share one clock reading."""
    return [make_event(n, at_us=BATCH_US) for n in range(first, first + count)]


def store_of(directory: Path, events: list[Event], **options: object) -> Path:
    return write_store(directory, [Segment(1, events, footer=False, **options)])  # type: ignore[arg-type]


def test_committed_batch_is_shown_without_its_markers(tmp_path: Path) -> None:
    events = [begin(7, 3, at_us=BATCH_US + 9), *items(0, 3), commit(7, at_us=BATCH_US + 10), make_event(900)]
    view = open_reader(store_of(tmp_path, events), on_damage="raise").view
    assert numbers(view) == [0, 1, 2, 900]
    assert view.findings == ()


def test_batch_without_commit_is_left_out(tmp_path: Path) -> None:
    view = open_reader(store_of(tmp_path, [make_event(1), begin(7, 3, at_us=BATCH_US + 9), *items(2, 2)])).view
    assert numbers(view) == [1]
    assert rules(view) == {"batch-incomplete"}


def test_all_items_without_commit_are_left_out(tmp_path: Path) -> None:
    assert numbers(store_of(tmp_path, [begin(7, 3, at_us=BATCH_US + 9), *items(0, 3)])) == []


def test_unfinished_batch_does_not_swallow_the_next_segment(tmp_path: Path) -> None:
    broken = Segment(1, [make_event(1), begin(7, 3, at_us=BATCH_US + 9), *items(2, 1)], footer=False)
    later = [make_event(n) for n in range(1000, 1004)]
    view = open_reader(write_store(tmp_path, [broken, Segment(2, later, footer=False)])).view
    assert numbers(view) == [1, 1000, 1001, 1002, 1003]


def test_unfinished_batch_does_not_swallow_later_events_of_a_merged_file(tmp_path: Path) -> None:
    later = [make_event(n) for n in range(1000, 1004)]
    view = open_reader(store_of(tmp_path, [begin(7, 3, at_us=BATCH_US + 9), *items(2, 1), *later])).view
    assert numbers(view) == [1000, 1001, 1002, 1003]


def test_batch_that_lost_an_item_to_damage_was_still_committed(tmp_path: Path) -> None:
    events = [begin(7, 3, at_us=BATCH_US + 9), *items(0, 3), commit(7, at_us=BATCH_US + 10)]
    segment = Segment(1, events, footer=False)
    path = segment.write(tmp_path)
    data = bytearray(path.read_bytes())
    data[segment.offsets()[2] + 50] ^= 0xFF
    path.write_bytes(bytes(data))
    view = open_reader(tmp_path).view
    assert numbers(view) == [0, 2]
    assert rules(view) == {"frames-damaged"}


def test_commit_alone_hides_nothing(tmp_path: Path) -> None:
    assert numbers(store_of(tmp_path, [make_event(1), commit(7, at_us=BATCH_US), make_event(2)])) == [1, 2]


def test_batch_continued_in_the_next_segment_is_whole(tmp_path: Path) -> None:
    first = Segment(1, [begin(7, 3, at_us=BATCH_US + 9), *items(0, 1)], footer=False)
    second = Segment(2, [*items(1, 2), commit(7, at_us=BATCH_US + 10)], footer=False)
    assert numbers(write_store(tmp_path, [first, second])) == [0, 1, 2]


def test_batch_markers_between_footer_rows_are_no_contradiction(tmp_path: Path) -> None:
    events = [make_event(0), begin(7, 2, at_us=BATCH_US + 9), *items(1, 2), commit(7, at_us=BATCH_US + 10)]
    view = open_reader(write_store(tmp_path, [Segment(1, events)]), on_damage="raise").view
    assert numbers(view) == [0, 1, 2]
    assert view.segments[0].source.tolist() == [1, 1, 1]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4), st.booleans()), max_size=5))
def test_only_whole_batches_and_single_events_are_shown(
    tmp_path_factory: object, plan: list[tuple[int, int, bool]]
) -> None:
    directory = tmp_path_factory.mktemp("batches")  # type: ignore[attr-defined]
    events: list[Event] = []
    expected: list[int] = []
    number = 0
    for index, (wanted, written, close) in enumerate(plan):
        stamp = BATCH_US + index * 1000
        batch = [make_event(number + n, at_us=stamp) for n in range(min(wanted, written))]
        events += [begin(100 + index, wanted, at_us=stamp + 9), *batch]
        number += len(batch)
        if close and len(batch) == wanted:
            events.append(commit(100 + index, at_us=stamp + 10))
            expected += [event.position.clock for event in batch]
        events.append(make_event(5000 + index, at_us=stamp + 500))
        expected.append(5000 + index)
    assert numbers(store_of(directory, events)) == expected
