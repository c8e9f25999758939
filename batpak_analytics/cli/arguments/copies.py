"""The commands that copy events from store to store: ``snapshot``, ``fork`` and ``import``."""

from __future__ import annotations

import argparse
from typing import Any

from batpak_analytics.cli.arguments.parsing import add_command, add_path, count, kind, run_later


def add(commands: Any) -> None:
    """Add these commands to the subparsers `commands`."""
    _add_snapshot(commands)
    _add_fork(commands)
    _add_import(commands)


def _add_snapshot(commands: Any) -> None:
    snapshot = add_command(
        commands,
        "snapshot",
        "copy a store to a new directory, while it may be written",
        "Copies what is there now, without a lock: the last segment is cut behind its last whole event, and every\n"
        "segment of the copy has a footer, so that both engines see the same events and numbers. The copy appears\n"
        "under its name when it is whole and on disk.\n\n"
        "example:\n"
        "  batpak snapshot data/store backup/monday",
        run_later("copies", "snapshot"),
    )
    _add_copy(snapshot)


def _add_fork(commands: Any) -> None:
    fork = add_command(
        commands,
        "fork",
        "as snapshot, but sharing the files that never change",
        "Sealed segments get a second name (or share blocks, where the file system can) instead of a copy. Either\n"
        "store can then be written and compacted without the other noticing.\n\n"
        "example:\n"
        "  batpak fork data/store data/what-if",
        run_later("copies", "fork"),
    )
    _add_copy(fork)
    fork.add_argument("--copy", choices=("reflink", "hardlink", "copy"), default="reflink",
                      help="what to try first (default reflink, then hardlink, then copy)")  # fmt: skip
    fork.add_argument("--with-caches", action="store_true", help="take along a true index image")


def _add_copy(parser: argparse.ArgumentParser) -> None:
    add_path(parser)
    parser.add_argument("dest", metavar="DEST", help="the copy: a path that does not exist yet")
    parser.add_argument("--exclude-keys", action="store_true", help="copy a store that seals payloads, without keys")
    parser.add_argument("--json", action="store_true", help="print the report with its evidence as JSON")


def _add_import(commands: Any) -> None:
    importing = add_command(
        commands,
        "import",
        "append the events of another store, each once",
        "Opens PATH for writing, and appends the events of SOURCE that were not imported under this namespace yet,\n"
        "by whichever engine. If it is stopped, run it again: it goes on.\n\n"
        "example:\n"
        "  batpak import data/store other/store --namespace shop-2 --entity order",
        run_later("copies", "import_"),
    )
    add_path(importing)
    add = importing.add_argument
    add("source", metavar="SOURCE", help="the store whose events are appended to PATH")
    add("--namespace", required=True, metavar="NAME", help="names the source, the same each time")
    add("--entity", metavar="NAME", help="this entity, and those under it: order also takes order:7")
    add("--kind", type=kind, action="append", metavar="KIND", help="0xF001 or 61441; may be repeated")
    add("--after", type=count, metavar="N", help="events after this sequence of the source")
    add("--chunk-size", type=count, default=256, metavar="N", help="events written together (default 256)")
    add("--lanes", action="store_true", help="keep lanes and depths; otherwise all go to lane 0")
    add("--clear-causes", action="store_true", help="keep no causes, as batpak does")
    add("--skip-encrypted", action="store_true", help="leave out sealed events instead of refusing")
    add("--json", action="store_true", help="print the report as JSON")
