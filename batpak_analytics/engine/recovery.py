"""Frames of a segment whose footer cannot be used: every provable frame, and a finding for everything else.

A frame is provable when its length is possible, its CRC is right and its body is an event. After a bad length the
walk resumes at the next provable frame, found by the bytes with which every frame body begins; the work spent on
candidates is bounded, so hostile bytes cannot make it quadratic (the reference probes every byte, segments trap 25).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.engine.mapping import SegmentFile
from batpak_analytics.format.frame import probe_frame
from batpak_analytics.format.layout import (
    FOOTER_DTYPE,
    FRAME_CRC,
    FRAME_DTYPE,
    FRAME_END,
    FRAME_HEADER_SIZE,
    FRAME_OK,
    FRAME_PAST_END,
    MAX_FRAME_PAYLOAD,
)

# Frame body of 0.9.0: map of 4, "event": map of 3, "header" (segments spec 7.1).
BODY_START = b"\x84\xa5event\x83\xa6header"
SEARCH_WINDOW = 1 << 20
READ_AHEAD = 32 << 20  # bytes of an unmapped region read at a time
CANDIDATE_BUDGET = 4  # candidate bytes checked at most: this many times the region


@dataclass(frozen=True, slots=True)
class Loss:
    """Bytes `[start, end)` that hold no provable frame. `status` says what stopped the walk there."""

    start: int
    end: int
    status: int
    before_row: int


@dataclass(frozen=True, slots=True, eq=False)
class FrameScan:
    """Parsed frames of a region in file order. Positions inside `frames` index the file."""

    offsets: Any
    lengths: Any
    frames: Any
    losses: tuple[Loss, ...]

    @property
    def lost_before(self) -> Any:
        """True at i where bytes between frame i-1 and frame i were lost; one entry more than frames."""
        flags = np.zeros(len(self.frames) + 1, bool)
        for loss in self.losses:
            flags[loss.before_row] = True
        return flags


def scan_frames(file: SegmentFile, start: int, end: int) -> FrameScan:
    """Every provable frame of `[start, end)` of the file."""
    offsets: list[Any] = []
    lengths: list[Any] = []
    losses: list[tuple[int, int, int]] = []
    budget = CANDIDATE_BUDGET * (end - start) + SEARCH_WINDOW
    position = start
    while position < end:
        found, sizes, stop, status = _walk(file, position, end)
        offsets.append(found)
        lengths.append(sizes)
        if status == FRAME_END:
            if stop < end:
                losses.append((stop, end, FRAME_END))
            break
        position, spent = _next_provable(file, stop, end, status, budget)
        budget -= spent
        losses.append((stop, position, status))
    return _parse(file, _joined(offsets, np.uint64), _joined(lengths, np.uint32), losses)


def _walk(file: SegmentFile, start: int, end: int) -> tuple[Any, Any, int, int]:
    """`kernels.walk_frames` over the file; an unmapped file is read in pieces that grow when one frame fills one."""
    if file.map is not None:
        return kernels.walk_frames(file.map, start, end)
    offsets: list[Any] = []
    lengths: list[Any] = []
    position, size = start, READ_AHEAD
    while True:
        high = min(end, position + size)
        found, sizes, stop, status = kernels.walk_frames(file.window(position, high), 0, high - position)
        offsets.append(found + np.uint64(position))
        lengths.append(sizes)
        position += stop
        cut_short = high < end and status in (FRAME_PAST_END, FRAME_END)
        if not cut_short or (stop == 0 and size > MAX_FRAME_PAYLOAD + FRAME_HEADER_SIZE):
            return _joined(offsets, np.uint64), _joined(lengths, np.uint32), position, status
        if stop == 0:
            size *= 2  # one frame is longer than the piece


def _joined(parts: list[Any], dtype: Any) -> Any:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _next_provable(file: SegmentFile, stop: int, end: int, status: int, budget: int) -> tuple[int, int]:
    """Where the walk may resume after the frame at `stop` failed, and how many bytes were checked to know."""
    if status == FRAME_CRC:
        after = stop + FRAME_HEADER_SIZE + int.from_bytes(bytes(file.window(stop, stop + 4)), "big")
        if after == end or (after < end and _is_provable(file, after, end)[0]):
            return after, 0
    spent = 0
    position = stop + 1 + FRAME_HEADER_SIZE
    while position < end:
        high = min(end, position + SEARCH_WINDOW)
        chunk = bytes(file.window(position, high))
        hit = chunk.find(BODY_START)
        while hit >= 0:
            candidate = position + hit - FRAME_HEADER_SIZE
            provable, cost = _is_provable(file, candidate, end, budget - spent)
            spent += cost
            if provable:
                return candidate, spent
            hit = chunk.find(BODY_START, hit + 1)
        if high == end:
            break
        position = high - len(BODY_START) + 1
    return end, spent


def _is_provable(file: SegmentFile, offset: int, end: int, budget: int = 1 << 62) -> tuple[bool, int]:
    """Whether a whole frame with the right CRC starts at `offset`; the cost is the bytes that had to be read."""
    if end - offset < FRAME_HEADER_SIZE:
        return False, 0
    length = FRAME_HEADER_SIZE + int.from_bytes(bytes(file.window(offset, offset + 4)), "big")
    if offset + length > end or length > budget:
        return False, 0
    status, _ = probe_frame(file.window(offset, offset + length), 0, length)
    return status == FRAME_OK and length > FRAME_HEADER_SIZE, length


def _parse(file: SegmentFile, offsets: Any, lengths: Any, gaps: list[tuple[int, int, int]]) -> FrameScan:
    frames = parse_rows(file, offsets, lengths)
    good = frames["status"] == FRAME_OK
    spans = list(gaps)
    # A frame with a right CRC and a body that is no event: runs of them (zero-filled tails) are one loss.
    for row in np.flatnonzero(~good):
        low, high, status = int(offsets[row]), int(offsets[row] + lengths[row]), int(frames["status"][row])
        if spans and spans[-1][1] == low and spans[-1][2] == status:
            spans[-1] = (spans[-1][0], high, status)
        else:
            spans.append((low, high, status))
    kept = offsets[good]
    losses = tuple(
        Loss(low, high, status, int(np.searchsorted(kept, np.uint64(low)))) for low, high, status in sorted(spans)
    )
    return FrameScan(kept, lengths[good], frames[good], losses)


POSITIONS = tuple(name for name in FRAME_DTYPE.names or () if name.endswith(("_start", "_end")))


def pieces(file: SegmentFile, offsets: Any, lengths: Any) -> Iterator[tuple[slice, Any, int]]:
    """Rows in runs, each with a buffer that holds its frames and the file offset at which that buffer begins."""
    if file.map is not None:
        yield slice(0, len(offsets)), file.map, 0
        return
    first = 0
    while first < len(offsets):
        low = int(offsets[first])
        last = max(first + 1, int(np.searchsorted(offsets, np.uint64(low + READ_AHEAD))))
        yield slice(first, last), file.window(low, int(offsets[last - 1] + lengths[last - 1])), low
        first = last


def parse_rows(file: SegmentFile, offsets: Any, lengths: Any) -> Any:
    """`FRAME_DTYPE` of frames that were already found sound; positions index the file."""
    parts = [np.empty(0, FRAME_DTYPE)]
    for run, buffer, low in pieces(file, offsets, lengths):
        base = np.uint64(low)
        part = kernels.parse_frames(buffer, offsets[run] - base, lengths[run], check_crc=False)
        for name in POSITIONS:
            part[name] += base
        parts.append(part)
    return np.concatenate(parts)


def index_rows(file: SegmentFile, scan: FrameScan, keep: Any) -> tuple[Any, tuple[str, ...]]:
    """The kept frames as footer rows (the same dtype that a sealed segment stores) with their string table."""
    frames = scan.frames[keep]
    rows = np.zeros(len(frames), FOOTER_DTYPE)
    for name in ("kind", "wall_ms", "clock", "lane", "depth", "prev_hash", "event_hash"):
        rows[name] = frames[name]
    for name in ("event_id", "correlation_id", "causation_id"):
        rows[name] = reversed_ids(frames[name])
    rows["offset"], rows["length"] = scan.offsets[keep], scan.lengths[keep]
    table: dict[bytes, int] = {}
    for run, buffer, low in pieces(file, rows["offset"], rows["length"]):
        base = np.uint64(low)
        for name in ("entity", "scope"):
            starts, sizes = frames[f"{name}_start"][run] - base, frames[f"{name}_size"][run]
            codes, strings = kernels.intern_strings(buffer, starts, sizes)
            shared = np.array([table.setdefault(value, len(table)) for value in strings], np.uint32)
            rows[f"{name}_idx"][run] = shared[codes]
    return rows, tuple(value.decode("utf-8") for value in table)


def reversed_ids(ids: Any) -> Any:
    """16-byte ids with their bytes in the opposite order: big-endian in frames, little-endian in footers."""
    if len(ids) == 0:
        return np.empty(0, "V16")
    flat = np.ascontiguousarray(ids).view("u1").reshape(-1, 16)
    return np.ascontiguousarray(flat[:, ::-1]).view("V16").reshape(-1)
