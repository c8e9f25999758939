"""Timestamps of events: microseconds by the clock of the writer, which only the frames hold."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from batpak_analytics.arrow.chunks import Chunk, chunks
from batpak_analytics.arrow.decode import Decoded, Decoder, FrameFindings, Needs
from batpak_analytics.arrow.selection import Selection
from batpak_analytics.engine.parallel import in_order
from batpak_analytics.graph.links import Links, Places

FRAMES_AT_ONCE = 65_536
US_IN_MS = 1000.0
MOST = 0.75
"""From this share of the events on all are read: picking them would cost more than the others do."""


class Times(NamedTuple):
    """Microseconds since 1970 by place, and whether they are known: of events asked for whose frames are sound."""

    values: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]

    def elapsed_ms(self, start: Any, end: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Milliseconds from the events at `start` to those at `end`, and where both times are known."""
        return milliseconds(self.values[start], self.values[end]), self.known[start] & self.known[end]


def milliseconds(first: Any, last: Any) -> npt.NDArray[np.float64]:
    """From the one time to the other, both in microseconds: the nearest float in whatever years a clock was.

    A difference that overflows int64 is right as uint64.
    """
    apart = np.where(last >= first, last - first, first - last).view(np.uint64).astype(np.float64) / US_IN_MS
    found: npt.NDArray[np.float64] = np.where(last >= first, apart, -apart)
    return found


def timestamps(links: Links, places: Places | None) -> Times:
    """The times of at least the events at ascending `places`, None for all. Reads the frame of each of them."""
    if places is not None and len(places) > MOST * links.count:
        places = None
    times = Times(np.zeros(links.count, np.int64), np.zeros(links.count, bool))
    masks = links.selection.masks if places is None else links.marked(places)
    counts = tuple(
        stretch.count if mask is None else int(np.count_nonzero(mask))
        for stretch, mask in zip(links.view.stretches, masks, strict=True)
    )
    selection = Selection(masks, counts, (None,) * len(counts))
    decoder, findings, done = Decoder(links.view, Needs(frozenset({"timestamp"}))), FrameFindings(links.view), 0

    def read(chunk: Chunk) -> tuple[Chunk, Decoded]:
        return chunk, decoder.decode(chunk)

    with links.view.pinned():
        for chunk, decoded in in_order(read, chunks(links.view, selection, FRAMES_AT_ONCE, frames=True)):
            findings.take(decoded.findings)
            here = slice(done, done + chunk.count)
            at = here if places is None else places[here]
            order = slice(None) if chunk.order is None else chunk.order
            times.values[at] = decoded.header["timestamp"][order]
            times.known[at] = decoded.ok[order]
            done += chunk.count
    return times


def latencies(links: Links, causes: Places, effects: Places) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Milliseconds from each cause to its effect, and where both times are known. Reads the frames of these events."""
    wanted = np.zeros(links.count, bool)
    wanted[causes] = wanted[effects] = True
    return timestamps(links, np.flatnonzero(wanted)).elapsed_ms(causes, effects)
