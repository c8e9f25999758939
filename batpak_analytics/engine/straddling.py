"""A batch whose COMMIT stands in the next segment.

0.9.0 never writes one (it rotates only before BEGIN, segments spec 2.10) but reads one, and so do we; only the COMMIT
with the very id of the BEGIN, after exactly the items that were missing, is proof.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from batpak_analytics.engine.recovery import scan_frames
from batpak_analytics.engine.segments import SegmentScan
from batpak_analytics.engine.stretches import AnyScan, StretchScan
from batpak_analytics.format.layout import KIND_BATCH_BEGIN, KIND_BATCH_COMMIT


def settle_open_batches(scans: list[AnyScan]) -> list[AnyScan]:
    """The scans with the rows added that a later segment's COMMIT proves."""
    settled = list(scans)
    for index, scan in enumerate(scans[:-1]):
        if isinstance(scan, StretchScan) or scan.open_batch is None or scan.waiting is None:
            continue
        if _completes(scan, scans[index + 1]):
            settled[index] = _with_waiting(scan)
    return settled


def _completes(scan: SegmentScan, following: AnyScan) -> bool:
    assert scan.open_batch is not None
    if isinstance(following, StretchScan):
        following = following.single(0)
    frames = scan_frames(following.listed.file, following.frames_start, following.frames_end).frames
    kinds = frames["kind"]
    marker = np.flatnonzero((kinds == KIND_BATCH_BEGIN) | (kinds == KIND_BATCH_COMMIT))
    if len(marker) == 0 or int(marker[0]) != scan.open_batch.remaining:
        return False
    first = frames[marker[0]]
    return bool(first["kind"] == KIND_BATCH_COMMIT) and first["event_id"].tobytes() == scan.open_batch.batch_id


def _with_waiting(scan: SegmentScan) -> SegmentScan:
    rows, strings = scan.waiting
    rows = rows.copy()
    rows["entity_idx"] += len(scan.strings)
    rows["scope_idx"] += len(scan.strings)
    merged = np.concatenate([scan.rows, rows])
    order = np.argsort(merged["offset"], kind="stable")
    numbered = np.concatenate([scan.numbered, np.zeros(len(rows), bool)])
    return replace(
        scan,
        rows=merged[order],
        strings=(*scan.strings, *strings),
        numbered=numbered[order],
        open_batch=None,
        waiting=None,
    )
