"""One segment file as index rows: from its footer when that can be believed, else from its frames.

A footer is believed when its CRC is right, its rows stand in file order inside the frame region without overlapping,
and no committed event stands outside them. Everything else is read frame by frame (segments spec 6.3 to 6.5), and what
a footer says that the frames do not is a finding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.engine.batches import OpenBatch, resolve_batches
from batpak_analytics.engine.damage import RESTORE, finding, report_batches, report_footer, report_losses
from batpak_analytics.engine.listing import ListedSegment
from batpak_analytics.engine.lost_markers import lost_markers
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.recovery import FrameScan, index_rows, scan_frames
from batpak_analytics.engine.resync import Prover
from batpak_analytics.engine.tails import lost_before, tail_of
from batpak_analytics.errors import (
    CorruptSegmentError,
    FormatError,
)
from batpak_analytics.format.footer import FooterResult, read_footer
from batpak_analytics.format.layout import (
    FOOTER_TRAILER_SIZE,
    FRAME_HEADER_SIZE,
    FRAME_OK,
    KIND_BATCH_BEGIN,
    KIND_BATCH_COMMIT,
    MAX_SEGMENT_HEADER,
    SEGMENT_PREFIX_SIZE,
    FooterState,
)
from batpak_analytics.format.segment import SegmentHeader, read_segment_header
from batpak_analytics.format.survey import MAX_ALIKE, id_words

# A segment file this short is one whose creation was cut off: the header alone is longer (segments spec 2.2).
NEWBORN_BYTES = 57
# And this long at most: 8 bytes and a header with the longest id.
BARE_HEADER_BYTES = 65
USUAL_HEAD_BYTES = 128
# Between two events the writer leaves at most the COMMIT of one batch and the BEGIN of the next.
MARKERS_IN_A_GAP = 8


@dataclass(frozen=True, slots=True, eq=False)
class SegmentScan:
    """What one segment holds. `rows` are committed events in file order, hidden ones included.

    `numbered` is True where the row's `global_sequence` was recorded by an authentic footer. `waiting` are the rows of
    a batch that the next segment may still complete, `unfinished` tells whether frames stand behind a batch without
    its COMMIT, `lost_bytes` are the bytes in which events may have been lost, `is_cut` whether it ends in a part of a
    frame or footer with another segment behind it, `survey` what was seen of the rows where they are a footer's.
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
    unfinished: bool = False
    lost_bytes: int = 0
    is_cut: bool = False
    survey: kernels.Survey | None = None

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.rows)

    @property
    def recorded(self) -> Any:
        """The sequence of each row as the rows have it."""
        return self.rows["global_sequence"]

    def records(self, sequence: Any) -> bool:
        """Whether these are the numbers that the rows hold: `survey` speaks of those."""
        return np.may_share_memory(sequence, self.rows)

    @property
    def edge_ids(self) -> tuple[Any, Any]:
        """The `id_words` of the first rows and of the last, `MAX_ALIKE` at most."""
        words = id_words(self.rows["event_id"])
        return words[:MAX_ALIKE], words[-MAX_ALIKE:]

    def place(self, row: int) -> tuple[ListedSegment, int]:
        """The segment of a row, and the offset of its frame there."""
        return self.listed, int(self.rows["offset"][row])


def scan_segment(listed: ListedSegment, problems: Problems, *, last: bool) -> SegmentScan:
    """Index rows of one segment. `last` marks the highest one, whose unfinished tail is normal."""
    file = listed.file
    footer = _footer(listed)
    header = _header(listed, footer, problems, last=last)
    if footer.state is FooterState.TRUSTED:
        scan = _from_footer(listed, header, footer, problems)
        if scan is not None:
            return scan
    frames_end = _frames_end(listed, footer)
    frames = _scan_frames(listed, header, frames_end)
    tail = tail_of(listed, frames, frames_end, last=last)
    verdict = resolve_batches(frames.frames, lost_before(frames, tail), lost_markers(file, frames))
    report_footer(listed, footer, frames, problems, last=last)
    lost = report_losses(listed, frames, tail, problems)
    report_batches(listed, frames, verdict, problems)
    rows, strings = index_rows(file, frames, verdict.keep)
    waiting = None
    if verdict.open_batch is not None and verdict.open_batch.rows:
        mask = np.zeros(len(frames.frames), bool)
        mask[list(verdict.open_batch.rows)] = True
        waiting = index_rows(file, frames, mask)
    numbered = np.zeros(len(rows), bool)
    if footer.state is FooterState.TRUSTED:
        numbered = _adopt_numbers(rows, footer.entries)
    end = int(frames.offsets[-1] + frames.lengths[-1]) if len(frames.offsets) else frames.start
    return SegmentScan(
        listed, rows, strings, numbered, str(footer.state.value), frames.start, end,
        header.created_ns if header else 0, verdict.open_batch, waiting, verdict.goes_on, lost,
        tail is not None and tail.is_cut,
    )  # fmt: skip


def _header(listed: ListedSegment, footer: FooterResult, problems: Problems, *, last: bool) -> SegmentHeader | None:
    try:
        header = read_segment_header(_head(listed))
    except FormatError as error:
        unborn = last and listed.file.size_bytes < NEWBORN_BYTES
        # The reference never reads the header of a segment whose footer is good.
        fails = None if unborn or footer.state is FooterState.TRUSTED else CorruptSegmentError
        meaning = f"the segment header is unreadable ({error.reason})"
        if unborn:
            meaning += "; the writer was stopped while it created the file"
        action = "Nothing is lost by it." if unborn else RESTORE
        problems.add(finding(listed, "info" if unborn else "error", "segment-header", 0, meaning, action), fails=fails)
        return None
    if header.segment_id != listed.segment_id:
        meaning = f"the file says that it is segment {header.segment_id}; it was read under its name"
        action = "It may have been copied or renamed by hand; its place among the segments may be wrong."
        problems.add(finding(listed, "warning", "segment-name", 0, meaning, action))
    return header


def _head(listed: ListedSegment) -> bytes:
    """The file's first bytes: as many as a usual header has, or as many as the longest where this one says so."""
    size = listed.file.size_bytes
    head = bytes(listed.file.window(0, min(size, USUAL_HEAD_BYTES)))
    if int.from_bytes(head[4:SEGMENT_PREFIX_SIZE], "big") <= len(head) - SEGMENT_PREFIX_SIZE:
        return head
    return bytes(listed.file.window(0, min(size, SEGMENT_PREFIX_SIZE + MAX_SEGMENT_HEADER)))


def _scan_frames(listed: ListedSegment, header: SegmentHeader | None, end: int) -> FrameScan:
    """The frames behind the header; where the header does not say where that is, the first that can be proven.

    No checksum covers the header, so a length in it that leads to no frame is held against an earlier frame.
    """
    file = listed.file
    start = min(header.frames_start, end) if header else 0
    frames = scan_frames(file, start, end)
    if start and (not len(frames.offsets) or int(frames.offsets[0]) != start) and start < end:
        first = Prover(file, 0, end).next_after(0)
        return scan_frames(file, first, end) if first < start else frames
    if header is None and frames.losses and frames.losses[0].end <= BARE_HEADER_BYTES:
        return replace(frames, start=frames.losses[0].end, losses=frames.losses[1:])  # the header's finding tells it
    return frames


def _footer(listed: ListedSegment) -> FooterResult:
    if listed.file.map is not None:
        return read_footer(listed.file.map, kernels.survey_rows)
    size = listed.file.size_bytes
    if size < FOOTER_TRAILER_SIZE or bytes(listed.file.window(size - 4, size)) not in (b"SDX3", b"SDX2"):
        return read_footer(b"")  # no footer: nothing else of the file need be read to know it
    return read_footer(listed.file.window(0, size), kernels.survey_rows)


def _from_footer(
    listed: ListedSegment, header: SegmentHeader | None, footer: FooterResult, problems: Problems
) -> SegmentScan | None:
    """The footer's rows, or None when the frames must be read because the footer is authentic and still wrong."""
    assert footer.entries is not None and footer.frames_end is not None
    rows, survey = footer.entries, footer.survey
    assert survey is not None
    if survey.markers:
        rows = rows[(rows["kind"] != KIND_BATCH_BEGIN) & (rows["kind"] != KIND_BATCH_COMMIT)]
        survey = kernels.survey_rows(rows)
    start = header.frames_start if header else footer.frames_end
    if len(rows):
        start = min(start, int(rows["offset"][0]))  # the footer has a checksum, the header has none
    reason = _contradiction(listed, rows, survey, start, footer.frames_end, problems)
    if reason:
        problems.add(
            finding(listed, "warning", "footer-lies", footer.frames_end,
                     f"the footer's checksum is right but {reason}; the frames were read instead", RESTORE)
        )  # fmt: skip
        return None
    return SegmentScan(
        listed, rows, footer.strings, np.ones(len(rows), bool), str(footer.state.value), start,
        footer.frames_end, header.created_ns if header else 0, survey=survey,
    )  # fmt: skip


def _contradiction(
    listed: ListedSegment, rows: Any, survey: kernels.Survey, start: int, end: int, problems: Problems
) -> str | None:
    """Why the rows cannot be all the committed events of `[start, end)`, or None when they are."""
    if not len(rows):
        lows, highs = np.array([start], np.uint64), np.array([end], np.uint64)
    else:
        offsets, lengths = rows["offset"], rows["length"]
        if not survey.in_order:
            outside = (lengths < FRAME_HEADER_SIZE) | (offsets < start) | (offsets > max(end - FRAME_HEADER_SIZE, 0))
            return "a row points outside the frames" if outside.any() else "rows overlap or are out of order"
        first, last = int(offsets[0]), int(offsets[-1]) + int(lengths[-1])
        if first < start or last > end:
            return "a row points outside the frames"
        if not len(survey.gaps) and (first, last) == (start, end):
            return None
        before = survey.gaps - 1
        lows = np.array([start, *(offsets[before] + lengths[before]).tolist(), last], np.uint64)
        highs = np.array([offsets[0], *offsets[survey.gaps].tolist(), end], np.uint64)
    gaps = np.flatnonzero(highs > lows)
    if _only_markers(listed, lows[gaps], highs[gaps]):
        return None
    return _events_in_gaps(listed, rows, (start, end), lows[gaps], highs[gaps], problems)


def _only_markers(listed: ListedSegment, lows: Any, highs: Any) -> bool:
    """True when each gap between footer rows is whole batch markers, as the writer leaves them."""
    if len(lows) == 0:
        return True
    if listed.file.map is None:
        return False  # the frames will be walked once, which settles it too
    places = _back_to_back(np.frombuffer(listed.file.map, np.uint8), lows, highs)
    if places is None:
        return False
    frames = kernels.parse_frames(listed.file.map, *places)
    kinds = frames["kind"]
    marker = (kinds == KIND_BATCH_BEGIN) | (kinds == KIND_BATCH_COMMIT)
    return bool((marker & (frames["status"] == FRAME_OK)).all())


def _back_to_back(data: Any, lows: Any, highs: Any) -> tuple[Any, Any] | None:
    """Offsets and lengths of the frames that fill all gaps exactly, or None. All gaps advance one frame a step."""
    at, ends = lows.copy(), highs
    offsets, lengths = [], []
    for _ in range(MARKERS_IN_A_GAP):
        if bool((ends - at < FRAME_HEADER_SIZE).any()):
            return None
        claimed = data[at[:, None] + np.arange(4, dtype=np.uint64)].copy().view(">u4").reshape(-1)
        sizes = claimed.astype(np.uint64) + np.uint64(FRAME_HEADER_SIZE)
        if bool((at + sizes > ends).any()):
            return None
        offsets.append(at)
        lengths.append(sizes.astype(np.uint32))
        at = at + sizes
        more = at < ends
        at, ends = at[more], ends[more]
        if len(at) == 0:
            return np.concatenate(offsets), np.concatenate(lengths)
    return None


def _events_in_gaps(
    listed: ListedSegment, rows: Any, region: tuple[int, int], lows: Any, highs: Any, problems: Problems
) -> str | None:
    """Committed events between the footer's rows. Damage there is a finding, and proves nothing against the footer.

    What stands in a gap belongs to a batch: its markers, or its items where it was never committed.
    """
    scan = scan_frames(listed.file, *region)
    damaged = np.zeros(len(lows), bool)
    for loss in scan.losses:
        here = (lows < loss.end) & (highs > loss.start) & ~damaged
        damaged |= here
        for low in lows[here].tolist():
            meaning = "bytes between two events are damaged; the footer shows that no event stood there"
            problems.add(finding(listed, "warning", "frames-damaged", max(low, loss.start), meaning, RESTORE))
    keep = resolve_batches(scan.frames, scan.lost_before).keep & ~_listed(rows, scan)
    gap = np.searchsorted(lows, scan.offsets[keep], side="right") - 1
    excused = (gap >= 0) & damaged[gap] & (scan.offsets[keep] < highs[gap])
    events = int((~excused).sum())
    return f"the frames hold {events} events that it does not list" if events else None


def _listed(rows: Any, scan: FrameScan) -> Any:
    """True for each frame that a row names with its very length."""
    if len(rows) == 0:
        return np.zeros(len(scan.offsets), bool)
    row = np.minimum(np.searchsorted(rows["offset"], scan.offsets), len(rows) - 1)
    return (rows["offset"][row] == scan.offsets) & (rows["length"][row] == scan.lengths)


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
