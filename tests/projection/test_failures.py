"""A projection that fails names the event, and everything before it can still be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from tests.projection.stores import Balance, paid, replay_of

ROWS = [paid("a", 1), paid("b", 2), ("c", 0x1001, {"price": 3}), paid("a", 4)]


def halfway(state: dict[str, int], event: Any) -> dict[str, int]:
    """Changes the state before it fails."""
    state["seen"] += 1
    state["total"] += event.payload["cents"]
    return state


FAILING = bp.fold(halfway, initial={"seen": 0, "total": 0})


@pytest.fixture
def replay(tmp_path: Path) -> bp.Replay:
    return replay_of(tmp_path / "s", FAILING, ROWS)


def test_the_error_names_the_event_and_keeps_the_last_good_state(replay: bp.Replay) -> None:
    with pytest.raises(bp.ProjectionError, match=r"failed at event [0-9a-f]{32} \(position 3, sequence 2") as caught:
        replay.final()
    error = caught.value
    assert (error.position, error.global_sequence, error.entity, error.kind) == (3, 2, "c", 0x1001)
    assert error.event_id == replay.event(3).event_id
    assert error.state == {"seen": 2, "total": 3}
    assert isinstance(error.__cause__, KeyError)


def test_everything_before_the_failure_stays_askable(replay: bp.Replay) -> None:
    for _ in range(2):
        for ask in (
            replay.final,
            lambda: replay.state_at(3),
            lambda: replay.trace(len),
            lambda: replay.changes("total"),
        ):
            with pytest.raises(bp.ProjectionError) as caught:
                ask()
            assert caught.value.position == 3
        assert replay.state_at(2) == {"seen": 2, "total": 3}
        assert replay.trace(lambda state: state["total"], stop=2)["value"].tolist() == [0, 1, 3]
        found = replay.first_where(lambda state: state["total"] > 1)
        assert found is not None and found.position == 2
        assert replay.diff(0, 2)[0].new == 2


def test_none_from_a_function_that_forgot_to_return_names_the_event(tmp_path: Path) -> None:
    forgetful = bp.fold(lambda state, event: state.append(event.payload), initial=list)
    replay = replay_of(tmp_path / "s", forgetful, ROWS)
    with pytest.raises(bp.ProjectionError, match="Return the new state") as caught:
        replay.final()
    assert caught.value.position == 1 and caught.value.state == []


def test_an_error_in_a_question_stays_its_own(replay: bp.Replay) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        replay.trace(lambda state: 1 // (state["seen"] - 2))
    assert "position 2" in caught.value.__notes__[0]
    with pytest.raises(KeyError):
        replay.first_where(lambda state: state["nothing"])


def test_a_payload_that_cannot_be_had_fails_only_who_asks_for_it(tmp_path: Path) -> None:
    rows = [paid("a", 1), ("a", 0x1001, b"\xc1"), paid("a", 2)]
    assert replay_of(tmp_path / "s", bp.Count(), rows).final() == 3
    replay = replay_of(tmp_path / "t", Balance(), rows)
    with pytest.raises(bp.ProjectionError) as caught:
        replay.final()
    assert isinstance(caught.value.__cause__, bp.PayloadUndecodableError)
    assert replay.event(2).raw == b"\xc1"
    assert replay.state_at(1)["total"] == 1


def test_sealed_events_are_counted_and_shredded_ones_left_out(fixture_stores: Path) -> None:
    reader = bp.open_reader(fixture_stores / "encrypted")
    seen = reader.events(columns=["disposition"], payload=None).to_arrow()["disposition"].to_pylist()
    replay = reader.replay(bp.Count())
    assert replay.shredded == seen.count("shredded") > 0
    assert replay.final() == len(seen) - replay.shredded
    assert f"{replay.shredded} events whose payload was shredded" in repr(replay)
    assert replay.events(columns=["disposition"]).to_pandas()["disposition"].tolist().count("shredded") == 0
    with pytest.raises(bp.ProjectionError) as caught:
        reader.replay(bp.Last()).final()
    assert isinstance(caught.value.__cause__, bp.PayloadEncryptedError)


def test_a_damaged_frame_fails_only_who_asks_for_its_payload(tmp_path: Path) -> None:
    from tests.projection.stores import made_store

    store = made_store(tmp_path / "s", [paid("a", 1), paid("a", 2), paid("a", 3)])
    (path,) = store.glob("*.fbat")
    data = bytearray(path.read_bytes())
    place = bp.open_reader(store).query()[1]
    data[place.offset + place.length - 3] ^= 0xFF
    path.write_bytes(data)
    reader = bp.open_reader(store)
    assert reader.replay(bp.Count()).final() == 3
    with pytest.raises(bp.ProjectionError) as caught:
        reader.replay(Balance()).final()
    assert caught.value.position == 2 and isinstance(caught.value.__cause__, bp.CorruptFrameError)


def test_a_state_that_cannot_be_copied_says_so(tmp_path: Path) -> None:
    generators = bp.fold(lambda state, event: (x for x in "ab"), initial=None)
    replay = replay_of(tmp_path / "s", generators, [paid("a", 1)] * 40)
    with pytest.raises(bp.ProjectionError, match="neither pickled nor deep-copied"):
        replay.trace(lambda state: state)


def test_an_apply_that_fails_by_chance_does_not_loop(tmp_path: Path) -> None:
    calls = iter(range(100))

    def moody(state: int, event: Any) -> int:
        if next(calls) >= 1:
            raise OSError("not today")
        return state + 1

    replay = replay_of(tmp_path / "s", bp.fold(moody, initial=0), ROWS)
    with pytest.raises(bp.ProjectionError) as caught:
        replay.final()
    assert caught.value.state is None
