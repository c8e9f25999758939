"""Queries and point reads on views, where the reference has no say: wrong questions, damage, refreshes, trap T-3."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics import kernels
from batpak_analytics.engine import ids
from batpak_analytics.engine.ids import IdIndex
from batpak_analytics.engine.point_read import read_event
from batpak_analytics.format.survey import fold_id, fold_ids
from batpak_analytics.model import HashChain
from tests.engine.building import Segment, make_event, three_segments, write_store
from tests.interop.questions import by_list, ours, questions_about

WRONG: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"entity": 1}, TypeError),
    ({"kind": -1}, ValueError),
    ({"kind": 1 << 16}, ValueError),
    ({"kind": True}, TypeError),
    ({"category": 16}, ValueError),
    ({"kind": 0x1001, "category": 1}, ValueError),
    ({"lane": 1 << 32}, ValueError),
    ({"clock": (3, 2)}, ValueError),
    ({"clock": 3}, TypeError),
    ({"clock": (0, -1)}, ValueError),
]


@pytest.mark.parametrize(("parts", "error"), WRONG)
def test_region_that_no_event_can_be_in_is_refused(parts: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        bp.Region(**parts)


def test_page_with_a_negative_limit_is_refused(tmp_path: Path) -> None:
    reader = bp.open_reader(write_store(tmp_path, three_segments()))
    for sequence, limit in ((-1, 1), (1, -1)):
        with pytest.raises(ValueError, match="from 0 on"):
            reader.query_after(sequence, limit)


def test_pages_are_the_whole_one_after_the_other(tmp_path: Path) -> None:
    reader = bp.open_reader(write_store(tmp_path, three_segments()))
    found: list[bp.IndexEntry] = []
    while page := reader.query_after(found[-1].global_sequence if found else None, 2):
        found += page
    assert found == list(reader.query())
    assert len(found) == 9


def test_entries_are_a_sequence(tmp_path: Path) -> None:
    entries = bp.open_reader(write_store(tmp_path, three_segments())).query()
    everything = list(entries)
    assert [entries[place] for place in range(-9, 9)] == [everything[place] for place in range(-9, 9)]
    assert list(entries[::-2]) == everything[::-2]
    assert list(reversed(entries)) == everything[::-1]
    assert everything[3] in entries
    with pytest.raises(IndexError):
        entries[9]
    assert "Entries of 9 events" in repr(entries)


def test_store_without_events_has_no_answers(tmp_path: Path) -> None:
    (tmp_path / ".batpak.lock").write_bytes(b"")
    reader = bp.open_reader(tmp_path)
    assert not reader.query()
    assert not reader.query_after(None, 5)
    assert not reader.stream("e")
    assert reader.latest("e") is None
    assert reader.walk_ancestors(7).end == "no-anchor"


def test_parent_is_the_one_before_it_where_payloads_repeat(tmp_path: Path) -> None:
    """The reference would go from the last event to the first: they link to equal hashes (trap T-3)."""
    same = b"\xa1x"
    digest = blake3(same).digest()
    events = []
    for number in range(4):
        link = HashChain(digest if number else bytes(32), digest)
        events.append(dataclasses.replace(make_event(number), payload=same, content_hash=digest, hash_chain=link))
    reader = bp.open_reader(write_store(tmp_path, [Segment(1, events, footer=False)]))
    walk = reader.walk_ancestors(events[3].event_id)
    assert [entry.event_id for entry in walk.entries] == [event.event_id for event in reversed(events)]
    assert walk.end == "genesis"
    assert reader.walk_ancestors(events[3].event_id, limit=4).end == "genesis"
    assert reader.walk_ancestors(events[3].event_id, limit=3).end == "limit"


def test_walk_ends_where_links_form_a_circle(tmp_path: Path) -> None:
    """Clocks that repeat and hashes that point at each other, as only forged frames have."""
    first, second = blake3(b"\x01").digest(), blake3(b"\x02").digest()
    chains = [HashChain(second, first), HashChain(first, second)]
    events = []
    for number in range(6):
        event = make_event(number)
        position = dataclasses.replace(event.position, clock=number % 2)
        chain = chains[number % 2]
        events.append(dataclasses.replace(event, position=position, hash_chain=chain, content_hash=chain.event_hash))
    reader = bp.open_reader(write_store(tmp_path, [Segment(1, events, footer=False)]))
    for event in events:
        walk = reader.walk_ancestors(event.event_id)
        assert walk.end == "missing-parent"
        assert len(walk.entries) <= 2


def test_ids_known_before_a_refresh_are_not_sorted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And they lead to the same events, whatever the tail has become."""
    events = [make_event(number) for number in range(20)]
    Segment(1, events[:8]).write(tmp_path)
    reader = bp.open_reader(tmp_path)
    sorted_rows: list[int] = []
    extended = IdIndex.extended

    def noting(self: IdIndex, added: Any) -> IdIndex:
        arrays = list(added)
        sorted_rows.append(sum(map(len, arrays)))
        return extended(self, arrays)

    monkeypatch.setattr(IdIndex, "extended", noting)
    reader.get(events[0].event_id)
    for count in (3, 4, 7):
        Segment(2, events[8 : 8 + count], footer=False).write(tmp_path)
        reader.refresh()
        for event in events[: 8 + count]:
            assert reader.get(event.event_id).payload == {"n": events.index(event)}
    Segment(2, events[8:15]).write(tmp_path)
    Segment(3, events[15:]).write(tmp_path)
    reader.refresh().refresh()
    assert [reader.get(event.event_id).payload["n"] for event in events] == list(range(20))
    assert sorted_rows == [8, 3, 1, 3, 5]


def test_ids_are_found_after_a_compaction_under_the_same_name(tmp_path: Path) -> None:
    """The first segment is another file then, with fewer rows or others: nothing is known of it."""
    events = [make_event(number) for number in range(9)]
    write_store(tmp_path, [Segment(1, events[:3]), Segment(2, events[3:6]), Segment(3, events[6:])])
    reader = bp.open_reader(tmp_path)
    reader.get(events[5].event_id)
    for name in ("000001.fbat", "000002.fbat"):
        (tmp_path / name).unlink()
    Segment(1, events[1:6], footer=False).write(tmp_path)
    reader.refresh()
    assert [reader.get(event.event_id).payload["n"] for event in events[1:]] == list(range(1, 9))
    with pytest.raises(bp.EventNotFoundError):
        reader.get(events[0].event_id)


@given(
    st.lists(st.binary(min_size=16, max_size=16) | st.integers(0, 40).map(lambda n: n.to_bytes(16, "big"))), st.data()
)
def test_index_grown_in_any_steps_finds_every_row_of_an_id(keys: list[bytes], data: st.DataObject) -> None:
    stored = np.frombuffer(b"".join(key[::-1] for key in keys), "V16")
    index, at = IdIndex(), 0
    while at < len(keys):
        size = data.draw(st.integers(1, len(keys) - at))
        index, at = index.extended([stored[at : at + size]]), at + size
    assert index.count == len(keys)
    for key in {*keys, bytes(16)}:
        found = index.candidates(key)
        assert sorted(row for row in found if keys[row] == key) == [row for row, one in enumerate(keys) if one == key]
        assert len(set(found)) == len(found)
    assert fold_ids(stored).tolist() == [fold_id(key) for key in keys]


def test_runs_stay_few_however_often_an_index_grows() -> None:
    index = IdIndex()
    for number in range(3000):
        index = index.extended([np.frombuffer(number.to_bytes(16, "little"), "V16")])
    assert len(index.runs) <= 8
    assert index.candidates((1234).to_bytes(16, "big")) == [1234]


def test_frame_is_read_as_without_the_kernel(fixture_stores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event of every fixture: encrypted, with extensions, with odd payloads."""
    for path in sorted(one for one in fixture_stores.iterdir() if one.is_dir()):
        reader = bp.open_reader(path)
        places = [reader._find(entry.event_id) for entry in reader.query()]
        quick = [read_event(place) for place in places if place]
        with monkeypatch.context() as without:
            without.setattr(kernels, "COMPILED", False)
            assert [read_event(place) for place in places if place] == quick


def test_counter_of_a_position_is_read(tmp_path: Path) -> None:
    """batpak writes 0, and the kernel passes over it."""
    event = make_event(0)
    event = dataclasses.replace(event, position=dataclasses.replace(event.position, counter=3))
    reader = bp.open_reader(write_store(tmp_path, [Segment(1, [event])]))
    assert reader.get(event.event_id).position.counter == 3


def test_every_fixture_answers_as_a_list_of_its_events(fixture_stores: Path) -> None:
    for path in sorted(one for one in fixture_stores.iterdir() if one.is_dir()):
        reader = bp.open_reader(path)
        entries = list(reader.query())
        for question in questions_about(entries, random.Random(path.name), 40):
            assert ours(reader, question) == by_list(entries, question), (path.name, question)


def test_a_reader_that_was_never_asked_sorts_nothing(tmp_path: Path) -> None:
    reader = bp.open_reader(write_store(tmp_path, three_segments()))
    reader.refresh()
    assert not {"ids", "ids-before"} & set(reader.view.cache)
    assert ids.find(reader.view, make_event(2).event_id) is not None
