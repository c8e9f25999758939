"""Frames of some rows read once: their CRC, what they say beside their index row, and BLAKE3 of what they store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.arrow.contradictions import StringTable
from batpak_analytics.arrow.windows import windows
from batpak_analytics.format.gather import row_count
from batpak_analytics.format.layout import FRAME_OK, HASH_SIZE, FooterState
from batpak_analytics.format.rows import Source, Taken


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames of rows `[first, first + count)` of a segment. `hashes` are those of the payloads, where they were asked
    for; `ok` is False where the frame could not be read.
    """

    first: int
    taken: Taken
    hashes: Any

    @property
    def ok(self) -> Any:
        """Which frames are sound."""
        return self.taken.status == FRAME_OK


def read_frames(segment: Any, rows: slice, *, payloads: bool, keep: bool = True) -> Iterator[Frames]:
    """The frames of some rows of a segment, window by window."""
    strings = None
    if segment.footer_state == FooterState.TRUSTED:  # other rows were made from these very frames
        table = StringTable.of(segment.strings)
        strings = (table.text, table.bounds)
    for window in windows(segment, rows):
        source = Source(window.buffer, window.start, segment.rows, window.rows, strings)
        taken = kernels.take_frames([source], payloads=payloads, keep=keep)
        hashes = kernels.hash_spans(taken.data, taken.bounds[:-1], np.diff(taken.bounds)) if payloads else None
        yield Frames(window.row(0) if row_count(window.rows) else rows.start, taken, hashes)


def payloads_ok(segment: Any, rows: Any) -> Any:
    """For ascending row numbers of a segment: whether the stored payload gives the `event_hash` of its index row.

    False too where the frame is damaged: what cannot be read cannot be confirmed.
    """
    found = np.zeros(len(rows), bool)
    at = 0
    for window in windows(segment, rows):
        taken = kernels.take_frames([Source(window.buffer, window.start, segment.rows, window.rows)])
        hashes = kernels.hash_spans(taken.data, taken.bounds[:-1], np.diff(taken.bounds))
        same = same_hashes(hashes, stored_hashes(segment.rows[window.rows], "event_hash"))
        count = len(same)
        found[at : at + count] = same & (taken.status == FRAME_OK)
        at += count
    return found


def stored_hashes(rows: Any, name: str) -> Any:
    """A hash field of index rows or parsed frames as an `(n, 32)` array."""
    return np.ascontiguousarray(rows[name]).view(np.uint8).reshape(-1, HASH_SIZE)


def same_hashes(left: Any, right: Any) -> Any:
    """Which rows of two `(n, 32)` arrays are equal."""
    words = np.ascontiguousarray(left).view("<u8") ^ np.ascontiguousarray(right).view("<u8")
    return (words[:, 0] | words[:, 1] | words[:, 2] | words[:, 3]) == 0
