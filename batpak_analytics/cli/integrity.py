"""``verify``, ``checkpoint`` and ``chain``: is the history whole, is it still the one it was, and one chain of it."""

from __future__ import annotations

import argparse
import json
from functools import partial
from typing import Any

from tqdm import tqdm

import batpak_analytics as bp
from batpak_analytics.cli import tables
from batpak_analytics.cli.check import MEANING, move
from batpak_analytics.cli.outcome import FINDINGS, OK, one_line
from batpak_analytics.proof.note import outside
from batpak_analytics.proof.report import VerifyReport

CHAIN_COLUMNS = ("entity", "lane", "clock", "global_sequence", "link", "payload_ok", "event_id", "parent_id")


def verify(arguments: argparse.Namespace) -> int:
    """Verify the store; 0 where nothing contradicts itself or the checkpoint, 1 with errors or warnings."""
    record = outside(arguments.path, arguments.known) if arguments.known else None
    options = {name: getattr(arguments, name) for name in ("leaves", "public_key", "bridge")}
    options["known"] = record if record is not None and record.exists() else None
    bar = tqdm(unit=" events", unit_scale=True, leave=False, disable=True if arguments.json else None, delay=0.5)
    with bp.open_reader(arguments.path) as reader, bar:
        progress = partial(move, bar)
        report = reader.verify(arguments.level, arguments.against, progress=progress, **options)
    if record is not None:
        report.known().save(record)
    if arguments.json:
        print(json.dumps(report.to_dict(), indent=1))
    else:
        _print(report)
    serious = report.faults.severities["error"] + report.faults.severities["warning"]
    return FINDINGS if serious else OK


def _print(report: VerifyReport) -> None:
    screen = tables.console()
    listed = sorted(report.faults.listed, key=lambda fault: ("error", "warning", "info").index(fault.severity))
    if listed:
        columns: dict[str, list[Any]] = {
            "severity": [fault.severity for fault in listed],
            "segment": [fault.segment for fault in listed],
            "offset": [fault.offset for fault in listed],
            "rule": [fault.rule for fault in listed],
            "event_id": [fault.event for fault in listed],
            MEANING: [one_line(f"{fault.meaning}. {fault.action}") for fault in listed],
        }
        tables.print_rows(screen, columns, numeric=["segment", "offset"], wrap=MEANING)
    outcomes = report.outcomes
    rules: dict[str, list[Any]] = {
        "rule": [one.rule.name for one in outcomes],
        "state": [one.state for one in outcomes],
        "checked": [one.checked for one in outcomes],
        "what it leaves open": [one.rule.leaves_open for one in outcomes],
    }
    tables.print_rows(screen, rules, numeric=["checked"], wrap="what it leaves open")
    if report.skipped_segments:
        print(f"not read again: {tables.plural(len(report.skipped_segments), 'segment')} that --known lists")
    print(report.statement)


def checkpoint(arguments: argparse.Namespace) -> int:
    """Write a checkpoint of the store as it is, and say what it is worth."""
    target = outside(arguments.path, arguments.out)
    with bp.open_reader(arguments.path) as reader:
        report = reader.verify(arguments.level)
        made = report.checkpoint(arguments.key, arguments.origin, arguments.leaves)
    made.save(target)
    signed = "signed" if made.signatures else "not signed"
    print(f"{target}: a checkpoint of {tables.plural(made.size, 'event')}, {signed}; keep it away from the store")
    return OK


def chain(arguments: argparse.Namespace) -> int:
    """Show the chains of an entity, event by event; 1 where one has gaps or is broken."""
    with bp.open_reader(arguments.path) as reader:
        filters = {"entity": arguments.entity} | ({} if arguments.lane is None else {"lane": arguments.lane})
        rows = reader.chains(check_payloads=arguments.payloads, **filters).to_arrow().to_pylist()
        summary = reader.chain_summary(**filters).to_arrow().to_pylist()
    if not rows:
        print("no events of this entity; batpak info shows which there are")
        return OK
    rows.sort(key=lambda row: (row["entity"], row["lane"], row["clock"]))
    names = [name for name in CHAIN_COLUMNS if name != "payload_ok" or arguments.payloads]
    tables.print_rows(tables.console(), {name: [row[name] for row in rows] for name in names})
    for one in summary:
        gone = f", {one['missing']} clocks missing" if one["missing"] else ""
        events = tables.plural(one["length"], "event")
        print(f"{tables.printable(one['entity'])}, lane {one['lane']}: {one['verdict']}, {events}{gone}")
    bad_payloads = arguments.payloads and not all(row["payload_ok"] for row in rows)
    return FINDINGS if bad_payloads or any(one["verdict"] != "whole" for one in summary) else OK
