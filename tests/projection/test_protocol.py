"""What counts as a projection, and how its parts come to one form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.projection.protocol import fold_of


class Counting:
    """The least a projection has."""

    def initial(self) -> int:
        return 0

    def apply(self, state: int, event: Any) -> int:
        return state + 1


def test_two_methods_are_enough_and_the_rest_has_defaults() -> None:
    fold = fold_of(Counting())
    assert (fold.kinds, fold.entity, fold.version, dict(fold.types)) == (None, None, 0, {})
    assert fold.name == f"{__name__}.Counting"
    assert isinstance(Counting(), bp.Projection)


def test_a_function_becomes_a_projection_under_its_own_name() -> None:
    @bp.fold(initial=dict, kinds=0xF001, entity="player:1", version=3)
    def last(state: dict[str, int], event: Any) -> dict[str, int]:
        return {**state, event.entity: event.global_sequence}

    fold = fold_of(last)
    assert (fold.kinds, fold.entity, fold.version) == (frozenset({0xF001}), "player:1", 3)
    assert fold.name.endswith("last")
    assert last.initial() == {}
    assert last.initial() is not last.initial()


def test_an_initial_value_is_not_shared_between_folds() -> None:
    made: Any = bp.fold(lambda state, event: state, initial={"seen": []})
    made.initial()["seen"].append(1)
    assert made.initial() == {"seen": []}


def test_kinds_may_be_numbers_categories_and_registered_classes() -> None:
    registry = bp.PayloadRegistry()

    @registry.event_payload(category=0x1, type_id=2)
    @dataclass
    class Paid:
        cents: int

    def made(kinds: Any) -> Any:
        return fold_of(bp.fold(lambda state, event: state, initial=0, kinds=kinds, registry=registry))

    assert made([Paid, 0x2001]).kinds == {0x1002, 0x2001}
    assert made([Paid, 0x2001]).types == {0x1002: Paid}
    assert made(Paid).kinds == {0x1002}
    assert made(bp.EventKind(7)).kinds == {7}
    assert len(made(bp.category(0xF)).kinds) == 4096
    assert made(()).kinds is None


@pytest.mark.parametrize(
    "wrong",
    [
        Counting,
        len,
        object(),
        None,
    ],
)
def test_what_is_no_projection_is_refused_with_what_to_give(wrong: Any) -> None:
    with pytest.raises(bp.ProjectionDeclarationError):
        fold_of(wrong)


@pytest.mark.parametrize(
    "options",
    [
        {"kinds": "0x1001"},
        {"kinds": [1.5]},
        {"kinds": [True]},
        {"kinds": [0x10000]},
        {"kinds": 5.0},
        {"entity": 7},
        {"version": -1},
        {"version": True},
        {"version": "1"},
        {"reads": [1]},
        {"reads": 3},
    ],
)
def test_a_wrong_attribute_is_refused_when_the_projection_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(bp.ProjectionDeclarationError):
        bp.fold(lambda state, event: state, initial=0, **options)


def test_a_projection_may_say_what_it_reads() -> None:
    assert fold_of(Counting()).reads is None
    assert fold_of(bp.fold(lambda state, event: state, initial=0, reads=["a", "b", "a"])).reads == ("a", "b")
    assert fold_of(bp.fold(lambda state, event: state, initial=0, reads="a")).reads == ("a",)
    assert fold_of(bp.Count()).reads == ()
    assert fold_of(bp.Count(by="tag.name")).reads == ("tag",)
    assert fold_of(bp.Count(by=lambda event: 0)).reads is None
    assert fold_of(bp.Sum(["a.b", "c"], by="entity")).reads == ("a", "c")
    assert fold_of(bp.Last()).reads is None
    assert fold_of(bp.GroupBy("kind", bp.Sum("a"))).reads is None


def test_none_from_a_function_that_changed_the_state_says_so() -> None:
    fold = fold_of(bp.fold(lambda state, event: state.append(event), initial=list))
    with pytest.raises(bp.ProjectionError, match="Return the new state"):
        fold.step([], object())


def test_none_stays_none_where_the_state_may_be_none() -> None:
    fold = fold_of(bp.fold(lambda state, event: event, initial=None))
    assert fold.step(None, None) is None
    assert fold.step(None, 1) == 1
