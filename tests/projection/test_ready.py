"""The ready-made projections fold what they say, and state machines report what is not allowed."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.projection.ready import IllegalTransition, MachineState
from tests.projection.stores import Row, replay_of

ROWS: list[Row] = [
    ("a", 0x1001, {"cents": 5, "price": {"net": 1.5}, "tag": "x"}),
    ("b", 0x1002, {"cents": None, "tag": "y"}),
    ("a", 0x1001, {"cents": -2, "price": {"net": 2}, "tag": "x"}),
    ("b", 0x2001, [1, 2]),
]


def final(tmp_path: Path, projection: Any, **options: Any) -> Any:
    replay = replay_of(tmp_path / "s", projection, ROWS, **options)
    assert replay.check().pure
    return replay.final()


@pytest.mark.parametrize(
    ("projection", "expected"),
    [
        (bp.Count(), 4),
        (bp.Count(kinds=[0x1001]), 2),
        (bp.Count(by="tag"), {"x": 2, "y": 1, None: 1}),
        (bp.Count(by=lambda event: event.kind >> 12), {1: 3, 2: 1}),
        (bp.Sum("cents"), 3),
        (bp.Sum("price.net"), 3.5),
        (bp.Sum(("price", "net"), by="entity"), {"a": 3.5, "b": 0}),
        (bp.Sum(["cents", "price.net"]), {"cents": 3, "price.net": 3.5}),
        (bp.Sum(["cents"], by="scope"), {"test": {"cents": 3}}),
        (bp.Last(), {"cents": -2, "price": {"net": 2}, "tag": "x"}),
        (bp.Last("cents", by="entity"), {"a": {"cents": -2}, "b": {"cents": None}}),
        (bp.Last(["price.net", "no"]), {"price.net": 2}),
        (bp.GroupBy("entity", bp.Count(kinds=[0x1001])), {"a": 2}),
        (bp.GroupBy("kind", bp.GroupBy("entity", bp.Sum("cents", kinds=range(0x1001, 0x1003)))), {
            0x1001: {"a": 3}, 0x1002: {"b": 0},
        }),
    ],
)  # fmt: skip
def test_states_are_what_the_events_say(projection: Any, expected: Any, tmp_path: Path) -> None:
    assert final(tmp_path, projection) == expected


def test_a_sum_of_what_is_no_number_names_the_event(tmp_path: Path) -> None:
    with pytest.raises(bp.ProjectionError) as caught:
        replay_of(tmp_path / "s", bp.Sum("tag"), ROWS).final()
    assert caught.value.position == 1 and isinstance(caught.value.__cause__, TypeError)


STEPS = {("new", 0x1001): "paid", ("paid", 0x1002): "sent"}
ORDER: list[Row] = [("a", 0x1001, {}), ("a", 0x3001, {}), ("b", 0x1002, {}), ("a", 0x1002, {}), ("a", 0x1002, {})]


def test_a_machine_moves_only_along_its_transitions(tmp_path: Path) -> None:
    replay = replay_of(tmp_path / "s", bp.StateMachine("new", STEPS), ORDER, entity="a")
    assert [replay.state_at(position) for position in range(4)] == ["new", "paid", "paid", "sent"]
    with pytest.raises(bp.ProjectionError, match="leads nowhere") as caught:
        replay.final()
    cause = caught.value.__cause__
    assert isinstance(cause, bp.IllegalTransitionError) and (cause.state, cause.signal) == ("sent", 0x1002)
    assert (caught.value.position, caught.value.state) == (4, "sent")


def test_illegal_transitions_can_be_noted_with_their_events(tmp_path: Path) -> None:
    machine = bp.StateMachine("new", STEPS, by="entity", illegal="record")
    replay = replay_of(tmp_path / "s", machine, ORDER)
    state = replay.final()
    assert {name: one.state for name, one in state.items()} == {"a": "sent", "b": "new"}
    (fault,) = state["b"].illegal
    assert fault == IllegalTransition(2, replay.event(3).event_id, "b", "new", 0x1002)
    assert state["a"] == MachineState("sent", (IllegalTransition(4, replay.event(5).event_id, "a", "sent", 0x1002),))
    found = replay.first_where(lambda machines: any(one.illegal for one in machines.values()))
    assert found is not None and found.position == 3


def test_a_machine_may_go_by_a_field(tmp_path: Path) -> None:
    rows: list[Row] = [("a", 1 << 12, {"to": "on"}), ("a", 1 << 12, {"to": "off"}), ("a", 1 << 12, {"x": 1})]
    machine = bp.StateMachine(0, {(0, "on"): 1, (1, "off"): 0}, signal="to")
    assert replay_of(tmp_path / "s", machine, rows).trace(lambda state: state)["value"].tolist() == [0, 1, 0, 0]


def test_a_wrong_machine_or_group_is_refused_at_once() -> None:
    makes: list[Any] = [
        lambda: bp.StateMachine("a", {"b": "c"}),  # type: ignore[dict-item]
        lambda: bp.StateMachine("a", {}, illegal="ignore"),  # type: ignore[arg-type]
        lambda: bp.GroupBy(None, bp.Count()),
        lambda: bp.GroupBy("entity", 3),
    ]
    for make in makes:
        with pytest.raises(bp.ProjectionDeclarationError):
            make()


def test_typed_payloads_are_lifted_where_kinds_names_their_class(tmp_path: Path) -> None:
    from dataclasses import dataclass

    old, new = bp.PayloadRegistry(), bp.PayloadRegistry()

    @dataclass
    class Before:
        cents: int

    @dataclass
    class Now:
        euros: float

    old.event_payload(category=1, type_id=1)(Before)
    new.event_payload(category=1, type_id=1, version=2)(Now)
    new.upcast(Now, from_version=1)(lambda value: {"euros": value["cents"] / 100})
    with bp.Store.open(tmp_path / "s", config=bp.StoreConfig(payloads=old)) as store:
        store.append_typed("a", "s", Before(250))
        store.append("a", "s", 0x1002, {"cents": 1})
    with bp.Store.open(tmp_path / "s", config=bp.StoreConfig(payloads=new)) as store:
        store.append_typed("a", "s", Now(1.5))
        seen = bp.fold(lambda state, event: [*state, event.payload], initial=[], kinds=[Now, 0x1002], registry=new)
        assert store.replay(seen).final() == [Now(2.5), {"cents": 1}, Now(1.5)]
        broken = bp.fold(lambda state, event: event.payload, initial=None, kinds=[Before], registry=old)
        with pytest.raises(bp.ProjectionError) as caught:
            store.replay(broken).final()
        assert isinstance(caught.value.__cause__, bp.PayloadVersionError)
        decoding = bp.fold(lambda state, event: event.decode(Now, new), initial=None, kinds=[0x1001])
        assert store.replay(decoding).final() == Now(1.5)


@pytest.mark.parametrize("name", ["protocol", "ready", "replay", "vectorised"])
def test_examples_give_what_they_show(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"batpak_analytics.projection.{name}"))
    assert found.attempted and not found.failed
