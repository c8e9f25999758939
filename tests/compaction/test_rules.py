"""Rules of what to keep: they say what they say, are written down without loss, and combine as logic does."""

from __future__ import annotations

import shutil
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.compaction import rules
from batpak_analytics.compaction.judge import judging_of, sealed_rows
from batpak_analytics.compaction.rows import EventRows
from batpak_analytics.compaction.rules import Rule, rule_from_json, rule_text
from batpak_analytics.compaction.sources import eligible
from tests.compaction import brute_force
from tests.compaction.stores import ENTITIES, KINDS, rows_of, write_random
from tests.conftest import FIXTURES

keep = bp.keep
START = 1_700_000_000_000

values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary(), st.uuids(),
    st.datetimes(timezones=st.just(UTC)), st.dates(), st.decimals(allow_nan=False, allow_infinity=False),
    st.timedeltas(),
)  # fmt: skip
numbers = st.one_of(st.integers(START, START + 7_200_000), st.integers(-(10**6), 10**14))
index_rules = st.one_of(
    st.lists(st.sampled_from([*KINDS, bp.category(1), bp.category(0xF), 0x7777])).map(lambda some: keep.kinds(*some)),
    st.lists(st.sampled_from([*ENTITIES, "order", "nobody"])).map(lambda some: keep.entities(*some)),
    st.integers(0, 8).map(keep.last_n_per_entity),
    st.integers(0, 200).map(keep.newer_than),
    st.builds(timedelta, milliseconds=st.integers(0, 8_000_000)).map(keep.newer_than),
    st.builds(rules.NewerThan, wall_ms=numbers),
    st.builds(lambda age, of: rules.NewerThan(age_ms=age, of_ms=of), st.integers(0, 10**7), numbers),
    st.just(keep.chain_heads()),
)
all_rules = st.recursive(
    index_rules,
    lambda some: st.one_of(
        st.lists(some, max_size=3).map(lambda parts: keep.all_of(*parts)),
        st.lists(some, max_size=3).map(lambda parts: keep.any_of(*parts)),
        some.map(keep.not_),
        some.map(keep.whole_correlations),
        some.map(keep.with_causes),
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module", params=[1, 2])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bp.Reader:
    return bp.open_reader(write_random(tmp_path_factory.mktemp("store") / "s", request.param))


@pytest.fixture(scope="module", params=[1, 2, "retention", "hidden"])
def any_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bp.Reader:
    """Written here, and by the reference: one of those was compacted, and its numbers do not ascend in the files."""
    if isinstance(request.param, str):
        return bp.open_reader(FIXTURES / request.param)
    return bp.open_reader(write_random(tmp_path_factory.mktemp("store") / "s", request.param))


@settings(deadline=None, max_examples=40)
@given(rule=all_rules)
def test_a_rule_keeps_what_reading_it_event_by_event_keeps(any_store: bp.Reader, rule: Rule) -> None:
    rows, view = rows_of(any_store), any_store.view
    events = EventRows.of(view)
    kept = judging_of(events, sealed_rows(events, eligible(view)), system=False).kept(rule).tolist()
    assert kept == brute_force.stay(brute_force.keeps(rule, rows), rows)


@given(rule=all_rules)
def test_no_rule_is_lost_or_changed_by_writing_it_down(rule: Rule) -> None:
    import json

    again = rule_from_json(json.loads(rule_text(rule)))
    assert again == rule
    assert hash(again) == hash(rule)
    assert rule_text(again) == rule_text(rule)
    assert rule.is_portable


@given(groups=st.lists(st.lists(st.tuples(st.text(), st.text(), values), max_size=2), max_size=3))
def test_no_value_of_a_filter_is_lost_or_changed_by_writing_it_down(groups: list[Any]) -> None:
    import json

    rule = rules.Where(tuple(tuple(group) for group in groups))
    again = rule_from_json(json.loads(rule_text(rule)))
    assert again == rule


def test_values_keep_their_types_in_a_plan() -> None:
    given = [
        datetime(2026, 3, 1, tzinfo=UTC),
        date(2026, 3, 1),
        uuid.UUID(int=7),
        Decimal("1.50"),
        b"\x01",
        float("inf"),
    ]
    for value in given:
        rule = rules.Where(((("payload.x", "=", value),),))
        (((_, _, again),),) = rule_from_json(rule.to_json()).groups  # type: ignore[attr-defined]
        assert type(again) is type(value)
        assert again == value


@pytest.mark.parametrize(
    "form",
    [
        None, 7, [], {}, {"rule": "nothing"}, {"rule": "kinds"}, {"rule": "kinds", "kinds": [70000], "categories": []},
        {"rule": "last_n_per_entity", "count": -1}, {"rule": "last_n_per_entity", "count": True},
        {"rule": "all_of", "rules": [7]}, {"rule": "function", "text": "x"}, {"rule": "kinds", "kinds": [], "more": 1},
        {"rule": "newer_than", "wall_ms": 1, "sequence": 2, "age_ms": None, "of_ms": None},
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_and_not_guessed(form: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        rule_from_json(form)


words = st.sampled_from([*rules.PORTABLE, "function", "x"])
names = st.sampled_from(
    ["rule", "of", "rules", "groups", "kinds", "categories", "count", "names", "wall_ms", "decimal"]
)
forms = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | words,
    lambda some: (
        st.lists(some, max_size=3)
        | st.dictionaries(names, some, max_size=3)
        | st.builds(lambda word, of: {"rule": word, "of": of}, words, some)
        | st.builds(lambda word, of: {"rule": word, "rules": of}, words, st.lists(some, max_size=2))
        | some.map(lambda one: {"rule": "where", "groups": [[["kind", "=", one]]]})
        | some.map(lambda one: {"decimal": one})
    ),
    max_leaves=8,
)


@given(form=forms)
def test_any_form_is_a_rule_or_an_error_that_says_so(form: Any) -> None:
    try:
        rule = rule_from_json(form)
    except (ValueError, TypeError):
        return
    assert rule_from_json(rule.to_json()) == rule


def test_a_rule_says_what_it_does() -> None:
    rule = keep.kinds(0x1001) & ~keep.entities("order") | keep.last_n_per_entity(2)
    assert repr(rule) == (
        "keep.any_of(keep.all_of(keep.kinds(0x1001), keep.not_(keep.entities('order'))), keep.last_n_per_entity(2))"
    )


def test_an_age_is_exact_and_has_no_zone_to_guess() -> None:
    assert keep.newer_than(timedelta(microseconds=1)) == rules.NewerThan(age_ms=1)
    assert keep.newer_than("2023-11-14T22:13:20.0009Z") == rules.NewerThan(wall_ms=START)
    assert keep.newer_than(timedelta(days=1), of="2023-11-14T22:13:20Z") == rules.NewerThan(
        age_ms=86_400_000, of_ms=START
    )
    with pytest.raises(ValueError, match="time zone"):
        keep.newer_than(datetime(2026, 1, 1))
    with pytest.raises(TypeError, match="with a timedelta"):
        keep.newer_than(7, of="2026-01-01T00:00:00Z")
    with pytest.raises(ValueError, match="not negative"):
        keep.newer_than(timedelta(days=-1))


@pytest.mark.parametrize("given", [None, 7, "order:1", object()])
def test_what_keeps_nothing_is_no_rule(given: Any) -> None:
    with pytest.raises(TypeError, match="give a rule of"):
        keep.as_rule(given)


def test_two_expressions_are_equal_when_they_say_the_same() -> None:
    one, other = (keep.where(pc.field("kind") == number) for number in (1, 2))
    assert one != other
    assert one == keep.where(pc.field("kind") == 1)


def test_a_filter_a_function_and_an_expression_keep_the_same(written: bp.Reader) -> None:
    """Hidden events are judged as well, and those of the active segment are not asked for."""
    filters = [[("payload.n", ">", 1), ("kind", "in", [0x1001, 0xF001])], [("entity", "=", "user:7")]]
    expression = ((pc.field("payload.n") > 1) & pc.field("kind").isin([0x1001, 0xF001])) | (
        pc.field("entity") == "user:7"
    )

    def function(event: bp.Event) -> bool:
        return (event.payload["n"] > 1 and event.kind in (0x1001, 0xF001)) or event.entity == "user:7"

    plans = [written.plan_compaction("retention", given) for given in (filters, expression, function)]
    assert len({plan.sources for plan in plans}) == 1
    assert 0 < plans[0].numbers.events_dropped < plans[0].numbers.events_kept + plans[0].numbers.events_dropped
    assert plans[0].events()["hidden"].any()


def test_a_sealed_payload_is_never_taken_for_one_that_fails_the_rule(fixture_stores: Path, tmp_path: Path) -> None:
    store = shutil.copytree(fixture_stores / "encrypted", tmp_path / "store")
    for _ in range(2):  # the second open ends the segment of the first
        with bp.Store.open(store, config=bp.StoreConfig(allow_plaintext=True)) as writer:
            plain = [writer.append("plain:1", "shop", 0x1001, {"n": n}).event_id.hex() for n in range(3)]
    reader = bp.open_reader(store)
    sealed = reader.events(filters=[("disposition", "!=", "present")], columns=["event_id"]).to_pandas()["event_id"]
    assert len(sealed) > 50
    asked: list[str] = []
    for rule in (
        lambda event: asked.append(event.event_id.hex()),
        keep.where([("payload.n", "=", -1)]),
        keep.not_(keep.where([("payload.n", "!=", -1)])),
        [("payload.n", "=", -1)],
    ):
        plan = reader.plan_compaction("retention", rule)
        assert plan.numbers.events_dropped == 3
        assert not set(plan.events()["event_id"]) & {*sealed, *plain}
        told = plan.findings()
        assert set(told[told["rule"] == "kept-unjudged"]["event_id"]) <= set(sealed)
        assert len(told) > 50
    assert not set(asked) & set(sealed)


def test_a_field_that_only_untouched_events_have_is_no_unknown_column(tmp_path: Path) -> None:
    for payload in ({"a": 1}, {"a": 2}, {"b": 1}):
        with bp.Store.open(tmp_path / "s") as store:
            store.append("order:1", "shop", 0x1001, payload)
    reader = bp.open_reader(tmp_path / "s")
    assert reader.plan_compaction("retention", [("payload.b", "=", 1)]).numbers.events_dropped == 2
    with pytest.raises(bp.UnknownColumnError):
        reader.plan_compaction("retention", [("payload.c", "=", 1)])


def test_an_index_rule_judges_sealed_events_as_any_other(fixture_stores: Path) -> None:
    plan = bp.open_reader(fixture_stores / "encrypted").plan_compaction("retention", [("entity", "!=", "order:2")])
    assert plan.numbers.events_dropped == 5


def test_a_function_that_fails_names_the_event(written: bp.Reader) -> None:
    with pytest.raises(ZeroDivisionError) as failure:
        written.plan_compaction("retention", lambda event: 1 / 0)
    assert "keep= failed for event" in failure.value.__notes__[0]
