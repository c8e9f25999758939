"""What queries look at: the rows of a store at one moment, of a view or of a store that is being written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from batpak_analytics.engine.view import SegmentRows, View
from batpak_analytics.format.sidecars.keyset import Keyset
from batpak_analytics.format.sidecars.visibility import HiddenRanges


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Segments in the order of their ids, and what of them is shown.

    `in_order` tells whether commit order is segment by segment, row by row. Events from `shown_below` on wait behind a
    fence that is open. `keyset` tells which payloads lost their key; None where that cannot be known.
    """

    segments: Sequence[SegmentRows]
    hidden: HiddenRanges
    in_order: Callable[[], bool]
    shown_below: int | None = None
    keyset: Keyset | None = None

    @classmethod
    def of_view(cls, view: View) -> Snapshot:
        """All that a reader sees."""
        return cls(view.segments, view.hidden, lambda: view.in_order, keyset=view.keyset)

    @property
    def hides_rows(self) -> bool:
        """Whether any event may not be shown."""
        return self.shown_below is not None or bool(self.hidden) or any(one.hides_rows for one in self.segments)
