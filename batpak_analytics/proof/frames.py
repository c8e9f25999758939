"""Frames of some rows read once: their CRC, what they say beside their index row, and BLAKE3 of what they store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.arrow.contradictions import StringTable
from batpak_analytics.arrow.windows import Window, windows
from batpak_analytics.format.layout import FRAME_OK, HASH_SIZE, FooterState
from batpak_analytics.format.rows import Source, Taken


def take_rows(segment: Any, rows: Any, *, payloads: bool, keep: bool) -> Iterator[tuple[Window, Taken]]:
    """The frames of ascending row numbers of a segment, or of a slice of them, window by window.

    Each is compared with its row where the row is a footer's; other rows were made from these very frames.
    """
    strings = None
    if segment.footer_state == FooterState.TRUSTED:
        table = StringTable.of(segment.strings)
        strings = (table.text, table.bounds)
    for window in windows(segment, rows):
        source = Source(window.buffer, window.start, segment.rows, window.rows, strings)
        yield window, kernels.take_frames([source], payloads=payloads, keep=keep)


def payload_hashes(taken: Taken) -> Any:
    """BLAKE3 of each payload that was taken, as an `(n, 32)` array."""
    return kernels.hash_spans(taken.data, taken.bounds[:-1], np.diff(taken.bounds))


def payloads_ok(segment: Any, rows: Any) -> Any:
    """For ascending row numbers of a segment: whether the stored payload gives the `event_hash` of its index row.

    False too where the frame is damaged: what cannot be read cannot be confirmed.
    """
    parts = [np.zeros(0, bool)]
    for window, taken in take_rows(segment, rows, payloads=True, keep=False):
        same = same_hashes(payload_hashes(taken), stored_hashes(segment.rows[window.rows], "event_hash"))
        parts.append(same & (taken.status == FRAME_OK))
    return np.concatenate(parts)


def stored_hashes(rows: Any, name: str) -> Any:
    """A hash field of index rows or parsed frames as an `(n, 32)` array."""
    return np.ascontiguousarray(rows[name]).view(np.uint8).reshape(-1, HASH_SIZE)


def same_hashes(left: Any, right: Any) -> Any:
    """Which rows of two `(n, 32)` arrays are equal."""
    words = np.ascontiguousarray(left).view("<u8") ^ np.ascontiguousarray(right).view("<u8")
    return (words[:, 0] | words[:, 1] | words[:, 2] | words[:, 3]) == 0
