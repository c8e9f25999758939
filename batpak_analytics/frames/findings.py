"""Findings as a DataFrame."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from batpak_analytics.model import Finding

SEVERITIES = ("info", "warning", "error")
COLUMNS = ("severity", "rule", "segment", "file", "offset", "meaning", "action")


def findings_frame(findings: Iterable[Finding]) -> pd.DataFrame:
    """One row for each finding, errors first, else in the order they were met; no rows when all is well.

    `severity` is an ordered category (info < warning < error), `segment` and `offset` (bytes from the start
    of `file`) are nullable UInt64, `rule`, `file`, `meaning` (what it means) and `action` (what to do) are
    str.
    """
    rows = sorted(findings, key=lambda finding: -SEVERITIES.index(finding.severity))
    columns = {name: [getattr(finding, name) for finding in rows] for name in COLUMNS}
    frame = pd.DataFrame(columns, columns=list(COLUMNS))
    frame["severity"] = pd.Categorical(columns["severity"], categories=list(SEVERITIES), ordered=True)
    for name in ("segment", "offset"):
        frame[name] = pd.array(columns[name], dtype="UInt64")
    for name in ("rule", "file", "meaning", "action"):
        frame[name] = pd.Series(columns[name], dtype=str if pd.__version__ >= "3" else "object")
    return frame
