"""Which rows a cancelled fence hides, and what to do when that cannot be known exactly.

Hidden ranges are half-open ranges of global sequence (sidecars spec 8) and carry no event ids. Where a row's number was
counted rather than recorded, and frames before it may be missing or a compaction renumbered, the true number lies in an
interval; or it is the one at which 0.9.0 arrives, which counts some segments anew whatever their footers say. A row
that may have had a hidden number is hidden and reported: to show what was taken back is worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from batpak_analytics.engine.listing import Listing
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.sequences import SYNTHESISED
from batpak_analytics.engine.stretches import AnyScan
from batpak_analytics.errors import FormatError, FutureVersionError, HiddenRangesCorruptError
from batpak_analytics.format.layout import VISIBILITY_NAME, FooterState
from batpak_analytics.format.sidecars import visibility
from batpak_analytics.format.sidecars.visibility import HiddenRanges
from batpak_analytics.model import Finding

# The smallest frame 0.9.0 writes for an event is above 330 bytes; so many events at most fit into lost bytes.
SMALLEST_EVENT_BYTES = 300


def load_hidden(listing: Listing) -> HiddenRanges:
    """The hidden ranges; a file that is unreadable, corrupt or too new fails closed, in every mode."""
    data = listing.sidecars.get(VISIBILITY_NAME)
    if data is None:
        return HiddenRanges((), {})
    path = listing.directory / VISIBILITY_NAME
    if isinstance(data, OSError):
        raise data
    try:
        return visibility.decode(data)
    except FutureVersionError as error:
        raise FutureVersionError(
            f"{path} was written by a newer batpak ({error}). Which events are hidden is unknown, so none is shown; "
            f"update batpak-analytics.",
            path=str(path),
        ) from error
    except FormatError as error:
        raise HiddenRangesCorruptError(
            f"{path} is damaged ({error.reason} at byte {error.offset}). Which events are hidden is unknown, so none "
            f"is shown. Restore the file from a backup, or remove it if the owner agrees to reveal cancelled events.",
            path=str(path),
            offset=error.offset,
            expected=error.expected,
            actual=error.actual,
        ) from error


def hidden_rows(
    scans: list[AnyScan],
    sequences: list[Any],
    sources: list[Any],
    anew: list[Any],
    hidden: HiddenRanges,
    problems: Problems,
) -> list[Any]:
    """One bool array per segment: True where the row is hidden, or may be; `anew` is what the reference would count."""
    _report_compacted(scans, problems)
    low = [sequence.astype(np.int64) for sequence in sequences]
    high = [sequence.copy() for sequence in low]
    for run in _counted_runs(scans, sequences, sources):
        for index, rows in run.parts:
            low[index][rows] += min(run.slack, 0)
            high[index][rows] += max(run.slack, 0)
    masks = []
    for scan, sequence, source, other, least, most in zip(scans, sequences, sources, anew, low, high, strict=True):
        moved = (source == SYNTHESISED) & (other != sequence)
        mask = _meets(least, most, hidden.ranges) | (moved & _meets(other, other, hidden.ranges))
        unsure = mask & (moved | (least != most))
        if unsure.any():
            first = int(np.flatnonzero(unsure)[0])
            listed, offset = scan.place(first)
            problems.add(
                Finding("warning", "hidden-ambiguous", listed.segment_id, listed.file.name, offset,
                        f"Cancelled events cannot be told apart from their neighbours here: {int(unsure.sum())} from "
                        f"sequence {int(sequence[first])} on may be hidden ones, and are left out.",
                        "Restore the index image (index.fbati) or the footer that held the numbers.")
            )  # fmt: skip
        masks.append(mask)
    return masks


def report_given_twice(scans: list[AnyScan], sequences: list[Any], masks: list[Any], problems: Problems) -> None:
    """Hidden rows whose numbers another event was given too: only one of the two was meant."""
    hidden = np.concatenate([sequence[mask] for sequence, mask in zip(sequences, masks, strict=True)])
    numbers, counts = np.unique(hidden, return_counts=True)
    for scan, sequence, mask in zip(scans, sequences, masks, strict=True):
        rows = np.flatnonzero(mask & np.isin(sequence, numbers[counts > 1]))
        if len(rows):
            listed, offset = scan.place(int(rows[0]))
            problems.add(
                Finding("warning", "hidden-ambiguous", listed.segment_id, listed.file.name, offset,
                        f"After a crash 0.9.0 gave numbers of cancelled events to others: {len(rows)} events "
                        f"from sequence {int(sequence[rows[0]])} on may be either, and are left out.",
                        "Compare with what the application knows of them; nothing in the store tells them apart.")
            )  # fmt: skip


def _report_compacted(scans: list[AnyScan], problems: Problems) -> None:
    """A compaction that drops events renumbers the rest and leaves the ranges as they were (sidecars spec 21.2).

    Its output has no footer and is followed by a gap in the segment numbers. What it dropped is not on disk, so
    nothing can say which rows the ranges meant.
    """
    for scan, following in pairwise(scans):
        output = scan.footer_state == FooterState.ABSENT.value
        if output and following.listed.segment_id > scan.listed.segment_id + 1:
            problems.add(
                Finding(
                    "warning",
                    "hidden-after-compaction",
                    scan.listed.segment_id,
                    scan.listed.file.name,
                    None,
                    "The store was compacted and has cancelled events. If the compaction dropped events, 0.9.0 did not "
                    "move the hidden ranges with the numbers: cancelled events may be shown, and others hidden.",
                    "Compare with a copy from before the compaction. After a merge, which drops nothing, all is well.",
                )
            )


def _meets(low: Any, high: Any, ranges: tuple[tuple[int, int], ...]) -> Any:
    """True where the closed interval [low, high] meets one of the half-open ranges."""
    starts = np.array([start for start, _ in ranges], np.uint64)
    ends = np.array([end for _, end in ranges], np.uint64)
    last = np.searchsorted(starts, np.maximum(high, 0).astype(np.uint64), side="right")
    return (last > 0) & (ends[np.maximum(last, 1) - 1] > np.maximum(low, 0).astype(np.uint64))


@dataclass(frozen=True, slots=True)
class _Run:
    """Consecutive rows whose numbers were counted; their true numbers lie up to `slack` away."""

    parts: list[tuple[int, slice]]
    slack: int


def _counted_runs(scans: list[AnyScan], sequences: list[Any], sources: list[Any]) -> list[_Run]:
    runs: list[_Run] = []
    parts: list[tuple[int, slice]] = []
    since = last = 0
    for index, source in enumerate(sources):
        counted = source == SYNTHESISED
        edges = [0, *(np.flatnonzero(np.diff(counted.astype(np.int8))) + 1).tolist(), len(counted)]
        for start, stop in pairwise(edges):
            if start == stop:
                continue
            if counted[start]:
                parts.append((index, slice(start, stop)))
                last = int(sequences[index][stop - 1])
            elif parts:
                runs.append(_Run(parts, int(sequences[index][start]) - last - 1))
                parts, since = [], index
    # Behind the last known number only what was lost in front of an event can have moved its number.
    lost = list(accumulate((scan.lost_bytes for scan in scans[since:]), initial=0))
    runs += [_Run([part], lost[part[0] - since + 1] // SMALLEST_EVENT_BYTES) for part in parts]
    return [run for run in runs if run.slack]
