"""Files lost while a compaction was under way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from batpak_analytics.reader import open_reader
from tests.damage.stores import compacting
from tests.engine.building import Segment, numbers, rules, three_segments


@pytest.mark.parametrize("lost", [2, 3])
def test_source_lost_while_its_compaction_was_under_way_costs_no_event_of_the_others(tmp_path: Path, lost: int) -> None:
    store = compacting().write(tmp_path / "s")
    (store / f"{lost:06}.fbat").unlink()
    view = open_reader(store).view
    gone = range(3 * lost - 3, 3 * lost)
    assert sorted(numbers(view)) == [n for n in range(11) if n not in gone]
    assert "compaction-sources-missing" in rules(view, "error")


def test_whole_output_makes_up_for_a_lost_source(tmp_path: Path) -> None:
    store = compacting().write(tmp_path / "s")
    (store / "000002.fbat").unlink()
    events = [event for one in three_segments() for event in one.events]
    output = replace(Segment(1, events, footer=False), created_ns=1_800_000_000_000_000_000)
    output.write(store)
    assert sorted(numbers(open_reader(store).view)) == list(range(11))
