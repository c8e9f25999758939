"""Compactions planned: exact plans with the open before them, and a reader's next plan, as a widget asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import batpak_analytics as bp
from batpak_analytics.compaction.plan import Strategy
from tests.benchmarks.timing import Case, timed

keep = bp.keep


def planning_cases(store: Path, events: int) -> list[Case]:
    """Every plan is over all segments but the last; beside a scan of the same store."""
    opened = bp.open_reader(store)
    sealed = sum(one.count for one in opened.view.segments[:-1])
    every = opened.events(system=True).count()

    def plan(reader: bp.Reader, strategy: Strategy, rule: Any, **options: Any) -> int:
        numbers = reader.plan_compaction(strategy, rule, **options).summary()
        return numbers.events_kept + numbers.events_dropped + numbers.events_tombstoned

    def case(name: str, title: str, strategy: Strategy, rule: Any, **options: Any) -> Case:
        return Case(name, title, timed(lambda: plan(bp.open_reader(store), strategy, rule, **options), sealed), events)

    def again(name: str, title: str, rule: Any, **options: Any) -> Case:
        return Case(name, title, timed(lambda: plan(opened, "retention", rule, **options), sealed), events)

    def scan() -> int:
        return int(bp.open_reader(store).events(system=True).to_arrow().num_rows)

    by_index, by_payload = keep.last_n_per_entity(20), keep.where([("payload.qty", ">", 3)])
    return [
        Case("plan-scan", "a scan, the open included: `reader.events().to_arrow()`", timed(scan, every), events),
        case("plan-merge", "merge", "merge", None),
        case("plan-retention", "retention, `last_n_per_entity`", "retention", by_index),
        case("plan-filter", "retention, a filter on a payload field", "retention", by_payload),
        case("plan-tombstone", "tombstones, `last_n_per_entity`", "tombstone", by_index),
        case("plan-estimate", "an estimate by the same filter, `sample=0.05`", "retention", by_payload, sample=0.05),
        again("plan-again", "the next exact plan of an open reader", by_index),
        again("plan-estimate-again", "the next estimate of an open reader, by the filter", by_payload, sample=0.05),
    ]
