"""The commands that show or write events: ``demo``, ``info``, ``head`` and ``export``."""

from __future__ import annotations

import argparse
from typing import Any

from batpak_analytics.cli.arguments.parsing import (
    add_command,
    add_path,
    count,
    kind,
    moment,
    names,
    position,
    run_later,
)

PAYLOAD_MODES = ("columns", "struct", "json", "binary", "none")


def add(commands: Any) -> None:
    """Add these commands to the subparsers `commands`."""
    _add_demo(commands)
    _add_info(commands)
    _add_head(commands)
    _add_export(commands)


def _add_demo(commands: Any) -> None:
    add_command(
        commands,
        "demo",
        "read a small store that comes with the package",
        "Reads a real store of a few events, and prints its rows, a summary by kind, and the same in Python.",
        run_later("show", "demo"),
    )


def _add_info(commands: Any) -> None:
    info = add_command(
        commands,
        "info",
        "segments, counts, kinds and time span of a store",
        "Describes a store from its footers; no payload is decoded.\n\nexample:\n  batpak info data/store",
        run_later("show", "info"),
    )
    add_path(info)


def _add_head(commands: Any) -> None:
    head = add_command(
        commands,
        "head",
        "the first events of a store, as a table",
        "Prints the first events in commit order. Kinds are in hex; ids are shown by their last 8 digits,\n"
        "because they begin with the time.\n\n"
        "examples:\n"
        "  batpak head data/store -n 20\n"
        "  batpak head data/store --columns global_sequence,entity,payload.amount --kind 0xF001",
        run_later("show", "head"),
    )
    add_path(head)
    head.add_argument("-n", type=count, default=10, dest="limit", metavar="N", help="how many (default 10)")
    _add_selection(head, payload="json")


def _add_export(commands: Any) -> None:
    export = add_command(
        commands,
        "export",
        "write events to .parquet, .arrow, .csv or .jsonl",
        "Streams the events, batch by batch, into OUT; its ending chooses the format. The file appears\n"
        "under its name only when it is complete.\n\n"
        "examples:\n"
        "  batpak export data/store events.parquet\n"
        "  batpak export data/store moved.jsonl --kind 0xF001 --since 2026-03-01T00:00:00Z --force",
        run_later("export", "export"),
    )
    add_path(export)
    export.add_argument("out", metavar="OUT", help="file to write: .parquet, .arrow, .csv or .jsonl")
    export.add_argument("--force", action="store_true", help="replace OUT if it exists")
    export.add_argument("--limit", type=count, metavar="N", help="at most N events")
    _add_selection(export, payload=None)


def _add_selection(parser: argparse.ArgumentParser, *, payload: str | None) -> None:
    """The filters and columns that ``read_batpak`` takes, under the same names."""
    add = parser.add_argument_group("what to read").add_argument
    add(
        "--columns",
        type=names,
        metavar="A,B",
        help="'all', or names such as entity,wall_time,payload.amount",
    )
    add("--entity", metavar="NAME", help="this entity, and those under it: order also takes order:7")
    add("--scope", metavar="NAME", help="this scope exactly")
    add("--kind", type=kind, action="append", metavar="KIND", help="0xF001 or 61441; may be repeated")
    add("--lane", type=count, metavar="N", help="this lane")
    add("--since", type=moment, metavar="TIME", help="from this time on: 2026-03-01T00:00:00Z")
    add("--until", type=moment, metavar="TIME", help="before this time")
    add("--as-of", type=position, metavar="AT", help="as the store was at a sequence, event id or time")
    add("--system", action="store_true", help="also the store's own open and close events")
    chosen = f" (default {payload})" if payload else " (default columns; json for .jsonl)"
    add("--payload", choices=PAYLOAD_MODES, default=payload, help="how to give payloads" + chosen)
    add("--on-damage", choices=("report", "raise"), default="report", help="read what can be proven, or stop")
