"""Filters and functions of events, over the events of a plan: hidden ones are judged as well, as in the reference."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from batpak_analytics.arrow.criteria import Criteria
from batpak_analytics.arrow.filters import Filters, parse_filters
from batpak_analytics.arrow.scan import Scan
from batpak_analytics.arrow.schema import Tier
from batpak_analytics.arrow.selection import select
from batpak_analytics.compaction.rows import EventRows
from batpak_analytics.engine.ids import Place
from batpak_analytics.engine.numbering import Run
from batpak_analytics.engine.point_read import read_value
from batpak_analytics.errors import CorruptError, PayloadEncryptedError, PayloadUndecodableError
from batpak_analytics.format.sidecars.visibility import HiddenRanges

SEALED, NO_READING = "encrypted", "undecodable"
EVERYTHING = Criteria(None, None, None, None, None, None, None, True)
STEP = 1024


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """The numbering of one segment, of which nothing is hidden."""

    numbering: Any
    position: int

    def sequence(self, _: int) -> Any:
        return self.numbering.sequence(self.position)

    def source(self, _: int) -> Any:
        return self.numbering.source(self.position)

    def hides(self, _: int) -> bool:
        return False

    def excluded(self, _: int) -> Any:
        return np.broadcast_to(False, len(self.numbering.sequence(self.position)))

    def frame_bytes(self, _: int) -> int:
        return int(self.numbering.frame_bytes(self.position))


@dataclass(frozen=True, slots=True, eq=False)
class _FileOrder:
    """The numbering of a view that is read in the order of its files."""

    whole: Any
    runs: tuple[Run, ...]

    def settle(self) -> Any:
        return self.whole.settle()


def _shown_view(view: Any, positions: list[int]) -> Any:
    """These segments of a view with all their events, hidden ones too, in the order of the files."""
    segments = tuple(
        replace(one, numbering=_Shown(one.numbering, one.position), position=0)
        for one in (view.segments[at] for at in positions)
    )
    runs = tuple(Run(at, 0, one.count) for at, one in enumerate(segments) if one.count)
    shown = HiddenRanges((), {})
    return replace(
        view, stretches=segments, numbering=_FileOrder(view.numbering, runs), hidden=shown, cache={},
        lock=threading.RLock(),
    )  # fmt: skip


def judged_by_filter(rows: EventRows, asked: Any, filters: Any) -> tuple[Any, dict[str, Any]]:
    """Which rows pass a filter, and of which that is unknown, by reason. Where nothing is asked for, none passes."""
    parsed = parse_filters(filters)
    if parsed is None:
        return np.ones(rows.count, bool), {}
    possible = _by_index(rows, parsed)
    if parsed.tier == Tier.INDEX:
        return possible, {}
    asked = asked & possible
    positions = [at for at, mask in enumerate(rows.masks(asked)) if mask.any()]
    view = _shown_view(rows.view, positions)
    passed = _scanned(rows, view, filters) & asked
    if parsed.tier != Tier.PAYLOAD:
        return passed, {}
    why = {name: _scanned(rows, view, [("disposition", "in", names)]) & asked for name, names in _REASONS.items()}
    return passed, {name: mask for name, mask in why.items() if mask.any()}


_REASONS = {SEALED: ["encrypted", "shredded"], NO_READING: ["undecodable"]}


def _by_index(rows: EventRows, filters: Filters) -> Any:
    view = _shown_view(rows.view, list(range(len(rows.segments))))
    masks = select(view, EVERYTHING, filters).masks
    passed = np.ones(rows.count, bool)
    for at, mask in enumerate(masks):
        if mask is not None:
            passed[rows.starts[at] : rows.starts[at + 1]] = mask if len(mask) else False
    return passed


def _scanned(rows: EventRows, view: Any, filters: Any) -> Any:
    """Which rows a scan of the view gives."""
    scan = Scan(view, filters=filters, columns=["segment_id", "offset"], payload=None, system=True)
    starts = {one.segment_id: int(rows.starts[at]) for at, one in enumerate(rows.segments)}
    by_id = {one.segment_id: one for one in rows.segments}
    passed = np.zeros(rows.count, bool)
    for batch in scan.to_batches():
        ids, offsets = batch.column("segment_id").to_numpy(), batch.column("offset").to_numpy()
        edges = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(ids)]
        for low, high in pairwise(edges):
            segment = int(ids[low])
            at = np.searchsorted(by_id[segment].rows["offset"], offsets[low:high])
            passed[starts[segment] + at] = True
    return passed


def judged_by_function(
    rows: EventRows, asked: Any, function: Callable[[Any], Any], progress: Callable[[int, int], None] | None
) -> tuple[Any, dict[str, Any]]:
    """For which events a function returns true, and of which their payloads leave that unknown, by reason.

    The function gets what `Reader.get` gives. What it raises reaches the caller, with a note that names the event.
    """
    passed = np.zeros(rows.count, bool)
    unknown = {name: np.zeros(rows.count, bool) for name in _REASONS}
    total, done = int(asked.sum()), 0
    for at, mask in enumerate(rows.masks(asked)):
        segment, start = rows.segments[at], int(rows.starts[at])
        numbers = segment.sequence
        for row in np.flatnonzero(mask).tolist():
            try:
                event = read_value(Place(segment, row, int(numbers[row])))
            except PayloadEncryptedError:
                unknown[SEALED][start + row] = True
            except (PayloadUndecodableError, CorruptError):
                unknown[NO_READING][start + row] = True
            else:
                passed[start + row] = _said(function, event)
            done += 1
            if progress is not None and (done % STEP == 0 or done == total):
                progress(done, total)
    return passed, {name: mask for name, mask in unknown.items() if mask.any()}


def _said(function: Callable[[Any], Any], event: Any) -> bool:
    try:
        return bool(function(event))
    except Exception as error:
        error.add_note(f"keep= failed for event {event.event_id.hex()} of {event.entity}; nothing was planned.")
        raise
