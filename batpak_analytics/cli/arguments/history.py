"""The commands that follow events: ``why`` and ``replay``."""

from __future__ import annotations

from typing import Any

from batpak_analytics.cli.arguments.parsing import add_command, add_path, count, kind, run_later


def add(commands: Any) -> None:
    """Add these commands to the subparsers `commands`."""
    _add_why(commands)
    _add_replay(commands)


def _add_why(commands: Any) -> None:
    why = add_command(
        commands,
        "why",
        "what led to an event and what it led to, as a tree",
        "Prints the causes of an event, the event itself and its effects. A cause is what the writer named\n"
        "as causation_id; nothing proves it. Times in milliseconds are since the cause.\n\n"
        "examples:\n"
        "  batpak why data/store 01a206129ef37537b7fd667b391124e8\n"
        "  batpak why data/store 391124e8 --json",
        run_later("why", "why"),
    )
    add_path(why)
    why.add_argument("event_id", metavar="EVENT_ID", help="32 hex digits, or the last 8 or more, as tables show them")
    why.add_argument("--depth", type=count, default=20, metavar="N", help="generations up and down (default 20)")
    why.add_argument("--limit", type=count, default=200, metavar="N", help="at most N effects (default 200)")
    why.add_argument("--json", action="store_true", help="one JSON object instead of a tree")


def _add_replay(commands: Any) -> None:
    replay = add_command(
        commands,
        "replay",
        "fold the events to a count, sums or last values, now or at any sequence",
        "Folds the events in commit order and prints the state after the last one, at a sequence, or after each.\n"
        "A sequence inside a batch means the moment before the batch.\n\n"
        "examples:\n"
        "  batpak replay data/store --count --by kind\n"
        "  batpak replay data/store --sum total --by entity --at 1204\n"
        "  batpak replay data/store --last status --entity order:7 --trace",
        run_later("replay", "replay"),
    )
    add_path(replay)
    what = replay.add_mutually_exclusive_group(required=True)
    what.add_argument("--count", action="store_true", help="how many events")
    what.add_argument("--sum", metavar="FIELD", help="the sum of a payload field, such as total or price.cents")
    what.add_argument("--last", metavar="FIELD", help="the last value of a payload field")
    add = replay.add_argument
    add("--by", metavar="WHAT", help="for each entity, scope, kind, or value of a payload field")
    add("--entity", metavar="NAME", help="this entity alone, without those under it")
    add("--kind", type=kind, action="append", metavar="KIND", help="0xF001 or 61441; may be repeated")
    add("--at", type=count, metavar="SEQUENCE", help="as it was at this global sequence")
    add("--trace", action="store_true", help="the state after each event")
    add("--json", action="store_true", help="print JSON: one object, or with --trace one a line")
