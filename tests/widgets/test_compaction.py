"""The what-if widget without a browser: its numbers are the plan's, estimates say so, it applies nothing."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.widgets import CompactionWidget, compaction, frame
from tests.arrow.scan_stores import event, store_of
from tests.hostile import HOSTILE
from tests.widgets.sent import INSTANCES, assert_banner, assert_harmless, named, sending, texts, widgets_of

KINDS = {0x1001: "Placed", 0x1002: "Paid"}


class Total:
    """The cents of an entity."""

    def initial(self) -> int:
        return 0

    def apply(self, state: int, event: Any) -> int:
        return state + int(event.payload["cents"])


def write(path: Path, entities: Any = "order", segments: int = 4, text: str = "") -> Path:
    """A few segments of events that cause each other; every payment of nothing changes no state."""
    groups = []
    for segment in range(segments):
        events = []
        for number in range(segment * 12, segment * 12 + 12):
            cause = event(number - 1).event_id if number % 2 else None
            cents = 0 if number < 24 else number
            name = f"{entities}:{number % 3}"
            payload = {"cents": cents, text: text}
            events.append(event(number, payload, entity=name, kind=0x1001 + number % 2, causation_id=cause))
        groups.append(events)
    return store_of(path, *groups)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("stores") / "store")


@pytest.fixture
def view(store: Path) -> Iterator[CompactionWidget]:
    made = bp.open_reader(store).what_if(projections=[Total()], kind_names=KINDS)
    yield made
    assert made.last_error is None
    made.close()


def tab(view: Any, name: str) -> str:
    (found,) = [one for one in widgets_of(view) if type(one).__name__ == "Tab"]
    found.selected_index = found.titles.index(name)
    pane = found.children[found.selected_index]
    value: str = (pane if hasattr(pane, "value") else pane.children[-1]).value
    return value


def test_the_numbers_are_those_of_the_plan(view: CompactionWidget, store: Path) -> None:
    plan = bp.open_reader(store).plan_compaction("retention", bp.keep.last_n_per_entity(1), projections=[Total()])
    assert view.plan == plan and view.plan.summary() == plan.summary()
    one = plan.summary()
    shown = texts(view)
    before, kept = one.events_kept + one.events_dropped, one.events_kept
    for name, value in {
        "net": f"{one.bytes_net:+,} bytes",
        "events of these segments": f"{before:,} → {kept:,}",
        "segments": f"{one.segments_before} → {one.segments_after}",
        "entities emptied": f"{one.entities_emptied}",
    }.items():
        assert f"{name}<b>{value}</b>" in shown, name
    assert "Exact: every number is counted" in shown
    assert f"{one.events_dropped} events dropped, {one.states_changed} of 3 states change." in shown


@pytest.mark.parametrize(
    ("choice", "value", "rule"),
    [
        ("last", "5", bp.keep.last_n_per_entity(5)),
        ("newer", "0.5", bp.keep.newer_than(timedelta(days=0.5))),
        ("kinds", "Paid, 0x1003", bp.keep.kinds(0x1002, 0x1003)),
        ("entities", "order:1, order:2", bp.keep.entities("order:1", "order:2")),
    ],
)
def test_rules_of_the_controls_are_those_of_the_library_and_of_the_code(
    view: CompactionWidget, store: Path, choice: str, value: str, rule: Any
) -> None:
    named(view, "N, or names").value = "1"
    view._quiet = True  # two controls for one rule, in between no rule
    named(view, "Keep").value = choice
    view._quiet = False
    named(view, "N, or names").value = value
    for box, wrapped in (
        (None, rule),
        ("and heads of chains", rule | bp.keep.chain_heads()),
        ("and whole correlations", bp.keep.whole_correlations(rule | bp.keep.chain_heads())),
        ("and their causes", bp.keep.with_causes(bp.keep.whole_correlations(rule | bp.keep.chain_heads()))),
    ):
        if box:
            named(view, box).value = True
        assert view.plan.rule == wrapped
        names: dict[str, Any] = {"bp": bp, "reader": bp.open_reader(store), "projections": [Total()]}
        exec(view.code.replace('plan.save("plan.json")', ""), names)
        assert names["plan"] == view.plan


def test_strategies_say_what_they_do(view: CompactionWidget) -> None:
    named(view, "Strategy").value = "tombstone"
    assert "frees no room and erases nothing" in texts(view) and view.plan.strategy == "tombstone"
    named(view, "Strategy").value = "merge"
    assert "keeps every event" in texts(view) and named(view, "Keep").disabled
    assert "Nothing goes" in tab(view, "Lost")


def test_tabs_list_what_the_tables_of_the_plan_say(view: CompactionWidget) -> None:
    one = view.plan.summary()
    lost = tab(view, "Lost")
    assert "Placed" in lost and f"The first of {len(view.plan.events())}" in lost
    assert f"<b>{one.links_broken}</b>" in tab(view, "Chains")
    assert f"<b>{one.dangling_causes}</b>" in tab(view, "Causes")
    assert "order:0" in tab(view, "Entities") and "states changed" in tab(view, "Entities")
    segments = tab(view, "Segments")
    assert segments.count("stroke-dasharray") == 1, "the active one is not touched"
    assert "4 segments" in segments and "<svg" in segments


def test_a_suggestion_has_its_price_and_is_taken_with_a_button(view: CompactionWidget, store: Path) -> None:
    view._quiet = True
    named(view, "Keep").value = "kinds"
    view._quiet = False
    named(view, "N, or names").value = "0x1002"
    suggestion = view.plan.suggestions()[0]
    assert "keep the causes too: +" in tab(view, "Suggestions") and suggestion.what == "keep the causes too"
    named(view, "Take it").click()
    assert view.plan == suggestion.plan and view.plan.summary().dangling_causes == 0
    names: dict[str, Any] = {"bp": bp, "reader": bp.open_reader(store), "projections": [Total()]}
    exec(view.code.replace('plan.save("plan.json")', ""), names)
    assert names["plan"] == view.plan


def test_plans_are_kept_by_name_and_compared_side_by_side(view: CompactionWidget) -> None:
    named(view, "Name").value = "one each"
    named(view, "Keep this plan").click()
    named(view, "Strategy").value = "merge"
    named(view, "Name").value = "merge"
    named(view, "Keep this plan").click()
    assert list(view.plans) == ["one each", "merge"]
    shown = tab(view, "Plans")
    assert "one each" in shown and f"{view.plans['merge'].summary().bytes_net}" in shown
    assert list(bp.compare_plans(view.plans).index) == ["one each", "merge"]
    for number in range(6):
        named(view, "Name").value = f"plan {number}"
        named(view, "Keep this plan").click()
    assert list(view.plans) == ["plan 2", "plan 3", "plan 4", "plan 5"]


async def counted(view: Any) -> None:
    """Wait for the exact plan."""
    while view.counting:
        await asyncio.sleep(0.005)


def test_a_change_shows_a_marked_estimate_and_then_the_exact_plan(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "SMALL", 0)

    async def watch() -> list[str]:
        view, said = bp.open_reader(store).what_if(projections=[Total()]), []
        view.observe(lambda change: said.append("estimate" if change.new.sampled else "exact"), "plan")
        assert view.counting and "ESTIMATE from" in texts(view) and "about " in texts(view)
        assert "An estimate lists no events" in tab(view, "Lost") and named(view, "Keep this plan").disabled
        await counted(view)
        assert "ESTIMATE" not in texts(view) and "Exact: every number is counted" in texts(view)
        named(view, "N, or names").value = "4"
        named(view, "N, or names").value = "5"  # overtakes the one before
        await counted(view)
        await asyncio.sleep(0.1)
        assert view.plan.rule == bp.keep.last_n_per_entity(5) and view.plan.applicable
        assert view.last_error is None
        named(view, "N, or names").value = "2"
        view.close()
        return said

    assert asyncio.run(asyncio.wait_for(watch(), 60)) == ["exact", "estimate", "estimate", "exact", "estimate"]


def test_rules_changed_quickly_never_count_side_by_side(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "SMALL", 0)
    running, most, begun = [0], [0], []
    plain = CompactionWidget._planned

    def watched(self: CompactionWidget, strategy: Any, rule: Any, sample: float | None) -> Any:
        if sample is not None:
            return plain(self, strategy, rule, sample)
        begun.append(rule)
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.2)
        running[0] -= 1
        return plain(self, strategy, rule, sample)

    monkeypatch.setattr(CompactionWidget, "_planned", watched)

    async def watch() -> None:
        view = bp.open_reader(store).what_if()
        for number in range(2, 7):
            named(view, "N, or names").value = str(number)
            await asyncio.sleep(0.02)
        await counted(view)
        assert view.plan.rule == bp.keep.last_n_per_entity(6) and view.plan.applicable
        view.close()

    asyncio.run(asyncio.wait_for(watch(), 60))
    assert most == [1] and len(begun) < 6


def test_what_goes_is_listed_beside_the_loop(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "SMALL", 0)
    threads, plain = [], bp.CompactionPlan.events

    def watched(self: bp.CompactionPlan) -> Any:
        threads.append(threading.current_thread())
        return plain(self)

    monkeypatch.setattr(bp.CompactionPlan, "events", watched)

    async def watch() -> None:
        view = bp.open_reader(store).what_if()
        await counted(view)
        assert "By kind" in texts(view)
        view.close()

    asyncio.run(asyncio.wait_for(watch(), 60))
    assert threads and threading.main_thread() not in threads


def test_a_failure_while_it_counts_is_shown_and_ends_the_counting(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "SMALL", 0)

    class Failing(Total):
        def apply(self, state: int, event: Any) -> int:
            raise KeyError(HOSTILE)

    async def watch() -> None:
        view = bp.open_reader(store).what_if(projections=[Failing()])
        await counted(view)
        assert_banner(view, KeyError, "&lt;img")
        assert view.plan.sampled is not None
        view.close()

    asyncio.run(asyncio.wait_for(watch(), 60))


def test_it_applies_nothing(tmp_path: Path) -> None:
    store = write(tmp_path / "store")

    def state() -> dict[str, str]:
        return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in sorted(store.iterdir())}

    before = state()
    view = bp.open_reader(store).what_if(projections=[Total()])
    named(view, "Strategy").value = "tombstone"
    named(view, "Keep this plan").click()
    tab(view, "Suggestions")
    assert state() == before and view.last_error is None
    view.close()


def test_what_is_wrong_with_a_rule_is_said_and_the_plan_stays(view: CompactionWidget) -> None:
    before = view.plan
    named(view, "N, or names").value = "many"
    assert_banner(view, ValueError, "is no number")
    assert view.plan is before
    named(view, "N, or names").value = HOSTILE
    assert_banner(view, ValueError, "&lt;img")
    named(view, "N, or names").value = "3"
    assert view.last_error is None and view.plan is not before and 'role="alert"' not in texts(view)


def test_an_estimate_becomes_exact_whatever_wrong_rule_is_entered_meanwhile(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "SMALL", 0)
    plain = CompactionWidget._counted

    def slow(self: CompactionWidget, *asked: Any) -> Any:
        time.sleep(0.2)
        return plain(self, *asked)

    monkeypatch.setattr(CompactionWidget, "_counted", slow)

    async def watch() -> None:
        view = bp.open_reader(store).what_if()
        named(view, "N, or names").value = "many"
        named(view, "Strategy").value = "tombstone"
        assert_banner(view, ValueError, "is no number")
        await counted(view)
        assert (view.plan.strategy, view.plan.sampled) == ("retention", None)
        assert 'plan_compaction("retention", keep=bp.keep.last_n_per_entity(1))' in view.code
        view.close()

    asyncio.run(asyncio.wait_for(watch(), 60))


def test_a_rule_or_function_that_was_given_is_used_first(store: Path) -> None:
    view = bp.open_reader(store).what_if(keep=lambda one: one.payload["cents"] > 20)
    assert view.last_error is None and view.plan.ids is not None
    assert "keep=keep" in view.code
    assert tab(view, "Suggestions") and view.last_error is None


def test_an_open_store_is_asked_as_it_is_now(tmp_path: Path) -> None:
    config = bp.StoreConfig(segment_max_bytes=2_000)
    with bp.Store.open(tmp_path / "store", config=config) as store:
        for number in range(30):
            store.append(f"order:{number % 3}", "shop", 0x1001, {"cents": number})
        view = store.what_if(projections=[Total()])
        before = view.plan.summary().events_dropped
        assert view.plan.applicable and before > 0 and view.last_error is None
        named(view, "N, or names").value = "5"
        assert 0 < view.plan.summary().events_dropped < before
        view.close()


def test_too_few_segments_are_told_instead_of_zeros(quickstart: Path) -> None:
    view = bp.open_reader(quickstart).what_if()
    assert "It would be skipped" in texts(view) and view.last_error is None
    for name in compaction.TABS:
        tab(view, name)
    assert view.last_error is None and view.snapshot


def test_damage_is_told_as_a_refusal(tmp_path: Path) -> None:
    path = write(tmp_path / "store")
    first = min(path.glob("*.fbat"))
    data = bytearray(first.read_bytes())
    data[len(data) // 3] ^= 0xFF
    first.write_bytes(data)
    view = bp.open_reader(path).what_if()
    assert view.plan.outcome == "refused" and "Refused:" in texts(view) and view.last_error is None
    for name in compaction.TABS:
        tab(view, name)
    assert view.last_error is None


def test_nothing_in_a_store_becomes_markup(tmp_path: Path) -> None:
    view = bp.open_reader(write(tmp_path / "<b>", HOSTILE, text=HOSTILE)).what_if(kind_names={0x1001: HOSTILE})
    for name in compaction.TABS:
        tab(view, name)
        assert_harmless(view)
    named(view, "Name").value = HOSTILE
    named(view, "Keep this plan").click()
    assert_harmless(view)
    assert "&lt;img" in texts(view) and view.last_error is None


def test_no_step_sends_more_than_paints_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worst = "&" * 300
    reader = bp.open_reader(write(tmp_path / "store", worst, segments=60, text=worst))
    view = reader.what_if(projections=[Total()], kind_names={0x1001: worst, 0x1002: worst})
    for number, name in enumerate(compaction.TABS, 2):
        with sending(monkeypatch) as sent:
            tab(view, name)
        assert sent.total <= frame.MOST_BYTES, (name, sent.sizes)
        with sending(monkeypatch) as sent:
            named(view, "N, or names").value = str(number)
        assert 0 < sent.total <= frame.MOST_BYTES, (name, sent.sizes)
    assert len(view.snapshot.encode()) <= frame.MOST_SNAPSHOT_BYTES
    assert view.last_error is None


def test_steps_make_no_models_and_closing_leaves_none(store: Path) -> None:
    before = set(INSTANCES)
    view = bp.open_reader(store).what_if(projections=[Total()])
    made = set(INSTANCES)
    for number in range(3):
        named(view, "N, or names").value = str(number)
        for name in compaction.TABS:
            tab(view, name)
        named(view, "Keep this plan").click()
    assert set(INSTANCES) == made
    view.close()
    assert set(INSTANCES) == before


def test_what_it_shows_without_a_kernel_is_true_short_and_the_same_every_time(store: Path) -> None:
    one, other = (bp.open_reader(store).what_if(projections=[Total()]) for _ in range(2))
    bundle = one._repr_mimebundle_()
    assert bundle["text/html"] == other._repr_mimebundle_()["text/html"]
    assert "\n" not in bundle["text/plain"] and "retention of 3 segments" in bundle["text/plain"]
    assert "states change" in bundle["text/html"] and len(bundle["text/html"].encode()) < frame.MOST_SNAPSHOT_BYTES


def test_every_control_has_a_label_and_a_hint(view: CompactionWidget) -> None:
    for one in widgets_of(view):
        if hasattr(one, "description") and type(one).__name__ != "HTML":
            assert one.description and one.tooltip, one
