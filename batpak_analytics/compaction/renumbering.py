"""Which global sequences move when an output has no footer, and what holds numbers of the old kind then.

Without a footer both engines count the events of the output from 0 in the order of the file (engine-read.md T-1).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from batpak_analytics.engine.filesystem import list_files, read_file
from batpak_analytics.engine.sequences import SYNTHESISED
from batpak_analytics.errors import FormatError
from batpak_analytics.format.layout import CURSOR_FOLDER, CURSOR_SUFFIX
from batpak_analytics.format.sidecars import cursor


@dataclass(frozen=True, slots=True)
class Renumbering:
    """How many events get another number, and the first number from which on none means what it did."""

    events: int
    first: int | None

    @classmethod
    def none(cls) -> Renumbering:
        """Every number stays."""
        return cls(0, None)

    @classmethod
    def counted(cls, effects: Any) -> Renumbering:
        """As both engines count a store whose output has no footer, and no index image."""
        rows = effects.rows
        stays = np.flatnonzero(~effects.dropped)
        old = rows.sequence[stays].astype(np.int64)
        unknown = effects.sealed[stays] | (_sources(rows)[stays] == SYNTHESISED)
        new = old.copy()
        seen = -1
        edges = [0, *(np.flatnonzero(np.diff(unknown.astype(np.int8))) + 1).tolist(), len(stays)] if len(stays) else [0]
        for low, high in pairwise(edges):
            if unknown[low]:
                new[low:high] = np.arange(seen + 1, seen + 1 + high - low)
            seen = max(seen, int(new[low:high].max()))
        moved = old[new != old]
        gone = rows.sequence[effects.dropped]
        touched = np.concatenate([moved, gone.astype(np.int64)]) if len(moved) else moved
        return cls(len(moved), int(touched.min()) if len(touched) else None)

    def hidden_ranges(self, hidden: Any) -> int:
        """How many hidden ranges mean other events then."""
        return 0 if self.first is None else sum(1 for _, end in hidden.ranges if end > self.first)

    def cursors(self, directory: Path) -> int:
        """How many cursors stand at a number that means another event then."""
        if self.first is None or not (directory / CURSOR_FOLDER).is_dir():
            return 0
        found = 0
        for name in list_files(directory / CURSOR_FOLDER):
            data = read_file(directory / CURSOR_FOLDER / name) if name.endswith(CURSOR_SUFFIX) else None
            try:
                found += data is not None and cursor.decode(data).position >= self.first
            except FormatError:
                continue
        return found


def _sources(rows: Any) -> Any:
    return np.concatenate([np.empty(0, np.uint8), *(one.source for one in rows.segments)])
