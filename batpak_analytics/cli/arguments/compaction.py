"""The command ``compact``."""

from __future__ import annotations

from typing import Any

from batpak_analytics.cli.arguments.parsing import add_command, add_path, count, run_later

STRATEGIES = ("merge", "retention", "tombstone")  # of compaction/plan.py, which loads numpy: a test compares them


def add(commands: Any) -> None:
    """Add these commands to the subparsers `commands`."""
    _add_compact(commands)


def _add_compact(commands: Any) -> None:
    compact = add_command(
        commands,
        "compact",
        "what a compaction would do, counted before it is done",
        "Plans a compaction of every segment but the last, and prints what would stay, what would go, and what that\n"
        "breaks. A dry run: nothing is changed without --apply. Several --keep keep what any of them keeps.\n\n"
        "rules:\n"
        "  kinds=0x1001,0x1002     events of these kinds\n"
        "  entities=order,user:7   these entities, and those under them\n"
        "  last=5                  the last 5 events of each entity\n"
        "  newer-than=30d          younger than that at the newest event; also 12h, a time, or a sequence\n"
        "  where='payload.n > 0'   a condition on a column\n"
        "  chain-heads             the last event of each (entity, lane)\n"
        "  not:RULE, @rule.json    its opposite; a rule in its JSON form\n\n"
        "examples:\n"
        "  batpak compact data/store\n"
        "  batpak compact data/store --strategy retention --keep newer-than=90d --keep last=1 --with-causes\n"
        "  batpak compact data/store --strategy retention --keep last=10 --save plan.json\n"
        "  batpak compact data/store --plan plan.json --apply\n\n"
        "exit code:\n"
        "  0  it was done, or could be, or is skipped\n"
        "  1  it is refused, or failed with every event as it was\n"
        "  2  the store could not be read, or opened for writing; or the plan does not fit it any more",
        run_later("compact", "compact"),
    )
    add_path(compact)
    add = compact.add_argument
    add(
        "--strategy",
        choices=STRATEGIES,
        default="merge",
        help="keep all, drop, or mark what is not kept (default merge)",
    )
    add("--keep", action="append", default=[], metavar="RULE", help="what stays as it is; may be repeated")
    add("--with-causes", action="store_true", help="keep the causes of what stays too")
    add("--whole-correlations", action="store_true", help="tear no correlation apart")
    add("--system", action="store_true", help="judge the store's own events too")
    add("--tombstone-encrypted", action="store_true", help="mark encrypted events, which nobody can decrypt then")
    add("--min-segments", type=count, default=2, metavar="N", help="skip it with fewer segments (default 2)")
    add("--sample", type=float, metavar="SHARE", help="estimate from a share of the events, such as 0.05")
    add("--save", metavar="FILE", help="also write the plan, as JSON, outside the store")
    add("--plan", metavar="FILE", help="a plan that was saved, instead of a new one")
    add("--apply", action="store_true", help="do it; takes the store's lock")
    add("--json", action="store_true", help="print the summary as JSON")
