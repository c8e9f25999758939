"""What `verify` finds: one fault for each place, what it means and what to do, and a DataFrame of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from batpak_analytics.frames.findings import SEVERITIES
from batpak_analytics.model import Finding, Severity

COLUMNS = ("severity", "rule", "segment", "offset", "event", "expected", "actual", "meaning", "action")
MOST_OF_A_RULE = 1000
"""Faults of one rule that are listed one by one; all are counted."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it should be: `expected` and `actual` are text, and None where they do not apply."""

    severity: Severity
    rule: str
    meaning: str
    action: str
    segment: int | None = None
    offset: int | None = None
    event: str | None = None
    expected: str | None = None
    actual: str | None = None

    @classmethod
    def of(cls, finding: Finding) -> Fault:
        """A finding of the open, or of a read, as a fault."""
        place = f"{finding.file}: " if finding.segment is None and finding.file else ""
        return cls(
            finding.severity, finding.rule, place + finding.meaning, finding.action, finding.segment, finding.offset
        )


class Faults:
    """The faults of one run, in the order they were met."""

    def __init__(self) -> None:
        self.listed: list[Fault] = []
        self.counted: Counter[str] = Counter()
        self.severities: Counter[str] = Counter()
        self.serious: Counter[str] = Counter()
        """Errors and warnings by rule, those that are not listed included."""
        self.segments: set[int | None] = set()
        """Segments that have any."""

    def add(self, fault: Fault) -> None:
        """List one, or only count it where its rule has very many."""
        self.counted[fault.rule] += 1
        self.severities[fault.severity] += 1
        if fault.severity != "info":
            self.serious[fault.rule] += 1
            self.segments.add(fault.segment)
        if self.counted[fault.rule] <= MOST_OF_A_RULE:
            self.listed.append(fault)

    def extend(self, faults: Iterable[Fault]) -> None:
        """List several."""
        for fault in faults:
            self.add(fault)

    def frame(self) -> pd.DataFrame:
        """One row for each, errors first."""
        rows = sorted(self.listed, key=lambda fault: -SEVERITIES.index(fault.severity))
        columns: dict[str, list[Any]] = {name: [getattr(one, name) for one in rows] for name in COLUMNS}
        frame = pd.DataFrame(columns, columns=list(COLUMNS))
        frame["severity"] = pd.Categorical(columns["severity"], categories=list(SEVERITIES), ordered=True)
        for name in ("segment", "offset"):
            frame[name] = pd.array(columns[name], dtype="UInt64")
        for name in ("rule", "event", "expected", "actual", "meaning", "action"):
            frame[name] = pd.Series(columns[name], dtype=str if pd.__version__ >= "3" else "object")
        return frame
