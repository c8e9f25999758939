"""``compact``: what a compaction would do. A dry run; it writes nothing but the plan, where that is asked for."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rich.console import Console

import batpak_analytics as bp
from batpak_analytics.cli import tables
from batpak_analytics.cli.command import FINDINGS, OK, one_line
from batpak_analytics.cli.keeping import rule_of
from batpak_analytics.compaction.plan import CompactionPlan
from batpak_analytics.proof.note import outside

SAMPLES = 5


def compact(arguments: argparse.Namespace) -> int:
    """Plan a compaction and print what it would do; 0 where it could be done, 1 where it is refused."""
    rule = rule_of(arguments.keep, causes=arguments.with_causes, correlations=arguments.whole_correlations)
    target = outside(arguments.path, arguments.save) if arguments.save else None
    with bp.open_reader(arguments.path) as reader:
        plan = reader.plan_compaction(
            arguments.strategy, rule, min_segments=arguments.min_segments, sample=arguments.sample,
            system=arguments.system, tombstone_encrypted=arguments.tombstone_encrypted,
        )  # fmt: skip
        if target is not None:
            plan.save(target)
        if arguments.json:
            print(json.dumps(_as_json(plan), indent=1))
        else:
            _print(plan, tables.console(), suggest=not arguments.sample)
            if target is not None:
                print(f"{target}: the plan, {plan.digest.hex()[:8]}")
    return FINDINGS if plan.outcome == "refused" else OK


def _as_json(plan: CompactionPlan) -> dict[str, Any]:
    return {
        "strategy": plan.strategy,
        "outcome": plan.outcome,
        "refusals": list(plan.refusals),
        "sources": [one.name for one in plan.sources],
        "digest": plan.digest.hex(),
        "summary": plan.summary().as_dict(),
    }


def _print(plan: CompactionPlan, screen: Console, *, suggest: bool) -> None:
    print(f"a dry run: nothing was changed. {one_line(plan.headline)}")
    for reason in plan.refusals:
        print(f"refused: {one_line(reason)}")
    if plan.outcome == "skipped":
        return
    numbers = plan.summary()
    if numbers.estimated_from is not None:
        print(f"an ESTIMATE from {numbers.estimated_from:.1%} of the events, which cannot be applied")
    told = {name: value for name, value in numbers.as_dict().items() if value is not None and name != "estimated_from"}
    tables.print_rows(
        screen, {"what": list(told), "number": [f"{value:,}" for value in told.values()]}, numeric=["number"]
    )
    print(_in_words(plan))
    if not suggest:
        return
    found = plan.findings()
    if len(found):
        counts = found["rule"].value_counts()
        first = found.groupby("rule", observed=True, sort=False).head(SAMPLES)
        columns = ["severity", "rule", "entity", "global_sequence", "event_id", "related_id"]
        tables.print_rows(screen, {name: first[name].tolist() for name in columns})
        print("findings: " + ", ".join(f"{count:,} {rule}" for rule, count in counts.items() if count))
    for one in plan.suggestions():
        print(f"suggestion: {one!r}")


def _in_words(plan: CompactionPlan) -> str:
    """Bytes as a person wants them, with 0.9.0's own figure beside."""
    numbers = plan.summary()
    freed = -numbers.bytes_net
    what = f"frees {tables.size_text(freed)}" if freed >= 0 else f"takes {tables.size_text(-freed)} more"
    marked = " Tombstones are marks: payloads stay on disk." if plan.strategy == "tombstone" else ""
    return f"{what} (batpak 0.9.0 would report {tables.size_text(numbers.bytes_gross)} reclaimed).{marked}"
