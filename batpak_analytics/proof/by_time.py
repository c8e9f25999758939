"""The wall clock of an event against its own timestamp: all that ties the two together is the writer's rule.

`wall_ms` is the larger of `timestamp_us / 1000` and the wall clock of the event before on the chain (segments.md 2.7).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from batpak_analytics.proof.by_frame import NO_TIME
from batpak_analytics.proof.by_index import fault_at
from batpak_analytics.proof.faults import Fault
from batpak_analytics.proof.links import NO_ROW, Link, Links
from batpak_analytics.proof.rows import AllRows


def check_times(rows: AllRows, links: Links, timestamps: object) -> Iterator[Fault]:
    """Events whose wall clock is not what the rule gives; `timestamps` are in microseconds, by row."""
    stamps = np.asarray(timestamps)
    known = stamps != NO_TIME
    own = np.maximum(stamps, 0).astype(np.uint64) // np.uint64(1000)
    wall, parent = rows.columns["wall_ms"], links.parent
    before = np.where(parent == NO_ROW, 0, wall[parent]) if len(rows) else wall
    expected = np.maximum(own, before.astype(np.uint64))
    linked = (parent != NO_ROW) | (links.state == Link.ROOT)
    wrong = known & np.where(linked, wall != expected, wall < own)
    for row in np.flatnonzero(wrong).tolist():
        meaning = "wall clock and timestamp do not fit together: one of them was changed, or another writer made it"
        said = {"expected": f"wall clock {expected[row]}", "actual": f"wall clock {wall[row]}"}
        yield fault_at(rows, row, "warning", "header-time", meaning, **said)
