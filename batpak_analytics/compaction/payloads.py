"""Filters and functions of events, over the events of a plan: hidden ones are judged as well, as in the reference."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow.compute as pc

from batpak_analytics.arrow.criteria import Criteria
from batpak_analytics.arrow.filters import Filters, TupleFilters, parse_filters
from batpak_analytics.arrow.scan import Scan
from batpak_analytics.arrow.schema import DISPOSITIONS, Tier
from batpak_analytics.arrow.selection import select
from batpak_analytics.compaction.rows import EventRows
from batpak_analytics.engine.ids import Place
from batpak_analytics.engine.numbering import Run
from batpak_analytics.engine.point_read import read_value
from batpak_analytics.errors import CorruptError, PayloadEncryptedError, PayloadUndecodableError, UnknownColumnError
from batpak_analytics.format.sidecars.visibility import HiddenRanges

SEALED, NO_READING = "encrypted", "undecodable"
EVERYTHING = Criteria(None, None, None, None, None, None, None, True)
STEP = 1024


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """The numbering of some rows of a segment, of which none is hidden."""

    segment: Any
    rows: Any

    def sequence(self, _: int) -> Any:
        return self.segment.sequence[self.rows]

    def source(self, _: int) -> Any:
        return self.segment.source[self.rows]

    def hides(self, _: int) -> bool:
        return False

    def excluded(self, _: int) -> Any:
        return np.broadcast_to(False, len(self.segment.rows[self.rows]))

    def frame_bytes(self, _: int) -> int:
        return int(self.segment.rows["length"][self.rows].sum(dtype=np.uint64))


@dataclass(frozen=True, slots=True, eq=False)
class _FileOrder:
    """The numbering of a view that is read in the order of its files."""

    whole: Any
    runs: tuple[Run, ...]

    def settle(self) -> Any:
        return self.whole.settle()


def shown_view(rows: EventRows, asked: Any = None) -> Any:
    """The asked rows of a view (None: all), hidden ones too, in the order of the files."""
    view, segments = rows.view, []
    masks = rows.masks(asked) if asked is not None else [None] * len(rows.segments)
    for segment, mask in zip(rows.segments, masks, strict=True):
        here = slice(None) if mask is None or bool(mask.all()) else np.flatnonzero(mask)
        if mask is None or mask.any():
            segments.append(replace(segment, rows=segment.rows[here], numbering=_Shown(segment, here), position=0))
    runs = tuple(Run(at, 0, one.count) for at, one in enumerate(segments) if one.count)
    return replace(
        view, stretches=tuple(segments), numbering=_FileOrder(view.numbering, runs), hidden=HiddenRanges((), {}),
        cache={}, lock=threading.RLock(),
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
    unsure = parsed.tier == Tier.PAYLOAD
    wanted = _or_without_reading(parsed, filters) if unsure else filters
    try:
        found = _scanned(rows, shown_view(rows, asked), wanted, dispositions=unsure)
    except UnknownColumnError:  # of these events; others may have the field
        found = np.where(asked, _scanned(rows, shown_view(rows), wanted, dispositions=unsure), FAILED)
    return found == PASSED, by_reason(found)


FAILED, PASSED = -1, DISPOSITIONS.index("present")
_REASONS = {
    SEALED: [DISPOSITIONS.index(one) for one in ("encrypted", "shredded")],
    NO_READING: [DISPOSITIONS.index("undecodable")],
}


def by_reason(found: Any) -> dict[str, Any]:
    """Of which rows it is unknown whether they pass, by reason; `found` has a disposition of each."""
    why = {name: np.isin(found, codes) for name, codes in _REASONS.items()}
    return {name: mask for name, mask in why.items() if mask.any()}


def _or_without_reading(parsed: Filters, filters: Any) -> Any:
    """The filter, passed as well by every event whose payload has no reading: one scan finds both."""
    if not isinstance(parsed, TupleFilters):
        return filters | (pc.field("disposition") != "present")
    groups = [[(one.column, one.operator, one.value) for one in group] for group in parsed.groups]
    return [*groups, [("disposition", "!=", "present")]]


def _by_index(rows: EventRows, filters: Filters) -> Any:
    view = shown_view(rows)
    masks = select(view, EVERYTHING, filters).masks
    passed = np.ones(rows.count, bool)
    for at, mask in enumerate(masks):
        if mask is not None:
            passed[rows.starts[at] : rows.starts[at + 1]] = mask if len(mask) else False
    return passed


def _scanned(rows: EventRows, view: Any, filters: Any, *, dispositions: bool) -> Any:
    """`FAILED` for the rows that a scan of the view does not give, `PASSED` for those that it does.

    With `dispositions`, what the disposition of each is, as a place in `DISPOSITIONS`.
    """
    names = ["segment_id", "offset", *(["disposition"] if dispositions else [])]
    scan = Scan(view, filters=filters, columns=names, payload=None, system=True)
    found = np.full(rows.count, FAILED, np.int8)
    for batch in scan.to_batches():
        codes: Any = np.int8(PASSED)
        if dispositions:
            texts = batch.column("disposition")
            table = np.array([DISPOSITIONS.index(text) for text in texts.dictionary.to_pylist()], np.int8)
            codes = table[texts.indices.to_numpy()]
        found[rows_of(rows, batch)] = codes
    return found


def rows_of(rows: EventRows, scanned: Any) -> Any:
    """The row of each event of a table or batch, which tells their segments and offsets."""
    starts = {one.segment_id: (one, int(start)) for one, start in zip(rows.segments, rows.starts, strict=False)}
    ids, offsets = scanned.column("segment_id").to_numpy(), scanned.column("offset").to_numpy()
    edges = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(ids)]
    found = np.empty(len(ids), np.int64)
    for low, high in pairwise(edges):
        if low < high:
            segment, start = starts[int(ids[low])]
            found[low:high] = start + np.searchsorted(segment.rows["offset"], offsets[low:high])
    return found


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
