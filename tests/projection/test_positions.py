"""Positions, sequences, ids and moments: which state is meant by which address."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from tests.engine.building import EPOCH_US
from tests.projection.stores import PAID, Balance, made_store, paid, replay_of

COUNT = bp.Count()


@pytest.fixture
def replay(tmp_path: Path) -> bp.Replay:
    """Sequences 0 to 4, of which 1 and 3 are folded."""
    rows = [paid("b", 1), paid("a", 2), paid("b", 3), paid("a", 4), paid("a:b", 5)]
    return replay_of(tmp_path / "s", Balance(), rows, entity="a")


def test_an_entity_is_matched_exactly_not_its_namespace(replay: bp.Replay) -> None:
    assert len(replay) == 2
    assert replay.final()["by"] == {"a": 6}


@pytest.mark.parametrize("position", [-1, 3, 10**30])
def test_a_position_outside_is_refused_with_the_range(replay: bp.Replay, position: int) -> None:
    for ask in (replay.state_at, replay.event, lambda at: replay.diff(0, at), lambda at: replay.trace(len, stop=at)):
        with pytest.raises(IndexError, match="from 0"):
            ask(position)


def test_a_position_must_be_a_whole_number(replay: bp.Replay) -> None:
    with pytest.raises(TypeError):
        replay.state_at(1.0)  # type: ignore[arg-type]
    with pytest.raises(IndexError, match="before any event"):
        replay.event(0)


def test_a_sequence_means_everything_up_to_it(replay: bp.Replay) -> None:
    assert [replay.position_at_sequence(number) for number in range(6)] == [0, 1, 1, 2, 2, 2]
    assert replay.position_at_sequence((1 << 64) - 1) == replay.position_at_sequence(10**30) == 2
    assert replay.at_sequence(2)["total"] == 2
    with pytest.raises(ValueError, match="from 0"):
        replay.at_sequence(-1)


def test_an_id_in_any_form_means_the_state_after_its_event(replay: bp.Replay) -> None:
    name = replay.event(2).event_id
    for form in (name, name.hex(), uuid.UUID(bytes=name), int.from_bytes(name, "big")):
        assert replay.at(form)["total"] == 6
        assert replay.position_of(form) == 2
    with pytest.raises(bp.EventNotFoundError, match="of this replay"):
        replay.at(bytes(16))
    with pytest.raises(ValueError, match="not an event id"):
        replay.at("abc")


def test_the_past_can_be_fixed_by_sequence_id_and_time(tmp_path: Path) -> None:
    reader = bp.open_reader(made_store(tmp_path / "s", [paid("a", 1)] * 5))
    assert reader.replay(COUNT, as_of=2).final() == 3
    assert reader.replay(COUNT, as_of=reader.query()[1].event_id).final() == 2
    assert reader.replay(COUNT, as_of=datetime.fromtimestamp(EPOCH_US / 1e6 - 1, UTC)).final() == 0
    assert reader.replay(COUNT, as_of=datetime.fromtimestamp(EPOCH_US / 1e6 + 0.0025, UTC)).final() == 3


@pytest.fixture
def batched(tmp_path: Path) -> Any:
    """A single event, a batch of three, another one, and a batch of two; then a close, so that footers tell."""
    with bp.Store.open(tmp_path / "s") as store:

        def item(entity: str) -> bp.BatchItem:
            return bp.BatchItem(entity, "s", PAID, {"cents": 1})

        store.append("a", "s", PAID, {"cents": 1})
        store.append_batch([item("a"), item("b"), item("a")])
        store.append("a", "s", PAID, {"cents": 1})
        store.append_batch([item("a"), item("a")])
    return tmp_path / "s"


def test_a_sequence_inside_a_batch_is_the_moment_before_it(batched: Path) -> None:
    replay = bp.open_reader(batched).replay(Balance())
    first = int(replay.event(1).global_sequence)
    got = [replay.position_at_sequence(first + at) for at in range(-1, 8)]
    assert got == [0, 1, 1, 1, 4, 5, 5, 7, 7]
    only = bp.open_reader(batched).replay(Balance(), entity="a")
    assert [only.position_at_sequence(first + at) for at in range(7)] == [1, 1, 1, 3, 4, 4, 6]


def test_as_of_cuts_no_batch_in_two(batched: Path) -> None:
    reader = bp.open_reader(batched)
    first = int(reader.replay(Balance()).event(1).global_sequence)
    got = [len(reader.replay(Balance(), as_of=first + at)) for at in range(7)]
    assert got == [1, 1, 1, 4, 5, 5, 7]


def test_a_batch_that_is_the_first_thing_in_a_store_has_nothing_before_it(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path / "s") as store:
        store.append_batch([bp.BatchItem("a", "s", PAID, {"cents": 1}) for _ in range(3)])
        replay = store.replay(Balance())
        first = replay.event(1).global_sequence
        assert [replay.position_at_sequence(first + at) for at in range(3)] == [0, 0, 3]


def test_batches_of_the_reference_are_moments_too(fixture_stores: Path) -> None:
    reader = bp.open_reader(fixture_stores / "segments")
    replay = reader.replay(COUNT)
    moments = {replay.position_at_sequence(number) for number in range(int(reader.view.last_sequence or 0) + 1)}
    assert 1 < len(moments) <= len(replay) + 1


def test_the_stores_own_events_are_folded_where_they_are_meant(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path / "s") as store:
        store.append("a", "s", PAID, {"cents": 1})
    reader = bp.open_reader(tmp_path / "s")
    assert reader.replay(COUNT).final() == 1
    everything = reader.replay(COUNT, system=True)
    assert everything.final() == len(reader.query()) > 1
    kind = everything.event(1).kind
    assert reader.replay(bp.Count(kinds=kind)).final() >= 1
    assert reader.replay(COUNT, entity=everything.event(1).entity).final() == everything.final() - 1


def test_filters_choose_what_is_folded(tmp_path: Path) -> None:
    reader = bp.open_reader(made_store(tmp_path / "s", [paid("a", cents) for cents in range(6)]))
    assert reader.replay(Balance(), filters=[("payload.cents", ">", 3)]).final()["total"] == 9


def test_two_entities_that_contradict_are_refused(tmp_path: Path) -> None:
    reader = bp.open_reader(made_store(tmp_path / "s", [paid("a", 1)]))
    with pytest.raises(ValueError, match="Give one of them"):
        reader.replay(bp.Count(entity="a"), entity="b")
    assert reader.replay(bp.Count(entity="a"), entity="a").final() == 1
    with pytest.raises(TypeError, match="one entity"):
        reader.replay(bp.Count(), entity=["a"])
    with pytest.raises(ValueError, match="memory"):
        reader.replay(bp.Count(), memory=-1)
