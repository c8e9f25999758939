"""One segment file as index rows: from its footer when that can be believed, else from its frames.

A footer is believed when its CRC is right, its rows stand in file order inside the frame region without overlapping,
and no committed event stands outside them. Everything else is read frame by frame (segments spec 6.3 to 6.5), and what
a footer says that the frames do not is a finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from batpak_analytics.engine.batches import BatchVerdict, OpenBatch, resolve_batches
from batpak_analytics.engine.listing import ListedSegment
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.recovery import FrameScan, Loss, index_rows, scan_frames
from batpak_analytics.errors import (
    CorruptError,
    CorruptFrameError,
    CorruptSegmentError,
    CrcMismatchError,
    FormatError,
)
from batpak_analytics.format.footer import FooterResult, read_footer, untrusted_entries
from batpak_analytics.format.layout import (
    FOOTER_TRAILER_SIZE,
    FRAME_CRC,
    FRAME_END,
    FRAME_HEADER_SIZE,
    FRAME_MALFORMED,
    FRAME_PAST_END,
    FRAME_TOO_LARGE,
    KIND_BATCH_BEGIN,
    KIND_BATCH_COMMIT,
    MAX_SEGMENT_HEADER,
    SEGMENT_PREFIX_SIZE,
    FooterState,
)
from batpak_analytics.format.segment import SegmentHeader, read_segment_header
from batpak_analytics.model import Finding

LOSS_MEANING = {
    FRAME_CRC: "bytes whose checksum is wrong; the events in them are lost",
    FRAME_MALFORMED: "bytes with a right checksum that are no event",
    FRAME_TOO_LARGE: "a frame length over 256 MiB; the bytes up to the next whole frame are unreadable",
    FRAME_PAST_END: "a frame that would end past the file; the bytes up to the next whole frame are unreadable",
    FRAME_END: "a few stray bytes after the last frame",
}
LOSS_ERROR: dict[int, type[CorruptError]] = {
    FRAME_CRC: CrcMismatchError,
    FRAME_MALFORMED: CorruptSegmentError,
    FRAME_TOO_LARGE: CorruptFrameError,
    FRAME_PAST_END: CorruptFrameError,
}
RESTORE = "Compare with a backup or a fork; `batpak check` lists every damaged place."


@dataclass(frozen=True, slots=True, eq=False)
class SegmentScan:
    """What one segment holds. `rows` are committed events in file order, hidden ones included.

    `numbered` is True where the row's `global_sequence` was recorded by an authentic footer. `waiting` are the rows of
    a batch that the next segment may still complete, `lost_bytes` the bytes in which events may have been lost.
    """

    listed: ListedSegment
    rows: Any
    strings: tuple[str, ...]
    numbered: Any
    footer_state: str
    frames_start: int
    frames_end: int
    created_ns: int
    open_batch: OpenBatch | None = None
    waiting: Any = None
    lost_bytes: int = 0


def scan_segment(listed: ListedSegment, problems: Problems, *, last: bool) -> SegmentScan:
    """Index rows of one segment. `last` marks the highest one, whose unfinished tail is normal."""
    file = listed.file
    header = _header(listed, problems, last=last)
    footer = _footer(listed)
    if footer.state is FooterState.TRUSTED:
        scan = _from_footer(listed, header, footer, problems)
        if scan is not None:
            return scan
    frames_end = _frames_end(listed, footer)
    start = header.frames_start if header else _search_start(listed)
    frames = scan_frames(file, start, frames_end)
    verdict = resolve_batches(frames.frames, frames.lost_before)
    _report_footer(listed, footer, frames, problems)
    lost = _report_losses(listed, frames, problems, last=last, region_end=frames_end)
    _report_batches(listed, frames, verdict, problems)
    rows, strings = index_rows(file, frames, verdict.keep)
    waiting = None
    if verdict.open_batch is not None and verdict.open_batch.rows:
        mask = np.zeros(len(frames.frames), bool)
        mask[list(verdict.open_batch.rows)] = True
        waiting = index_rows(file, frames, mask)
    numbered = np.zeros(len(rows), bool)
    if footer.state is FooterState.TRUSTED:
        numbered = _adopt_numbers(rows, footer.entries)
    end = int(frames.offsets[-1] + frames.lengths[-1]) if len(frames.offsets) else start
    return SegmentScan(
        listed, rows, strings, numbered, str(footer.state.value), start, end,
        header.created_ns if header else 0, verdict.open_batch, waiting, lost,
    )  # fmt: skip


def _header(listed: ListedSegment, problems: Problems, *, last: bool) -> SegmentHeader | None:
    size = min(listed.file.size_bytes, SEGMENT_PREFIX_SIZE + MAX_SEGMENT_HEADER)
    try:
        return read_segment_header(bytes(listed.file.window(0, size)))
    except FormatError as error:
        empty = last and listed.file.size_bytes < SEGMENT_PREFIX_SIZE + 64
        problems.add(
            _finding(
                listed,
                "info" if empty else "error",
                "segment-header",
                0,
                f"the segment header is unreadable ({error.reason})"
                + ("; the writer was stopped while it created the file" if empty else ""),
                "Nothing is lost by it." if empty else RESTORE,
            ),
            fails=None if listed.file.size_bytes == 0 and empty else CorruptSegmentError,
        )
        return None


def _search_start(listed: ListedSegment) -> int:
    """Where to look for frames when the header cannot say: its length field if that is possible, else byte 0."""
    if listed.file.size_bytes < SEGMENT_PREFIX_SIZE:
        return listed.file.size_bytes
    length = int.from_bytes(bytes(listed.file.window(4, 8)), "big")
    start = SEGMENT_PREFIX_SIZE + length
    return start if length <= MAX_SEGMENT_HEADER and start <= listed.file.size_bytes else 0


def _footer(listed: ListedSegment) -> FooterResult:
    if listed.file.map is not None:
        return read_footer(listed.file.map)
    size = listed.file.size_bytes
    if size < FOOTER_TRAILER_SIZE or bytes(listed.file.window(size - 4, size)) not in (b"SDX3", b"SDX2"):
        return read_footer(b"")  # no footer: nothing else of the file need be read to know it
    return read_footer(listed.file.window(0, size))


def _from_footer(
    listed: ListedSegment, header: SegmentHeader | None, footer: FooterResult, problems: Problems
) -> SegmentScan | None:
    """The footer's rows, or None when the frames must be read because the footer is authentic and still wrong."""
    assert footer.entries is not None and footer.frames_end is not None
    entries = footer.entries
    marker = (entries["kind"] == KIND_BATCH_BEGIN) | (entries["kind"] == KIND_BATCH_COMMIT)
    rows = entries[~marker] if marker.any() else entries
    start = header.frames_start if header else (int(rows["offset"][0]) if len(rows) else footer.frames_end)
    reason = _contradiction(listed, rows, start, footer.frames_end)
    if reason:
        problems.add(
            _finding(listed, "warning", "footer-lies", footer.frames_end,
                     f"the footer's checksum is right but {reason}; the frames were read instead", RESTORE)
        )  # fmt: skip
        return None
    return SegmentScan(
        listed, rows, footer.strings, np.ones(len(rows), bool), str(footer.state.value), start, footer.frames_end,
        header.created_ns if header else 0,
    )  # fmt: skip


def _contradiction(listed: ListedSegment, rows: Any, start: int, end: int) -> str | None:
    """Why the rows cannot be all the committed events of `[start, end)`, or None when they are."""
    offsets = rows["offset"].astype(np.uint64)
    lengths = rows["length"].astype(np.uint64)
    if len(rows) and (bool((lengths < FRAME_HEADER_SIZE).any()) or int(offsets.max()) > end or int(offsets[0]) < start):
        return "a row points outside the frames"
    ends = offsets + lengths
    if len(rows) and int(ends.max()) > end:
        return "a row points outside the frames"
    if bool((ends[:-1] > offsets[1:]).any()):
        return "rows overlap or are out of order"
    lows = np.concatenate([[np.uint64(start)], ends])
    highs = np.concatenate([offsets, [np.uint64(end)]])
    gaps = np.flatnonzero(highs > lows)
    if _only_markers(listed, lows[gaps], highs[gaps]):
        return None
    return _events_in_gaps(listed, start, end, len(rows))


def _only_markers(listed: ListedSegment, lows: Any, highs: Any) -> bool:
    """True when each gap between footer rows is whole batch markers, as the writer leaves them."""
    for low, high in zip(lows.tolist(), highs.tolist(), strict=True):
        scan = scan_frames(listed.file, low, high)
        kinds = scan.frames["kind"]
        if scan.losses or not bool(((kinds == KIND_BATCH_BEGIN) | (kinds == KIND_BATCH_COMMIT)).all()):
            return False
    return True


def _events_in_gaps(listed: ListedSegment, start: int, end: int, listed_events: int) -> str | None:
    scan = scan_frames(listed.file, start, end)
    committed = int(resolve_batches(scan.frames, scan.lost_before).keep.sum())
    if committed > listed_events:
        return f"it lists {listed_events} events where the frames hold {committed}"
    return None


def _frames_end(listed: ListedSegment, footer: FooterResult) -> int:
    """The end of the frame region: the footer's word where it is authentic, else the end of the file."""
    if footer.state is FooterState.TRUSTED and footer.frames_end is not None:
        return min(footer.frames_end, listed.file.size_bytes)
    return listed.file.size_bytes


def _adopt_numbers(rows: Any, entries: Any) -> Any:
    """Take sequence numbers for scanned rows from an authentic footer that lists the same events elsewhere."""
    known = {entry["event_id"].tobytes(): entry for entry in entries}
    numbered = np.zeros(len(rows), bool)
    for index in range(len(rows)):
        entry = known.get(rows["event_id"][index].tobytes())
        if entry is not None and entry["event_hash"] == rows["event_hash"][index]:
            rows["global_sequence"][index] = entry["global_sequence"]
            numbered[index] = True
    return numbered


def _report_footer(listed: ListedSegment, footer: FooterResult, frames: FrameScan, problems: Problems) -> None:
    """Say what an unusable footer proves: that it is damaged, and which events it lists that are gone."""
    if footer.state in (FooterState.ABSENT, FooterState.TRUSTED):
        return
    size = listed.file.size_bytes
    legacy = footer.state is FooterState.LEGACY
    problems.add(
        _finding(listed, "info" if legacy else "warning", "footer-unusable", size - FOOTER_TRAILER_SIZE,
                 "the footer is of a version without a checksum; the frames were read instead" if legacy else
                 f"the footer is damaged ({footer.reason or footer.state.value}); the frames were read instead",
                 "No event is lost by it." if legacy else "Every frame was checked; no event is lost by this alone.")
    )  # fmt: skip
    entries = untrusted_entries(listed.file.window(0, size)) if not legacy else None
    if entries is None or not len(frames.offsets):
        return
    have = set(frames.offsets.tolist())
    hashes = dict(zip(frames.offsets.tolist(), frames.frames["event_hash"].tolist(), strict=True))
    rows = list(zip(entries["offset"].tolist(), entries["event_hash"].tolist(), strict=True))
    corroborated = any(hashes.get(offset) == value for offset, value in rows)
    missing = [offset for offset, _ in rows if offset not in have]
    if corroborated and missing:
        problems.add(
            _finding(listed, "error", "events-lost", min(missing),
                     f"the footer lists {len(missing)} events whose frames are no longer whole", RESTORE),
            fails=CorruptSegmentError,
        )  # fmt: skip


def _report_losses(listed: ListedSegment, frames: FrameScan, problems: Problems, *, last: bool, region_end: int) -> int:
    """One finding per damaged place; returns the bytes in which events may have been lost."""
    lost = 0
    for loss in frames.losses:
        size = loss.end - loss.start
        final = loss.end == region_end and loss.before_row == len(frames.frames)
        if final and _is_footer_remnant(listed, loss):
            continue
        unfinished = final and last and loss.status in (FRAME_PAST_END, FRAME_TOO_LARGE, FRAME_END)
        if unfinished or (final and loss.status == FRAME_END):
            problems.add(
                _finding(listed, "info", "unfinished-tail", loss.start,
                         f"{size} bytes after the last whole frame: a write that had not finished",
                         "Normal while the writer runs or after a crash; the event was never acknowledged as durable.")
            )  # fmt: skip
            continue
        lost += size
        problems.add(
            _finding(listed, "error", "frames-damaged", loss.start,
                     f"{size} bytes: {LOSS_MEANING.get(loss.status, 'unreadable bytes')}", RESTORE),
            fails=LOSS_ERROR.get(loss.status, CorruptSegmentError),
        )  # fmt: skip
    return lost


def _is_footer_remnant(listed: ListedSegment, loss: Loss) -> bool:
    """True when the bytes after the last frame are the footer that could not be used, and that was said already."""
    size = listed.file.size_bytes
    if size - loss.start < FOOTER_TRAILER_SIZE:
        return False
    trailer = bytes(listed.file.window(size - FOOTER_TRAILER_SIZE, size))
    claims_start = int.from_bytes(trailer[:8], "little") == loss.start
    return claims_start and trailer[12:] in (b"SDX3", b"SDX2")


def _report_batches(listed: ListedSegment, frames: FrameScan, verdict: BatchVerdict, problems: Problems) -> None:
    for row, count, why in verdict.dropped:
        problems.add(
            _finding(listed, "info" if count or "impossible" not in why else "error", "batch-incomplete",
                     int(frames.offsets[row]), f"{why}; {count} of its events are left out",
                     "They were never acknowledged; the writer was stopped in the middle of the batch.")
        )  # fmt: skip


def _finding(listed: ListedSegment, severity: Any, rule: str, offset: int, meaning: str, action: str) -> Finding:
    return Finding(
        severity=severity,
        rule=rule,
        segment=listed.segment_id,
        file=listed.file.path.name,
        offset=offset,
        meaning=meaning[:1].upper() + meaning[1:] + ".",
        action=action,
    )
