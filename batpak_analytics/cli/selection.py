"""From parsed arguments to the options of ``Reader.events``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from batpak_analytics.cli.tables import plural
from batpak_analytics.reader import Reader

OPTIONS = ("columns", "entity", "scope", "kind", "lane", "since", "until", "as_of", "system", "limit")


def scan_options(arguments: argparse.Namespace, payload: str) -> dict[str, Any]:
    """The keyword arguments of ``Reader.events``; ``payload`` is the mode where none was asked for."""
    options = {name: getattr(arguments, name) for name in OPTIONS}
    mode = arguments.payload or payload
    return options | {"payload": None if mode == "none" else mode}


def say_what_was_skipped(reader: Reader, path: str | Path) -> None:
    """One line on standard error when damage was met: a table of rows has no place to show it."""
    counts = {severity: 0 for severity in ("error", "warning")}
    for finding in reader.view.findings:
        if finding.severity in counts:
            counts[finding.severity] += 1
    if not any(counts.values()):
        return
    told = " and ".join(plural(count, severity) for severity, count in counts.items() if count)
    print(f"batpak: warning: the store has findings: {told}. Next: batpak check {path}", file=sys.stderr)
