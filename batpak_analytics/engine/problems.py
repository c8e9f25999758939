"""What the reader found wrong, and when that must be an error instead.

Every loss is one `Finding`. In `on_damage="report"` it is listed and the rest is read; in `"raise"` it is raised where
the reference's own open or read would have failed.
"""

from __future__ import annotations

import threading
from typing import Any

from batpak_analytics.errors import CorruptError
from batpak_analytics.model import Finding


class Problems:
    """The findings of one view, in the order they were met, each once. Safe to share between threads."""

    def __init__(self, on_damage: str = "report") -> None:
        if on_damage not in ("report", "raise"):
            raise ValueError(f'on_damage must be "report" or "raise", not {on_damage!r}')
        self.on_damage = on_damage
        self._found: dict[tuple[Any, ...], Finding] = {}
        self._lock = threading.Lock()

    def add(self, finding: Finding, *, fails: type[CorruptError] | None = None) -> None:
        """Record `finding`. `fails` names the error with which the reference refuses the same bytes, if it does."""
        if fails is not None and self.on_damage == "raise":
            raise fails(
                f"{finding.file or 'the store'}: {finding.meaning} {finding.action}",
                path=finding.file,
                segment_id=finding.segment,
                offset=finding.offset,
            )
        key = (finding.rule, finding.segment, finding.file, finding.offset)
        with self._lock:
            self._found.setdefault(key, finding)

    def extend(self, findings: tuple[Finding, ...]) -> None:
        """Record findings that were judged before, when the same unchanged file was scanned."""
        for finding in findings:
            self.add(finding)

    @property
    def by_place(self) -> dict[tuple[Any, ...], Finding]:
        """All findings so far, each under what makes it one and the same."""
        with self._lock:
            return dict(self._found)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings so far."""
        with self._lock:
            return tuple(self._found.values())


def together(*parts: Problems) -> tuple[Finding, ...]:
    """The findings of all `parts`, in their order, each once."""
    found: dict[tuple[Any, ...], Finding] = {}
    for part in parts:
        for key, finding in part.by_place.items():
            found.setdefault(key, finding)
    return tuple(found.values())
