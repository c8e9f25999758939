"""`plan_compaction`: from a view and a rule to a plan. It reads, and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from batpak_analytics.compaction.damage import refusals_of
from batpak_analytics.compaction.effects import Effects
from batpak_analytics.compaction.estimate import estimated
from batpak_analytics.compaction.judge import judging_of, sealed_rows, struck_by
from batpak_analytics.compaction.keep import as_rule
from batpak_analytics.compaction.numbers import summarised
from batpak_analytics.compaction.plan import STRATEGIES, CompactionPlan, PlanSource, PlanSummary, Strategy
from batpak_analytics.compaction.ranges import Ranges
from batpak_analytics.compaction.rows import EventRows
from batpak_analytics.compaction.rules import Rule, rule_text
from batpak_analytics.compaction.sources import active_id, digest_in, eligible, sources_in
from batpak_analytics.compaction.states import listed, state_changes

NO_DIGEST = bytes(32)


def plan_compaction(
    view: Any,
    strategy: Strategy = "merge",
    keep: Any = None,
    *,
    min_segments: int = 2,
    projections: Iterable[Any] = (),
    sample: float | None = None,
    system: bool = False,
    tombstone_encrypted: bool = False,
    keys: Callable[[], Iterable[bytes]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CompactionPlan:
    """What `Reader.plan_compaction` does, for a view; `keys` gives the idempotency keys in use."""
    rule, asked = _checked(strategy, keep, min_segments, sample), listed(projections)
    segments = eligible(view)
    plan = CompactionPlan(
        strategy=strategy,
        outcome="ready",
        min_segments=min_segments,
        active_segment_id=active_id(view),
        sources=tuple(PlanSource(one.segment_id, one.name, one.size_bytes, NO_DIGEST, one.count) for one in segments),
        keep=None if rule is None else rule_text(rule),
        numbers=PlanSummary(),
        system=bool(system),
        tombstone_encrypted=bool(tombstone_encrypted),
        view=view,
        rule=rule,
    )
    if len(segments) < min_segments:
        return plan.but(outcome="skipped")
    if sample is not None and sample < 1:
        return estimated(plan, EventRows.of(view), sample, progress)
    damage = refusals_of(view, segments)
    if damage:
        return plan.but(outcome="refused", refusals=damage)
    rows = EventRows.of(view)
    sealed = sealed_rows(rows, segments)
    judging = judging_of(rows, sealed, system=system, progress=progress)
    struck = struck_by(rule, judging, sealed)
    effects = Effects(rows, sealed, struck, strategy, None, judging.unknown, judging.known)
    return _settled(_frozen(plan, segments, effects), segments, effects, asked, keys)


def _checked(strategy: Any, keep: Any, min_segments: Any, sample: Any) -> Rule | None:
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy={strategy!r}: give one of {', '.join(STRATEGIES)}.")
    if isinstance(min_segments, bool) or not isinstance(min_segments, int) or min_segments < 1:
        raise ValueError(f"min_segments={min_segments!r}: give an int from 1 on.")
    if sample is not None and not 0 < sample <= 1:
        raise ValueError(f"sample={sample!r}: give a share of the events, above 0 and up to 1.")
    if strategy == "merge":
        if keep is not None:
            raise ValueError("A merge keeps every event: leave keep= out, or choose retention or tombstone.")
        return None
    if keep is None:
        raise ValueError(f"A {strategy} needs keep=: what is to stay as it is, such as bp.keep.newer_than(...).")
    return as_rule(keep)


def _frozen(plan: CompactionPlan, segments: list[Any], effects: Effects) -> CompactionPlan:
    """The plan with its sources by content and the struck events of each."""
    rows = effects.rows
    sources = tuple(
        PlanSource(
            one.segment_id, one.name, one.size_bytes, digest_in(rows.view, one), one.count,
            Ranges.of_rows(one.rows, mask),
        )
        for one, mask in zip(segments, _masks(rows, segments, effects.struck), strict=True)
    )  # fmt: skip
    opaque = plan.rule is not None and not plan.rule.is_portable
    ids = rows.column("event_id")[effects.struck].tobytes() if opaque else None
    return plan.but(sources=sources, ids=ids)


def _settled(
    plan: CompactionPlan,
    segments: list[Any],
    effects: Effects,
    asked: tuple[Any, ...],
    keys: Callable[[], Iterable[bytes]] | None,
) -> CompactionPlan:
    """The plan with its numbers."""
    if asked:
        effects = effects.but(states=state_changes(effects.rows, effects.struck, plan.strategy, asked))
    numbers = summarised(plan, segments, _masks(effects.rows, segments, effects.struck), effects, keys)
    refusals: tuple[str, ...] = ()
    if numbers.encrypted_unreadable and not plan.tombstone_encrypted:
        refusals = (
            f"{numbers.encrypted_unreadable:,} encrypted events would become unreadable for ever as tombstones, as "
            f"their kind is sealed with them. Keep them, or pass tombstone_encrypted=True.",
        )
    return plan.but(
        numbers=numbers, effects=effects, outcome="refused" if refusals else "ready", refusals=refusals,
        asked=(asked, keys),
    )  # fmt: skip


def effects_of(plan: CompactionPlan) -> Effects:
    """The effects of a plan that was loaded and held against a view."""
    rows = EventRows.of(plan.view)
    segments = sources_in(plan, plan.view)
    struck = np.zeros(rows.count, bool)
    starts = {id(one): int(start) for one, start in zip(rows.segments, rows.starts, strict=False)}
    for source, segment in zip(plan.sources, segments, strict=True):
        start = starts[id(segment)]
        struck[start : start + segment.count] = source.struck.choose(segment.rows["offset"])
    return Effects(rows, sealed_rows(rows, segments), struck, plan.strategy)


def planned_instead(plan: CompactionPlan, rule: Rule) -> CompactionPlan:
    """The plan with another rule over the same sources, not read again; what was judged is not asked again."""
    before = plan.effects or effects_of(plan)
    rows, segments = before.rows, sources_in(plan, plan.view)
    judging = judging_of(rows, before.sealed, system=plan.system)
    judging.known.extend(before.judged or ())
    judging.unknown.update(before.unknown)
    struck = struck_by(rule, judging, before.sealed)
    effects = Effects(rows, before.sealed, struck, plan.strategy, None, judging.unknown, judging.known)
    changed = plan.but(rule=rule, keep=rule_text(rule), outcome="ready", refusals=(), numbers=PlanSummary())
    return _settled(_frozen(changed, segments, effects), segments, effects, *(plan.asked or ((), None)))


def _masks(rows: EventRows, segments: list[Any], whole: Any) -> list[Any]:
    by_id = {id(one): mask for one, mask in zip(rows.segments, rows.masks(whole), strict=True)}
    return [by_id[id(one)] for one in segments]
