"""Which segment files count while the traces of a compaction are in the directory.

The reference decides by names alone and thereby hides acknowledged events in three crash windows (sidecars spec 7.4).
Here the content decides (sidecars spec 7.5): sources count until the merged file is proven to be the finished output,
and it is proven when sources began to be deleted, which happens only after it was written whole.

A compaction from here (`store/swap.py`) leaves nothing to prove: its output takes its name whole, in one rename, so the
name alone decides, for both engines alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from batpak_analytics.engine.duplicates import event_folds
from batpak_analytics.engine.growth import grown_scan
from batpak_analytics.engine.listing import ListedSegment, Listing
from batpak_analytics.engine.packs import Pack
from batpak_analytics.engine.parallel import in_order
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.segments import SegmentScan, scan_segment
from batpak_analytics.engine.stretches import AnyScan, StretchScan, stretches_of
from batpak_analytics.errors import MarkerCorruptError
from batpak_analytics.format.layout import MARKER_NAME
from batpak_analytics.format.sidecars.marker import CompactionMarker
from batpak_analytics.model import Finding

LARGE_BYTES = 1 << 20
"""From here a segment is worth a thread."""

NEXT_OPEN = "Store.open() settles it; nothing is missing here."

SWAP_CUT_SHORT = (
    "compaction-cut-short",
    "a compaction had not put its output in place; its sources were read",
)
SWAPPED = "compaction-running", "a compaction was removing its sources; its output was read"
SWAP_FINISHED = "compaction-finished", "a compaction finished, and only its marker is left behind"


def resolve_segments(
    listing: Listing,
    problems: Problems,
    cache: dict[tuple[Any, ...], tuple[SegmentScan, tuple[Finding, ...]]],
) -> list[AnyScan]:
    """Scans of the segments that count, by ascending id. `cache` keeps scans of sealed files between refreshes."""
    scanner = _Scanner(listing, problems, cache)
    plain = [one for one in listing.segments if not one.moved_aside]
    moved = [one for one in listing.segments if one.moved_aside]
    marker = listing.marker
    if marker is None:
        _report_orphans(moved, problems)
        scanner.ahead(plain)
        parts = [*plain, *scanner.packs(listing.packs)]
        parts.sort(key=_place)
        return [one if isinstance(one, StretchScan) else scanner(one) for one in parts]
    merged = [one for one in plain if one.segment_id == marker.merged_id]
    source = [one for one in moved if one.segment_id == marker.merged_id]
    others = set(marker.source_ids) - {marker.merged_id}
    if marker.is_swap:
        # It has its lasting id already, which is that of a source, and will have the name.
        merged, source = [replace(one, segment_id=marker.lasting_id) for one in merged], []
    _report_orphans([one for one in moved if one not in source], problems)
    rest = [one for one in plain if one.segment_id in others]
    missing = sorted(others - {one.segment_id for one in rest})
    outside = [one for one in plain if one.segment_id != marker.merged_id and one.segment_id not in others]
    chosen = _choose(marker, merged, source, rest, missing, scanner, problems)
    return [scanner(one) for one in sorted([*chosen, *outside], key=lambda one: one.segment_id)]


def _choose(
    marker: CompactionMarker,
    merged: list[ListedSegment],
    source: list[ListedSegment],
    rest: list[ListedSegment],
    missing: list[int],
    scanner: _Scanner,
    problems: Problems,
) -> list[ListedSegment]:
    if marker.is_swap and (merged or not missing):
        _note(problems, *(SWAPPED if merged and rest else SWAP_FINISHED if merged else SWAP_CUT_SHORT))
        return merged or rest
    if source and merged and not missing:
        _note(
            problems,
            "compaction-running",
            "a compaction was under way; its sources are all here and were read",
        )
        return [*source, *rest]
    if source and merged:
        # The moved-aside source is deleted first. While it is here the output is not proven, and may hold what is gone.
        _report_missing(marker, missing, problems, refused=False)
        return [*source, *merged, *rest]
    if not merged:
        if missing:
            _report_missing(marker, missing, problems, refused=True)
        elif not source and marker.merged_id in marker.source_ids:
            _report_missing(marker, [marker.merged_id], problems, refused=False)
        elif source:
            _note(
                problems,
                "compaction-cut-short",
                "a compaction stopped before it wrote its output; its sources were read",
            )
        return [*source, *rest]
    if not rest:
        _note(problems, "compaction-finished", "a compaction finished, and only its marker is left behind")
        return merged
    if _is_output(scanner, merged[0], rest, missing):
        _note(
            problems,
            "compaction-running",
            "a compaction was deleting its sources; its output was read in their place",
        )
        return merged
    if missing:
        _report_missing(marker, missing, problems, refused=False)
    else:
        _note(
            problems,
            "compaction-cut-short",
            "a compaction stopped before it moved anything; all its sources were read",
        )
    return [*merged, *rest]


def _report_missing(marker: CompactionMarker, missing: list[int], problems: Problems, *, refused: bool) -> None:
    problems.add(
        Finding("error", "compaction-sources-missing", marker.merged_id, MARKER_NAME, None,
                f"The marker names segments {missing} that are not in the directory.",
                "Restore them from a backup; what is here was read."),
        fails=MarkerCorruptError if refused else None,
    )  # fmt: skip


def _is_output(scanner: _Scanner, merged: ListedSegment, rest: list[ListedSegment], missing: list[int]) -> bool:
    """Whether the file with the merged id is the compaction's output rather than its untouched first source.

    Shared events prove it; not shared ids, as a key that is used again after its history was lost gives one id to two
    events. A retention may have dropped every event of the sources that are left; then it takes two
    things: sources are gone already, and the file was created after those that are left. Its age alone proves nothing:
    a first source that an earlier compaction wrote is younger than the segment that was being written meanwhile.
    """
    output = scanner(merged)
    events = event_folds(output.rows)
    if any(bool(np.isin(event_folds(scanner(one).rows), events).any()) for one in rest):
        return True
    return bool(missing) and output.created_ns > max(scanner(one).created_ns for one in rest)


def _place(part: ListedSegment | StretchScan) -> tuple[int, str]:
    listed = part.listed if isinstance(part, StretchScan) else part
    return listed.segment_id, listed.file.name


class _Scanner:
    """Scans each file at most once, sealed files once for all refreshes of a reader, and a tail where it has grown."""

    def __init__(self, listing: Listing, problems: Problems, cache: dict[tuple[Any, ...], Any]) -> None:
        self._unfinished, self._problems, self._cache = listing.unfinished_ids, problems, cache

    def ahead(self, all_of_them: list[ListedSegment]) -> None:
        """Scan large segments in threads, to be found when they are asked for one by one."""
        new = [one for one in all_of_them if one.file.size_bytes > LARGE_BYTES and one.file.map is not None]
        new = [one for one in new if self._key(one) not in self._cache]
        if len(new) > 1:
            work = in_order(lambda one: self._whole(one, self._is_last(one)), new)
            for one, found in zip(new, work, strict=True):
                self._cache[self._key(one)] = found

    def packs(self, packs: Sequence[Pack]) -> Iterator[StretchScan | ListedSegment]:
        """The stretches of packs, and the segments in them that are to be scanned one by one."""
        new = [pack for pack in packs if (pack,) not in self._cache]
        for pack, parts in zip(new, in_order(stretches_of, new, None if len(new) > 1 else 1), strict=True):
            self._cache[(pack,)] = parts
        for pack in packs:
            yield from self._cache[(pack,)]

    def _is_last(self, one: ListedSegment) -> bool:
        return one.segment_id in self._unfinished and not one.moved_aside

    def _key(self, one: ListedSegment) -> tuple[Any, ...]:
        return (one.file.name, one.file.identity, one.file.map is not None, self._is_last(one))

    def __call__(self, one: ListedSegment) -> SegmentScan:
        last, key = self._is_last(one), self._key(one)
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self._grown(one, key) or self._whole(one, last)
        self._problems.extend(found[1])
        return found[0]

    def _whole(self, one: ListedSegment, last: bool) -> tuple[SegmentScan, tuple[Finding, ...]]:
        own = Problems(self._problems.on_damage)
        return scan_segment(one, own, last=last), own.findings

    def _grown(self, one: ListedSegment, key: tuple[Any, ...]) -> tuple[SegmentScan, tuple[Finding, ...]] | None:
        name, identity, mapped, last = key
        if mapped or not last:
            return None
        for (known, before, *rest), (scan, told) in self._files():
            if known == name and rest == [False, True] and identity.same_file(before) and before.size < identity.size:
                own = Problems(self._problems.on_damage)
                grown = grown_scan(one, scan, told, own)
                return None if grown is None else (grown, own.findings)
        return None

    def _files(self) -> list[tuple[Any, Any]]:
        """What is kept of single files."""
        return [(key, found) for key, found in self._cache.items() if len(key) > 1]


def _report_orphans(moved: list[ListedSegment], problems: Problems) -> None:
    for one in moved:
        problems.add(
            Finding("warning", "compaction-orphan", one.segment_id, one.file.name, None,
                    "A compaction source was left behind under its moved-aside name, and no marker says it counts.",
                    "If events are missing, ask the store's owner to compare it with the segment of that number.")
        )  # fmt: skip


def _note(problems: Problems, rule: str, meaning: str) -> None:
    problems.add(Finding("info", rule, None, MARKER_NAME, None, f"{meaning[:1].upper()}{meaning[1:]}.", NEXT_OPEN))
