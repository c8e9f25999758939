"""What 0.9.0 swallows behind a batch without its COMMIT is shown, in its place and under a number of its own.

Sessions that go on after a kill in the middle of a batch number their events as 0.9.0 does: without those it swallowed.
That it does is held against the engine itself in tests/interop/test_unfinished_batches.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batpak_analytics.engine import numbering, packs
from batpak_analytics.engine.sequences import FROM_FOOTER, SYNTHESISED
from batpak_analytics.errors import CopyRefusedError
from batpak_analytics.format.sidecars import visibility
from batpak_analytics.format.sidecars.visibility import HiddenRanges
from batpak_analytics.model import Event
from batpak_analytics.reader import open_reader
from batpak_analytics.store.store import Store
from tests.engine.building import EPOCH_US, Segment, begin, commit, make_event, numbers, rules, shown, write_store

BATCH_US = EPOCH_US + 500


def items(first: int, count: int) -> list[Event]:
    """Items of one batch share one clock reading."""
    return [make_event(n, at_us=BATCH_US) for n in range(first, first + count)]


def events(first: int, count: int) -> list[Event]:
    return [make_event(n) for n in range(first, first + count)]


def killed_in_a_batch(written: int = 1, wanted: int = 4) -> Segment:
    """Events 0 to 2, and a batch of which not all was written."""
    return Segment(1, [*events(0, 3), begin(3, wanted, at_us=BATCH_US + 9), *items(100, written)], footer=False)


def three_sessions() -> list[Segment]:
    """The second has ten events, four of which 0.9.0 swallows when it opens the store for the third."""
    return [
        killed_in_a_batch(),
        Segment(2, events(3, 10), first_sequence=3),
        Segment(3, events(13, 3), first_sequence=9),
    ]


def test_events_keep_their_order_and_each_has_its_own_number(tmp_path: Path) -> None:
    view = open_reader(write_store(tmp_path, three_sessions()), on_damage="raise").view
    assert shown(view) == [(n, n) for n in range(16)]
    assert view.in_order
    assert {int(one) for one in view.segments[2].source} == {SYNTHESISED}
    assert [(one.segment, one.offset) for one in view.findings if one.rule == "events-swallowed"] == [(2, 57)]
    assert rules(view, "warning", "error") == set()


def test_numbers_do_not_change_while_the_next_session_is_written(tmp_path: Path) -> None:
    segments = three_sessions()
    path = write_store(tmp_path, segments[:2])
    reader = open_reader(path)
    before = shown(reader.view)
    for count in (1, 2, 3):
        replace(segments[2], events=segments[2].events[:count], footer=False).write(path)
        reader.refresh()
        assert shown(reader.view)[: len(before)] == before
        before = shown(reader.view)
    segments[2].write(path)
    reader.refresh()
    assert shown(reader.view) == before


def test_without_a_later_session_the_recorded_numbers_stay(tmp_path: Path) -> None:
    view = open_reader(write_store(tmp_path, three_sessions()[:2])).view
    assert shown(view) == [(n, n) for n in range(13)]
    assert not view.numbering.is_recounted


@pytest.mark.parametrize("short", [1, 2, 3])
def test_a_short_session_is_swallowed_whole_and_the_next_one_too(tmp_path: Path, short: int) -> None:
    """Four are missing: these, and the first of the session after it, which 0.9.0 numbers from 3 on again."""
    segments = [killed_in_a_batch(), Segment(2, events(3, short), footer=False)]
    segments += [
        Segment(3, events(3 + short, 8), first_sequence=3),
        Segment(4, events(11 + short, 2), first_sequence=7 + short),
    ]
    view = open_reader(write_store(tmp_path, segments), on_damage="raise").view
    assert shown(view) == [(n, n) for n in range(13 + short)]
    told = [(one.segment, one.meaning.split()[2]) for one in view.findings if one.rule == "events-swallowed"]
    assert told == [(2, str(short)), (3, str(4 - short))]


@pytest.mark.parametrize("wanted", [3, 20, 100])
def test_small_segments_that_are_read_as_one_are_swallowed_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: int
) -> None:
    monkeypatch.setattr(packs, "FEWEST", 4)
    segments = [killed_in_a_batch(wanted=wanted)]
    segments += [Segment(number, events(4 * number - 5, 4), first_sequence=4 * number - 5) for number in range(2, 32)]
    last = Segment(32, events(123, 2), first_sequence=123)  # 0.9.0 counts only what it reads in the batch
    view = open_reader(write_store(tmp_path, [*segments, last]), on_damage="raise").view
    assert len(view.stretches) < len(view.segments)
    assert shown(view) == [(n, n) for n in range(125)]
    told = [int(one.meaning.split()[2]) for one in view.findings if one.rule == "events-swallowed"]
    assert sum(told) == wanted


def test_a_batch_of_the_next_session_ends_it(tmp_path: Path) -> None:
    """Another BEGIN makes 0.9.0 forget the first: it loses two events, and not the batch."""
    more = [*events(3, 2), begin(5, 2, at_us=BATCH_US + 90_000), *items(5, 2), commit(5, at_us=BATCH_US + 90_001)]
    segments = [killed_in_a_batch(), Segment(2, [*more, *events(7, 3)], footer=False)]
    segments.append(Segment(3, events(10, 2), first_sequence=8))
    view = open_reader(write_store(tmp_path, segments), on_damage="raise").view
    assert shown(view) == [(n, n) for n in range(12)]
    assert [one.meaning.split()[2] for one in view.findings if one.rule == "events-swallowed"] == ["2"]


def test_a_batch_that_failed_swallows_the_events_behind_it_in_its_own_segment(tmp_path: Path) -> None:
    """Trap T4: the writer went on after a batch that failed behind its BEGIN."""
    frames = [*events(0, 2), begin(2, 3, at_us=BATCH_US + 9), *items(100, 1), *events(2, 9)]
    path = write_store(tmp_path, [Segment(1, frames, footer=False), Segment(2, events(11, 2), first_sequence=8)])
    view = open_reader(path, on_damage="raise").view
    assert shown(view) == [(n, n) for n in range(13)]
    assert [one.meaning.split()[2] for one in view.findings if one.rule == "events-swallowed"] == ["3"]


def test_a_batch_in_flight_costs_a_reader_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "recount", lambda *_: pytest.fail("frames were read again"))
    first = Segment(1, events(0, 3))
    second = Segment(2, [*events(3, 2), begin(5, 4, at_us=BATCH_US + 9), *items(5, 2)], footer=False)
    view = open_reader(write_store(tmp_path, [first, second])).view
    assert shown(view) == [(n, n) for n in range(5)]
    assert rules(view) == {"batch-incomplete"}


def test_numbers_given_again_after_a_gap_keep_the_order_of_the_files(tmp_path: Path) -> None:
    """A failed batch left a gap, its segment ends in a batch, and another has no footer: so 0.9.0 counts it anew."""
    batch = [begin(12, 2, at_us=BATCH_US + 9), *items(2, 2), commit(12, at_us=BATCH_US + 10)]
    gap = Segment(1, [*events(0, 2), *batch], first_sequence=10)
    segments = [gap, Segment(2, events(4, 12), footer=False), Segment(3, events(16, 3), first_sequence=16)]
    view = open_reader(write_store(tmp_path, segments), on_damage="raise").view
    assert shown(view) == [(0, 10), (1, 11), (2, 12), (3, 13), *((n, n + 10) for n in range(4, 19))]
    assert rules(view) == set()
    first_two = open_reader(write_store(tmp_path / "before", segments[:1])).view
    assert {int(one) for one in first_two.segments[0].source} == {FROM_FOOTER}


def hide(path: Path, *ranges: tuple[int, int]) -> None:
    (path / "visibility_ranges.fbv").write_bytes(visibility.encode(HiddenRanges(ranges, {})))


def test_hidden_are_those_that_had_the_number_when_they_were_hidden(tmp_path: Path) -> None:
    """Events 3 and 4 were cancelled in the second session, where they had these numbers."""
    path = write_store(tmp_path, three_sessions())
    hide(path, (3, 5))
    view = open_reader(path).view
    assert numbers(view) == [n for n in range(16) if n not in (3, 4)]
    assert rules(view, "warning", "error") == set()


def test_where_a_hidden_number_was_given_twice_both_are_hidden_and_told(tmp_path: Path) -> None:
    path = write_store(tmp_path, three_sessions())
    hide(path, (10, 11))  # the second session's event 10, or the third's 14
    view = open_reader(path).view
    assert numbers(view) == [n for n in range(16) if n not in (10, 14)]
    assert [(one.rule, one.segment) for one in view.findings if one.severity == "warning"] == [
        ("hidden-ambiguous", 2),
        ("hidden-ambiguous", 3),
    ]


def test_what_was_hidden_in_a_session_that_counted_anew_is_not_shown(tmp_path: Path) -> None:
    """The third session, whose numbers are on no disk, began behind event 15, which 0.9.0 had counted to be 15."""
    batch = [begin(12, 2, at_us=BATCH_US + 9), *items(2, 2), commit(12, at_us=BATCH_US + 10)]
    gap = Segment(1, [*events(0, 2), *batch], first_sequence=10)
    path = write_store(
        tmp_path, [gap, Segment(2, events(4, 12), footer=False), Segment(3, events(16, 3), footer=False)]
    )
    hide(path, (17, 18))  # the third session's event 17, or the second's 7
    view = open_reader(path).view
    assert numbers(view) == [n for n in range(19) if n not in (7, 17)]
    assert {one.rule for one in view.findings if one.severity == "warning"} == {"hidden-ambiguous"}


def recounted(path: Path, hidden: tuple[int, int], *, tail: bytes = b"") -> Path:
    """Behind a gap that a failed batch left, 0.9.0 counted from 4 on: events 4 to 16 have their own numbers again. They
    are shown with ten more; `hidden` names the recorded ones.
    """
    batch = [begin(12, 2, at_us=BATCH_US + 9), *items(2, 2), commit(12, at_us=BATCH_US + 10)]
    gap = Segment(1, [*events(0, 2), *batch], first_sequence=10)
    segments = [gap, Segment(2, events(4, 5), first_sequence=4), Segment(3, events(9, 8), first_sequence=9)]
    write_store(path, [*segments, Segment(4, events(17, 3), footer=False, tail=tail)])
    hide(path, hidden)
    return path


def test_no_compaction_and_no_copy_hides_events_for_those_that_were_cancelled(tmp_path: Path) -> None:
    """Their new numbers would be those of events 5 and 6, which are shown."""
    path = recounted(tmp_path / "store", (15, 17))
    before = shown(open_reader(path).view)
    assert before == [(n, n + 10) for n in range(20) if n not in (15, 16)]
    with Store.open(path) as store:
        (refusal,) = store.plan_compaction().refusals
        assert "numbers of cancelled events" in refusal
        for source in (store, store.reader()):
            with pytest.raises(CopyRefusedError, match="numbers of cancelled events"):
                source.snapshot(tmp_path / "copy")
    assert shown(open_reader(path).view)[: len(before)] == before


def test_opening_for_writing_reveals_nothing_that_a_last_segment_hides(tmp_path: Path) -> None:
    path = recounted(tmp_path / "store", (18, 19), tail=b"\0\0\1\0" + b"x" * 9)
    before = numbers(path)
    assert before == [n for n in range(20) if n != 18]
    with Store.open(path) as store:
        assert [one.file for one in store.open_report.repairs] == ["000004.fbat"]
    assert sorted(numbers(path)) == sorted([*before, 0, 1])  # the session's own events have clocks of their own


@pytest.mark.parametrize("hidden", [(), ((3, 5),)])
def test_opening_for_writing_brings_them_back_and_reveals_nothing(tmp_path: Path, hidden: Any) -> None:
    path = write_store(tmp_path, three_sessions())
    hide(path, *hidden)
    before = numbers(path)
    with Store.open(path) as store:
        assert {one.file for one in store.open_report.repairs} >= {"000001.fbat"}
        receipt = store.append("order:1", "test", 0x1001, 1)
    view = open_reader(path).view
    assert rules(view) == set()
    if hidden:
        assert sorted(numbers(view)[: len(before)]) == sorted(before)
    else:
        assert shown(view)[:16] == [(n, n) for n in range(16)]
        assert receipt.global_sequence > 15
