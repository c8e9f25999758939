"""Why a store cannot be compacted as it is: damage in the sources, or a compaction that is not settled."""

from __future__ import annotations

from collections import Counter

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.engine.view import SegmentRows, View
from batpak_analytics.format.layout import FRAME_OK

NEXT = "Compare with a backup; `batpak check` lists every damaged place."


def refusals_of(view: View, segments: list[SegmentRows]) -> tuple[str, ...]:
    """Every reason, in sentences; none for a sound store. Cost: the CRC of every frame of the sources.

    A batch that damage left without its end may have been committed, and events of which nobody knows whether they are
    hidden would be shown or hidden for good by the numbers that a footer gives them.
    """
    found = []
    if view.listing.marker is not None or any(one.role == "moved-aside" for one in view.segments):
        found.append("A compaction was begun and is not settled. Store.open() settles it.")
    files = Counter(one.segment_id for one in view.segments)
    found += [f"{count} files have the number {one}. Keep one of them." for one, count in files.items() if count > 1]
    mine = {None, *(one.segment_id for one in segments)}
    for finding in view.findings:
        serious = finding.severity == "error" or (finding.severity, finding.rule) == ("warning", "batch-incomplete")
        if (serious and finding.segment in mine) or finding.rule == "hidden-ambiguous":
            found.append(f"{finding.file}: {finding.meaning} {NEXT}")
    if view.numbering.hides_otherwise:
        found.append(
            "0.9.0 gave numbers of cancelled events to others after a crash. A footer with the numbers of now would "
            "hide some of those, and show what was cancelled. Append what is to be kept to a new store "
            "with import_events()."
        )
    for segment in segments:
        key = ("frames-bad", segment.name)  # a view never changes: its frames are read once
        if key not in view.cache:
            view.cache[key] = _bad_frames(segment)
        found += view.cache[key]
    return tuple(found)


def _bad_frames(segment: SegmentRows) -> list[str]:
    rows = segment.rows
    if not len(rows):
        return []
    offsets, lengths = np.array(rows["offset"]), np.array(rows["length"])  # the kernel takes no read-only ones
    status = kernels.check_frames(segment.window(0, segment.size_bytes), offsets, lengths)
    bad = np.flatnonzero(np.asarray(status) != FRAME_OK)
    if not len(bad):
        return []
    return [
        f"{segment.name}: the bytes of {len(bad)} events do not give their checksum, the first at offset "
        f"{int(rows['offset'][bad[0]])}. {NEXT}"
    ]
