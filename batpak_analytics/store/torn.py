"""Holes that a power cut leaves in a segment that was not synced yet.

What is written reaches the disk page by page, in any order; a page that did not is zeros, or misses at the end. A sync
brings all pages there. So where there is such a hole, nothing from it on was ever said to be durable, and the events
behind it are dropped too: what is left is a prefix of what was appended, without gaps in its chains and with whole
batches only. Damage of other kinds leaves no zeros up to the edge of a page, and is not repaired.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from batpak_analytics.engine.batches import resolve_batches
from batpak_analytics.engine.holes import first_hole
from batpak_analytics.engine.recovery import Loss, index_rows, scan_frames
from batpak_analytics.engine.view import SegmentRows, View
from batpak_analytics.format.layout import FooterState
from batpak_analytics.store.files import Files, replace_file
from batpak_analytics.store.repair import Contents, end_of_events, pieces_of, sound_bytes
from batpak_analytics.store.report import Repair


class Torn(NamedTuple):
    """A segment with a hole: what is in front of it, and how many whole events are behind it."""

    kept: Contents
    behind: int


def torn_segments(view: View, damaged: Collection[int | None]) -> list[Torn]:
    """Those among the damaged segments that may not have been synced, and whose first damage is a hole."""
    unfinished = view.listing.unfinished_ids & set(damaged)
    found = [
        _judge(segment)
        for segment in view.segments
        if segment.segment_id in unfinished and segment.footer_state != FooterState.TRUSTED
    ]
    return [one for one in found if one is not None]


def repair_torn(files: Files, torn: list[Torn], now_ns: int) -> list[Repair]:
    """Keep what is in front of each hole. A segment with whole events behind it stays under another name as well, for
    whoever knows better. Raises OSError; every segment is then either as it was or repaired.
    """
    repairs = []
    for kept, behind in torn:
        path, segment = Path(kept.segment.path), kept.segment
        what = "it was cut where the first page that had not reached the disk begins, and sealed"
        if behind:
            copy = path.with_name(f"{path.name}.torn")
            replace_file(files, copy, pieces_of(segment, segment.size_bytes), like=path)
            what += f"; {behind} frames behind that, never said to be durable, are left in {copy.name}"
        replace_file(files, path, sound_bytes(kept, now_ns))
        repairs.append(Repair(path.name, what, "the power failed before it was synced"))
    return repairs


def _judge(segment: SegmentRows) -> Torn | None:
    size = segment.size_bytes
    if size and not np.frombuffer(segment.window(0, size), np.uint8).any():
        return Torn(_before(segment, 0), 0)
    scan = scan_frames(segment.file, segment.frames_start, size)
    if not scan.losses or not _is_hole(segment, scan.losses[0]):
        return None
    cut = scan.losses[0].start
    return Torn(_before(segment, cut), int((scan.offsets > cut).sum()))


def _is_hole(segment: SegmentRows, loss: Loss) -> bool:
    data = segment.window(loss.start, loss.end)
    return first_hole(data, loss.start, ends_file=loss.end == segment.size_bytes) is not None


def _before(segment: SegmentRows, cut: int) -> Contents:
    """The committed events in front of the hole; a batch counts only if its COMMIT is there too."""
    scan = scan_frames(segment.file, min(segment.frames_start, cut), cut)
    rows, strings = index_rows(segment.file, scan, resolve_batches(scan.frames, scan.lost_before).keep)
    known, numbers = segment.rows["offset"], segment.numbering.kept(segment.position)
    rows["global_sequence"] = numbers[np.searchsorted(known, rows["offset"])] if len(rows) else 0
    return Contents(segment, rows, strings, end_of_events(segment, rows))
