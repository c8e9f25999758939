"""``check``: every frame and footer of a store, verified; the exit code carries the answer."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

import batpak_analytics as bp
from batpak_analytics.cli import tables
from batpak_analytics.cli.outcome import FINDINGS, OK, one_line
from batpak_analytics.model import Finding

MEANING = "what it means, and what to do"


def check(arguments: argparse.Namespace) -> int:
    """Verify the store, list what was found, and return 0 (sound) or 1 (findings)."""
    with bp.open_reader(arguments.path) as reader:
        with tqdm(unit=" frames", unit_scale=True, leave=False, disable=None, delay=0.5) as bar:
            findings = reader.check(progress=lambda done, of: move(bar, done, of))
        segments, events = len(reader.view.segments), reader.view.event_count
    serious = [finding for finding in findings if finding.severity != "info"]
    if findings:
        tables.print_rows(tables.console(), _columns(findings), numeric=["segment", "offset"], wrap=MEANING)
    verdict = tables.plural(len(serious), "finding") if serious else "sound"
    print(f"{verdict}: checked {tables.plural(events, 'event')} in {tables.plural(segments, 'segment')}")
    return FINDINGS if serious else OK


def move(bar: Any, done: int, of: int) -> None:
    """Bring a bar to where the work is."""
    bar.total = of
    bar.update(done - bar.n)


def _columns(findings: Sequence[Finding]) -> dict[str, list[Any]]:
    return {
        "severity": [finding.severity for finding in findings],
        "segment": [finding.segment for finding in findings],
        "offset": [finding.offset for finding in findings],
        "rule": [finding.rule for finding in findings],
        MEANING: [one_line(f"{finding.meaning} {finding.action}") for finding in findings],
    }
