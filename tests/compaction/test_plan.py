"""A plan is data: it says what it is for, fits nothing else, and survives being written down."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.compaction import plan_file
from batpak_analytics.compaction.output import layout_of
from batpak_analytics.compaction.plan import CompactionPlan, PlanSource, PlanSummary, Strategy
from batpak_analytics.compaction.ranges import Ranges
from batpak_analytics.format.sidecars import visibility
from batpak_analytics.format.sidecars.visibility import HiddenRanges
from tests.compaction.stores import write_random
from tests.engine.building import EPOCH_US, Segment, begin, commit, make_event, three_segments, write_store

keep = bp.keep


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("kept") / "store", 3)


@pytest.fixture
def store(kept: Path, tmp_path: Path) -> Path:
    return shutil.copytree(kept, tmp_path / "store")


@pytest.fixture
def plan(store: Path) -> CompactionPlan:
    return bp.open_reader(store).plan_compaction("retention", keep.last_n_per_entity(4))


def contents(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_planning_writes_nothing_and_leaves_no_lock(store: Path) -> None:
    before = contents(store)
    reader = bp.open_reader(store)
    asked: list[tuple[Strategy, Any]] = [("merge", None), ("retention", keep.kinds()), ("tombstone", lambda _: False)]
    for strategy, rule in asked:
        plan = reader.plan_compaction(strategy, rule)
        plan.findings(), plan.events(), plan.entities(), plan.segments(), plan.suggestions()
    assert contents(store) == before


def test_the_store_plans_as_a_reader_does_and_knows_the_keys_of_its_session(store: Path) -> None:
    config = bp.StoreConfig(segment_max_bytes=1000)
    with bp.Store.open(store, config=config) as writer:
        writer.append("keyed", "shop", 0x1001, {"n": 1}, idempotency_key=7)
        for n in range(8):
            writer.append("other", "shop", 0x1001, {"n": n})
        rule = keep.not_(keep.entities("keyed"))
        mine, theirs = (one.plan_compaction("retention", rule) for one in (writer, writer.reader()))
        assert mine.sources == theirs.sources
        assert mine.numbers.events_dropped == 1
        assert (mine.numbers.idempotency_keys_kept, theirs.numbers.idempotency_keys_kept) == (1, 0)


def test_too_few_segments_are_skipped_with_nothing_but_zeros(quickstart: Path, store: Path) -> None:
    plan = bp.open_reader(quickstart).plan_compaction()
    assert (plan.outcome, plan.target_id, plan.sources, plan.applicable) == ("skipped", None, (), False)
    assert plan.summary() == PlanSummary()
    reader = bp.open_reader(store)
    sealed = len(reader.view.segments) - 1
    assert reader.plan_compaction(min_segments=sealed).outcome == "ready"
    assert reader.plan_compaction(min_segments=sealed + 1).outcome == "skipped"
    with pytest.raises(bp.CompactionPlanError, match="has no output"):
        layout_of(plan, reader.view)


def test_the_crash_of_the_reference_at_no_segment_and_no_threshold_cannot_happen(tmp_path: Path) -> None:
    """Trap T-21."""
    bp.Store.open(tmp_path / "s").close()
    reader = bp.open_reader(tmp_path / "s")
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="from 1 on"):
            reader.plan_compaction(min_segments=wrong)
    assert reader.plan_compaction(min_segments=1).outcome == "skipped"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "erase"}, "one of merge, retention, tombstone"),
        ({"keep": keep.kinds(1)}, "A merge keeps every event"),
        ({"strategy": "retention"}, "needs keep="),
        ({"strategy": "tombstone"}, "needs keep="),
        ({"sample": 0}, "share of the events"),
        ({"sample": 1.5}, "share of the events"),
        ({"min_segments": True}, "from 1 on"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_read(store: Path, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bp.open_reader(store).plan_compaction(**options)


def test_later_segments_do_not_outgrow_a_plan(store: Path, plan: CompactionPlan) -> None:
    with bp.Store.open(store) as writer:
        writer.append("order:1", "shop", 0x1001, {"n": 1})
    assert plan.changes(bp.open_reader(store)) == ()
    assert plan.on(bp.open_reader(store)) == plan


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path: path.unlink(), "is gone"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "bytes and has"),
        (lambda path: path.write_bytes(path.read_bytes()[:20] + b"\x55" + path.read_bytes()[21:]), "has other bytes"),
        (lambda path: path.rename(path.with_name("2.fbat")), "was 000002.fbat and is 2.fbat"),
        (lambda path: shutil.copy(path, path.with_name("2.fbat")), "was 000002.fbat and is"),
    ],
    ids=["gone", "longer", "changed", "renamed", "twice"],
)
def test_changed_sources_outgrow_a_plan_and_are_named(
    store: Path, plan: CompactionPlan, change: Any, told: str
) -> None:
    change(store / "000002.fbat")
    reader = bp.open_reader(store)
    (found,) = plan.changes(reader)
    assert told in found
    with pytest.raises(bp.PlanOutgrownError, match=r"Plan again with plan_compaction") as failure:
        plan.on(reader)
    assert failure.value.changes == (found,)


def test_a_plan_is_not_for_the_segment_that_became_the_active_one(store: Path, plan: CompactionPlan) -> None:
    highest = max(store.glob("*.fbat"))
    highest.unlink()
    for name in ("index.fbati", "index.ckpt"):
        (store / name).unlink(missing_ok=True)
    assert "is the highest segment now" in plan.changes(bp.open_reader(store))[-1]


def test_a_plan_for_another_strategy_or_rule_is_another_plan(store: Path, plan: CompactionPlan) -> None:
    reader = bp.open_reader(store)
    again = reader.plan_compaction("retention", keep.last_n_per_entity(4))
    assert (again, again.digest, hash(again)) == (plan, plan.digest, hash(plan))
    others = [
        reader.plan_compaction("tombstone", keep.last_n_per_entity(4)),
        reader.plan_compaction("retention", keep.last_n_per_entity(5)),
        reader.plan_compaction("retention", keep.last_n_per_entity(4), system=True),
        reader.plan_compaction("retention", keep.last_n_per_entity(4), min_segments=1),
        reader.plan_compaction("retention", keep.last_n_per_entity(4) | keep.kinds()),
    ]
    assert len({plan.digest, *(one.digest for one in others)}) == 6
    assert plan not in others
    assert len(plan.digest) == 32


def test_a_plan_survives_being_written_down(tmp_path: Path, store: Path) -> None:
    reader = bp.open_reader(store)
    asked: list[tuple[Strategy, Any]] = [
        ("merge", None),
        ("retention", keep.last_n_per_entity(2) | keep.where([("payload.n", ">", 2)])),
        ("tombstone", lambda event: event.kind == 0x1001),
    ]
    for strategy, rule in asked:
        plan = reader.plan_compaction(strategy, rule)
        again = CompactionPlan.load(plan.save(tmp_path / "plan.json"))
        assert (again, again.digest) == (plan, plan.digest)
        assert again.summary() == plan.summary()
        assert again.rule == (None if callable(rule) else rule)
        with pytest.raises(bp.CompactionPlanError, match=r"plan\.on\(reader\)"):
            again.events()
        held = again.on(reader)
        pd.testing.assert_frame_equal(held.events(), plan.events())
        pd.testing.assert_frame_equal(held.segments(), plan.segments())
        assert b"".join(layout_of(held, reader.view).pieces(1 << 60)) == b"".join(
            layout_of(plan, reader.view).pieces(1 << 60)
        )


def test_a_plan_made_by_a_function_names_the_events_it_chose(store: Path, tmp_path: Path) -> None:
    plan = bp.open_reader(store).plan_compaction("retention", lambda event: event.entity != "order:1")
    assert plan.ids is not None
    by_commit = sorted(plan.events()["event_id"])
    assert sorted(plan.ids[at : at + 16].hex() for at in range(0, len(plan.ids), 16)) == by_commit
    written = json.loads(plan.save(tmp_path / "plan.json").read_text())["plan"]
    assert sorted(written["ids"]) == by_commit
    assert written["keep"]["rule"] == "function"
    loaded = CompactionPlan.load(tmp_path / "plan.json").on(bp.open_reader(store))
    with pytest.raises(bp.CompactionPlanError, match="no file holds its rule"):
        loaded.suggestions()


def test_no_damage_to_a_plan_file_is_taken_for_a_plan(plan: CompactionPlan, tmp_path: Path) -> None:
    path = plan.save(tmp_path / "plan.json")
    data = path.read_bytes()
    dice = np.random.default_rng(5)
    for at in [*range(0, 200), *dice.integers(0, len(data), 300).tolist()]:
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(dice.integers(0, 7))
        path.write_bytes(bytes(damaged))
        try:
            again = CompactionPlan.load(path)
        except bp.CompactionPlanError as error:
            assert str(path) in str(error)
        else:  # another space between two words of JSON
            assert again == plan
    for size in range(0, len(data) - 2, 97):
        path.write_bytes(data[:size])
        with pytest.raises(bp.CompactionPlanError):
            CompactionPlan.load(path)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format": "batpak-compaction-plan"}', "[" * 100_000])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(bp.CompactionPlanError):
        plan_file.parse(text)


def test_a_newer_plan_is_refused_by_its_version(plan: CompactionPlan) -> None:
    text = plan_file.text_of(plan).replace('"version": 1', '"version": 2')
    with pytest.raises(bp.CompactionPlanError, match="Update batpak-analytics"):
        plan_file.parse(text)


@pytest.mark.parametrize(
    "change",
    [
        {"strategy": "erase"}, {"outcome": "done"}, {"sources": 7}, {"min_segments": -1}, {"min_segments": True},
        {"ids": ["00"]}, {"system": 1}, {"summary": {"no": 1}}, {"summary": {"events_kept": "many"}}, {"refusals": [7]},
        {"keep": {"rule": "nothing"}}, {"sampled": "x"}, {"sampled": 2},
    ],
)  # fmt: skip
def test_a_plan_with_the_right_checksum_and_wrong_values_is_refused(plan: CompactionPlan, change: Any) -> None:
    body = plan_file.body_of(plan) | change
    whole = {"format": plan_file.FORMAT, "version": 1, "crc32c": plan_file.checksum(body), "plan": body}
    with pytest.raises(bp.CompactionPlanError):
        plan_file.parse(json.dumps(whole))


steps = st.lists(st.integers(1, 1 << 40), max_size=20).map(lambda some: some[: len(some) // 2 * 2])
digests = st.binary(min_size=32, max_size=32)


@given(st.data())
def test_any_plan_survives_being_written_down(data: st.DataObject) -> None:
    draw = data.draw
    ids = sorted(draw(st.sets(st.integers(1, 1 << 63), max_size=4)))
    sources = tuple(
        PlanSource(
            one, draw(st.text(max_size=9)), draw(st.integers(0, 1 << 50)), draw(digests), draw(st.integers(0, 99)),
            Ranges.from_steps(draw(steps)),
        )
        for one in ids
    )  # fmt: skip
    numbers = PlanSummary(
        events_kept=draw(st.integers(0, 1 << 62)), bytes_net=draw(st.integers(-99, 99)), links_broken=None
    )
    plan = CompactionPlan(
        draw(st.sampled_from(["merge", "retention", "tombstone"])), draw(st.sampled_from(["ready", "refused"])),
        draw(st.integers(1, 9)), draw(st.integers(0, 1 << 60)), sources, None, numbers,
        tuple(draw(st.lists(st.text(), max_size=2))), draw(st.none() | st.just(bytes(32))), draw(st.booleans()),
        draw(st.booleans()), draw(st.none() | st.floats(0.01, 1)),
    )  # fmt: skip
    again = plan_file.parse(plan_file.text_of(plan))
    assert (again, again.digest) == (plan, plan.digest)


@given(chosen=st.lists(st.booleans(), min_size=1, max_size=40))
def test_ranges_choose_exactly_the_frames_they_were_made_of(chosen: list[bool]) -> None:
    rows = np.zeros(len(chosen), [("offset", "<u8"), ("length", "<u4")])
    rows["length"] = np.arange(len(chosen)) % 5 + 9
    gaps = np.arange(len(chosen)) % 3 == 0  # markers between them
    rows["offset"] = 57 + np.cumsum(rows["length"]) - rows["length"] + np.cumsum(gaps * 100)
    mask = np.array(chosen)
    ranges = Ranges.of_rows(rows, mask)
    assert ranges.choose(rows["offset"]).tolist() == chosen
    assert Ranges.from_steps(ranges.steps) == ranges


def test_a_plan_over_damage_is_refused_with_the_place_and_no_numbers(store: Path) -> None:
    path = store / "000003.fbat"
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(bytes(data))
    plan = bp.open_reader(store).plan_compaction()
    assert plan.outcome == bp.open_reader(store).plan_compaction(sample=1).outcome == "refused"
    assert "000003.fbat" in plan.refusals[0]
    assert plan.summary() == PlanSummary()
    assert repr(plan).startswith("CompactionPlan(REFUSED: 000003.fbat")
    with pytest.raises(bp.CompactionPlanError):
        layout_of(plan, bp.open_reader(store).view)


def test_events_that_may_be_hidden_are_not_given_numbers_that_decide_it(tmp_path: Path) -> None:
    first, second, third = three_segments()
    store = write_store(
        tmp_path / "s",
        [replace(first, footer=False), replace(second, first_sequence=5), replace(third, first_sequence=8)],
    )
    (store / "visibility_ranges.fbv").write_bytes(visibility.encode(HiddenRanges(((2, 3),), {})))
    plan = bp.open_reader(store).plan_compaction()
    assert plan.outcome == "refused"
    assert "cannot be told apart" in plan.refusals[0]


def test_a_batch_that_may_have_been_committed_is_not_left_out(tmp_path: Path) -> None:
    batch = [begin(10, 2, at_us=EPOCH_US + 9), *(make_event(n, at_us=EPOCH_US + 8) for n in (10, 11))]
    first = Segment(1, [make_event(0), *batch, commit(10, at_us=EPOCH_US + 10), make_event(1)], footer=False)
    store = write_store(tmp_path / "s", [first, Segment(2, [make_event(2)]), Segment(3, [make_event(3)])])
    path = store / "000001.fbat"
    data = bytearray(path.read_bytes())
    data[first.offsets()[4] + 50] ^= 1  # the COMMIT
    path.write_bytes(bytes(data))
    assert bp.open_reader(store).plan_compaction().outcome == "refused"


def test_a_compaction_that_is_not_settled_is_refused(store: Path) -> None:
    (store / "compaction.pending.json").write_text('{"merged_id":1,"source_segment_ids":[1,2]}')
    plan = bp.open_reader(store).plan_compaction()
    assert plan.outcome == "refused"
    assert "Store.open() settles it" in plan.refusals[0]


def test_tombstones_of_encrypted_events_are_refused_unless_asked_for(fixture_stores: Path) -> None:
    """Trap T-11."""
    reader = bp.open_reader(fixture_stores / "encrypted")
    plan = reader.plan_compaction("tombstone", keep.last_n_per_entity(3))
    assert plan.outcome == "refused"
    assert plan.numbers.encrypted_unreadable == plan.numbers.events_tombstoned > 0
    assert (plan.findings()["rule"] == "encrypted-unreadable").sum() == plan.numbers.encrypted_unreadable
    asked = reader.plan_compaction("tombstone", keep.last_n_per_entity(3), tombstone_encrypted=True)
    assert asked.outcome == "ready"
    assert asked.numbers == plan.numbers
    (suggestion,) = plan.suggestions()
    assert suggestion.plan.outcome == "ready"
    assert suggestion.plan.numbers.encrypted_unreadable == 0


def test_an_estimate_is_marked_wherever_it_is_shown_and_is_never_applied(store: Path, tmp_path: Path) -> None:
    plan = bp.open_reader(store).plan_compaction("retention", lambda event: event.payload["n"] > 1, sample=0.5)
    assert not plan.applicable
    assert 0.2 < plan.numbers.estimated_from < 0.8  # type: ignore[operator]
    for text in (repr(plan), plan._repr_html_(), repr(plan.summary()), plan.summary()._repr_html_()):
        assert "ESTIMATE" in text
    assert plan.numbers.links_broken is None
    assert bp.compare_plans([plan])["estimated_from"].notna().all()
    again = CompactionPlan.load(plan.save(tmp_path / "plan.json"))
    assert not again.applicable
    assert "ESTIMATE" in repr(again)
    for call in (plan.events, plan.findings, lambda: layout_of(again, bp.open_reader(store).view)):
        with pytest.raises(bp.CompactionPlanError, match=r"(?i)estimate"):
            call()


def test_an_estimate_reads_the_payloads_of_its_sample_only(store: Path) -> None:
    asked: list[bytes] = []
    reader = bp.open_reader(store)
    exact = reader.plan_compaction("retention", lambda event: event.payload["n"] > 1)

    def noted(event: bp.Event) -> bool:
        asked.append(event.event_id)
        return True

    plan = reader.plan_compaction("retention", noted, sample=0.3)
    judged = exact.numbers.events_kept + exact.numbers.events_dropped
    assert 0 < len(asked) < 0.6 * judged
    assert plan.numbers.events_dropped == 0


def test_an_estimate_is_near_what_it_estimates(tmp_path: Path) -> None:
    reader = bp.open_reader(write_random(tmp_path / "big", 9, steps=400))
    exact = reader.plan_compaction("retention", lambda event: event.payload["n"] > 1).numbers
    near = reader.plan_compaction("retention", lambda event: event.payload["n"] > 1, sample=0.5).numbers
    assert abs(near.events_dropped - exact.events_dropped) < 0.35 * exact.events_dropped
    assert abs(near.bytes_after - exact.bytes_after) < 0.35 * exact.bytes_after
    assert near.bytes_before == exact.bytes_before
    by_index = keep.last_n_per_entity(5)
    exact, near = (reader.plan_compaction("retention", by_index, sample=share).numbers for share in (None, 0.1))
    assert (near.events_dropped, near.events_kept) == (exact.events_dropped, exact.events_kept)


def test_what_a_plan_shows_cannot_add_to_the_page(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    for _ in range(3):
        with bp.Store.open(tmp_path / "s") as store:
            store.append(evil.replace("/", "-"), "shop", 0x1001, {"n": 1})
    plan = bp.open_reader(tmp_path / "s").plan_compaction("retention", keep.where([("entity", "!=", evil)]))
    refused = replace(plan, outcome="refused", refusals=(evil,))
    for one in (plan, refused):
        assert "<script" not in one._repr_html_()
    assert re.search(r"&lt;script&gt;", refused._repr_html_())


@pytest.mark.parametrize(
    ("rule", "cures"),
    [
        (keep.kinds(0x1001), {"dangling_causes", "correlations_torn", "heads_dropped"}),
        (keep.entities("user:7"), {"dangling_causes", "correlations_torn", "heads_dropped", "entities_emptied"}),
    ],
)
def test_suggestions_have_the_effect_and_the_price_that_they_name(tmp_path: Path, rule: Any, cures: set[str]) -> None:
    store = write_random(tmp_path / "store", 8, sessions=1)
    with bp.Store.open(store) as writer:
        writer.append("user:7", "shop", 0x1001, {"n": 1})
    reader = bp.open_reader(store)
    plan = reader.plan_compaction("retention", rule)
    found = plan.suggestions()
    assert {one.cures for one in found} == cures
    for one in found:
        again = reader.plan_compaction("retention", one.rule)
        assert again == one.plan
        assert (getattr(plan.numbers, one.cures), getattr(again.numbers, one.cures)) == (one.was, one.left)
        assert again.numbers.events_kept == plan.numbers.events_kept + one.events
        assert again.numbers.bytes_after == plan.numbers.bytes_after + one.bytes
        assert one.left == 0
        assert f"{one.events:+,} events" in repr(one)


def test_a_loaded_plan_suggests_the_same(store: Path, tmp_path: Path) -> None:
    reader = bp.open_reader(store)
    plan = reader.plan_compaction("retention", keep.kinds(0x1001))
    loaded = CompactionPlan.load(plan.save(tmp_path / "plan.json")).on(reader)
    assert [(one.rule, one.plan) for one in loaded.suggestions()] == [
        (one.rule, one.plan) for one in plan.suggestions()
    ]


def test_suggestions_ask_a_function_nothing_twice(store: Path) -> None:
    asked: list[bytes] = []
    reader = bp.open_reader(store)

    def noted(event: bp.Event) -> bool:
        asked.append(event.event_id)
        return event.kind == 0x1001

    plan = reader.plan_compaction("retention", noted)
    count = len(asked)
    assert plan.suggestions()
    assert len(asked) == count


def test_a_merge_loses_nothing_and_suggests_nothing(store: Path) -> None:
    plan = bp.open_reader(store).plan_compaction()
    assert plan.suggestions() == []
    assert plan.findings().empty
    assert plan.events().empty


def test_plans_side_by_side_are_what_they_are_one_by_one(store: Path) -> None:
    reader = bp.open_reader(store)
    plans = {"all": reader.plan_compaction(), "few": reader.plan_compaction("retention", keep.last_n_per_entity(1))}
    frame = bp.compare_plans(plans)
    assert frame.index.tolist() == ["all", "few"]
    for name, plan in plans.items():
        for number, value in plan.summary().as_dict().items():
            shown = frame[number][name]
            assert bool(pd.isna(shown)) if value is None else shown == value
    assert bp.compare_plans([]).empty
    with pytest.raises(TypeError, match="is no plan"):
        bp.compare_plans([7])  # type: ignore[list-item]
