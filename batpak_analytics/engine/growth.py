"""The scan of a tail that has grown since it was scanned: only what is new is read.

A segment that is being written has no footer, and its bytes up to the last committed event never change again. So the
scan of the shorter file is kept up to there, and the rest is judged as it would be in a scan of the whole: the last
kept frame is read once more, as proof that this is still the same file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from batpak_analytics.engine.batches import resolve_batches
from batpak_analytics.engine.damage import report_batches, report_losses
from batpak_analytics.engine.listing import ListedSegment
from batpak_analytics.engine.lost_markers import lost_markers
from batpak_analytics.engine.mapping import SegmentFile
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.recovery import FrameScan, index_rows, reversed_ids, scan_frames
from batpak_analytics.engine.segments import SegmentScan
from batpak_analytics.engine.tails import lost_before, tail_of
from batpak_analytics.format.layout import FOOTER_MAGIC, FOOTER_MAGIC_LEGACY, FooterState
from batpak_analytics.model import Finding

Indexed = tuple[Any, tuple[str, ...]]


def grown_scan(
    listed: ListedSegment, old: SegmentScan, told: Iterable[Finding], problems: Problems
) -> SegmentScan | None:
    """The scan of `listed` from `old`, its scan when it was shorter; None when the whole file must be read.

    `told` are the findings of the old scan. Any about bytes that would not be read again asks for the whole.
    """
    if old.footer_state != FooterState.ABSENT.value or not len(old.rows) or _ends_in_footer(listed.file):
        return None
    proof = old.rows[-1]
    resume = int(proof["offset"])
    if any(one.offset is None or one.offset < resume for one in told):
        return None
    frames = scan_frames(listed.file, resume, listed.file.size_bytes)
    if not _begins_with(frames, proof):
        return None
    tail = tail_of(listed, frames, listed.file.size_bytes, last=True)
    verdict = resolve_batches(frames.frames, lost_before(frames, tail), lost_markers(listed.file, frames))
    lost = report_losses(listed, frames, tail, problems)
    report_batches(listed, frames, verdict, problems)
    rows, strings = _joined(old.rows[:-1], old.strings, index_rows(listed.file, frames, verdict.keep))
    waiting = None
    if verdict.open_batch is not None and verdict.open_batch.rows:
        mask = np.zeros(len(frames.frames), bool)
        mask[list(verdict.open_batch.rows)] = True
        waiting = index_rows(listed.file, frames, mask)
    return replace(
        old,
        listed=listed,
        rows=rows,
        strings=strings,
        numbered=np.zeros(len(rows), bool),
        frames_end=int(frames.offsets[-1] + frames.lengths[-1]),
        open_batch=verdict.open_batch,
        waiting=waiting,
        unfinished=verdict.goes_on,
        lost_bytes=lost,
    )


def _ends_in_footer(file: SegmentFile) -> bool:
    end = bytes(file.window(max(file.size_bytes - 4, 0), file.size_bytes))
    return end in (FOOTER_MAGIC, FOOTER_MAGIC_LEGACY)


def _begins_with(frames: FrameScan, row: Any) -> bool:
    """Whether the first frame is the one that was indexed as `row`."""
    if not len(frames.offsets) or int(frames.offsets[0]) != int(row["offset"]):
        return False
    first = frames.frames[:1]
    return bool(
        frames.lengths[0] == row["length"]
        and reversed_ids(first["event_id"])[0] == row["event_id"]
        and first["event_hash"][0] == row["event_hash"]
    )


def _joined(rows: Any, strings: tuple[str, ...], more: Indexed) -> Indexed:
    """Rows and their string table with `more` behind them."""
    added, names = more
    table = {name: code for code, name in enumerate(strings)}
    codes = np.array([table.setdefault(name, len(table)) for name in names], np.uint32)
    for name in ("entity_idx", "scope_idx"):
        added[name] = codes[added[name]]
    return np.concatenate([rows, added]), tuple(table)
