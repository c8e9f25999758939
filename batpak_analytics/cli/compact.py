"""``compact``: what a compaction would do. A dry run, which writes nothing but the plan, until ``--apply`` does it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rich.console import Console

import batpak_analytics as bp
from batpak_analytics.cli import tables
from batpak_analytics.cli.keeping import rule_of
from batpak_analytics.cli.outcome import FINDINGS, OK, one_line
from batpak_analytics.compaction.plan import CompactionPlan
from batpak_analytics.proof.note import outside

SAMPLES = 5


def compact(arguments: argparse.Namespace) -> int:
    """Plan a compaction, print what it would do, and do it where that is asked for.

    0 where it was done, could be, or is skipped; 1 where it is refused or failed.
    """
    target = outside(arguments.path, arguments.save) if arguments.save else None
    with bp.open_reader(arguments.path) as reader:
        plan = _plan(reader, arguments)
        if target is not None:
            plan.save(target)
        if not arguments.json:
            _print(plan, tables.console(), suggest=not arguments.sample, dry=not arguments.apply)
            if target is not None:
                print(f"{target}: the plan, {plan.digest.hex()[:8]}")
        elif not arguments.apply:
            print(json.dumps(_as_json(plan), indent=1))
    if arguments.apply and plan.outcome == "ready":
        return _apply(plan, arguments)
    if arguments.apply and arguments.json:
        print(json.dumps(_as_json(plan), indent=1))
    return FINDINGS if plan.outcome == "refused" else OK


def _plan(reader: bp.Reader, arguments: argparse.Namespace) -> CompactionPlan:
    if arguments.plan:
        if arguments.keep or arguments.sample:
            raise ValueError("--plan has its rule in it. Leave --keep and --sample out, or plan anew without --plan.")
        return bp.CompactionPlan.load(arguments.plan).on(reader)
    if arguments.strategy != "merge" and not arguments.keep:
        raise ValueError(f"--strategy {arguments.strategy} needs --keep RULE: what stays. Try: batpak compact --help")
    rule = rule_of(arguments.keep, causes=arguments.with_causes, correlations=arguments.whole_correlations)
    return reader.plan_compaction(
        arguments.strategy, rule, min_segments=arguments.min_segments, sample=arguments.sample,
        system=arguments.system, tombstone_encrypted=arguments.tombstone_encrypted,
    )  # fmt: skip


def _apply(plan: CompactionPlan, arguments: argparse.Namespace) -> int:
    """Open the store for writing and do what was planned, no more: the segment that opening adds is not in the plan."""
    with bp.Store.open(arguments.path, config=bp.StoreConfig(allow_plaintext=True)) as store:
        report = store.compact(plan)
    if arguments.json:
        print(json.dumps(_done(report), indent=1))
    elif report.outcome == "performed":
        print(f"done: {report.bytes_before:,} bytes in {report.segments_before} segments before, ", end="")
        print(f"{report.bytes_after:,} in {report.segments_after} now. Evidence {report.body_hash}")
        for what in report.unfinished:
            print(f"unfinished: {one_line(what)}. The next open goes on with it.")
    else:
        print(f"{report.outcome}: {one_line(report.reason or 'too few segments')}. Every event is as it was.")
    return FINDINGS if report.outcome == "failed" else OK


def _done(report: bp.CompactionReport) -> dict[str, Any]:
    numbers = (
        *("events_kept", "events_dropped", "events_tombstoned", "bytes_before", "bytes_after", "bytes_net"),
        *("bytes_gross", "segments_before", "segments_after"),
    )
    return {
        "outcome": report.outcome,
        "reason": report.reason,
        "output": None if report.output is None else report.output.name,
        "sources": list(report.sources),
        "unfinished": list(report.unfinished),
        "plan": report.plan_digest.hex(),
        "compaction_id": report.compaction_id,
        "body_hash": report.body_hash,
        "numbers": {name: getattr(report, name) for name in numbers},
    }


def _as_json(plan: CompactionPlan) -> dict[str, Any]:
    return {
        "strategy": plan.strategy,
        "outcome": plan.outcome,
        "refusals": list(plan.refusals),
        "sources": [one.name for one in plan.sources],
        "digest": plan.digest.hex(),
        "summary": plan.summary().as_dict(),
    }


def _print(plan: CompactionPlan, screen: Console, *, suggest: bool, dry: bool) -> None:
    print(f"{'a dry run: nothing was changed. ' if dry else ''}{one_line(plan.headline)}")
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
