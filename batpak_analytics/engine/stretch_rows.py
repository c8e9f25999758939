"""A stretch of small segments in a view, and what stands behind it: its segments one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.engine.mapping import release
from batpak_analytics.engine.numbering import Numbered, Numbering
from batpak_analytics.engine.stretches import StretchScan
from batpak_analytics.format.layout import FooterState


def used_strings(stretch: Any, mask: Any) -> tuple[Any, Any]:
    """Which strings the rows of a stretch use as entity and which as scope; `mask` chooses rows, None all."""
    found: tuple[Any, Any] = kernels.used_strings(stretch.rows, mask, len(stretch.strings))
    return found


def frame_bytes(stretch: Any, mask: Any, whole: int) -> int:
    """Bytes of the frames of the rows that `mask` chooses, of `whole` in all; where it leaves few out, those count."""
    if mask is None:
        return whole
    lengths, out = stretch.rows["length"], np.flatnonzero(~mask)
    if 2 * len(out) > len(mask):
        return int(lengths[mask].sum(dtype=np.uint64))
    return whole - int(lengths[out].sum(dtype=np.uint64))


@dataclass(frozen=True, slots=True, eq=False)
class PartOfNumbering:
    """What `Numbering` says of one segment of a stretch; which one is asked for does not matter."""

    whole: Numbering
    stretch: int
    rows: slice

    def sequence(self, _: int) -> Any:
        """The global sequence of each row."""
        return self.whole.sequence(self.stretch)[self.rows]

    def kept(self, _: int) -> Any:
        """The sequence to write down for each row when a file is mended."""
        return self.whole.kept(self.stretch)[self.rows]

    def source(self, _: int) -> Any:
        """Where each number came from."""
        return self.whole.source(self.stretch)[self.rows]

    def hides(self, _: int) -> bool:
        """Whether any row is never shown."""
        return self.whole.hides(self.stretch) and bool(self.excluded(0).any())

    def excluded(self, _: int) -> Any:
        """Which rows are never shown."""
        return self.whole.excluded(self.stretch)[self.rows]

    def frame_bytes(self, _: int) -> int:
        """Bytes of the frames of all rows."""
        return int(self.whole.lengths(self.stretch)[self.rows].sum(dtype=np.uint64))


@dataclass(frozen=True, slots=True, eq=False)
class StretchRows(Numbered):
    """A stretch in a view: what `SegmentRows` is for one segment."""

    scan: StretchScan
    numbering: Numbering
    position: int

    joined = True
    mapped = True
    footer_state = FooterState.TRUSTED.value

    @property
    def rows(self) -> Any:
        """A `FOOTER_DTYPE` array in file order, hidden ones included. Offsets count from the start of the pack."""
        return self.scan.rows

    @property
    def count(self) -> int:
        """How many rows there are; cheaper to ask than `rows`."""
        return self.scan.count

    def used_strings(self, mask: Any) -> tuple[Any, Any]:
        """Which of `strings` the rows use as entity and which as scope; `mask` chooses rows, None all."""
        return self.scan.facts.used_strings if mask is None else used_strings(self, mask)

    def frame_bytes(self, mask: Any) -> int:
        """Bytes of the frames of all rows or of those that `mask` chooses."""
        return frame_bytes(self, mask, self.scan.facts.frame_bytes)

    @property
    def strings(self) -> tuple[str, ...]:
        """The names that rows refer to."""
        return self.scan.strings

    @property
    def size_bytes(self) -> int:
        """How far windows reach."""
        return int(self.scan.pack.buffer.size)

    @property
    def id_range(self) -> tuple[int, int]:
        """The lowest and the highest segment id."""
        return self.scan.pack.ids[self.scan.first], self.scan.pack.ids[self.scan.last - 1]

    def window(self, low: int, high: int) -> Any:
        """Bytes `[low, high)` of the pack as a `pyarrow.Buffer`."""
        return self.scan.pack.buffer.slice(low, high - low)

    def release(self, low: int, high: int) -> None:
        """Let the process forget the pages of `[low, high)`: it can still read them."""
        release(self.scan.pack.buffer, low, high)

    def place(self, row: int) -> tuple[int, str, int]:
        """Segment id, file name and offset in the file of a row's frame."""
        listed, offset = self.scan.place(row)
        return listed.segment_id, listed.file.name, offset

    def segment_ids(self, rows: Any) -> Any:
        """The segment id of each of `rows`, a slice or row numbers."""
        return self._of_member(np.array(self.scan.pack.ids, np.uint64), rows)

    def offsets(self, rows: Any) -> Any:
        """The offset of each of `rows` in its own file."""
        return self.rows["offset"][rows] - self._of_member(np.array(self.scan.pack.starts, np.uint64), rows)

    def _of_member(self, values: Any, rows: Any) -> Any:
        """For each row the value of its segment."""
        mine, bounds = values[self.scan.first : self.scan.last], self.scan.bounds
        if isinstance(rows, slice):
            low, high, _ = rows.indices(self.count)
            inside = np.clip(bounds, low, high)
            return np.repeat(mine, np.diff(inside))
        return mine[np.searchsorted(bounds, rows, side="right") - 1]
