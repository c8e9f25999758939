"""Frames of a segment whose footer cannot be used: every provable frame, and a finding for everything else.

Sound bytes are walked in large pieces. After damage the walk resumes at the next provable frame (see `resync`) in
pieces that start small and double, so what a damaged place costs does not depend on how much follows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.engine.mapping import SegmentFile
from batpak_analytics.engine.resync import Prover, first_bad
from batpak_analytics.format.layout import (
    FOOTER_DTYPE,
    FRAME_DTYPE,
    FRAME_END,
    FRAME_HEADER_SIZE,
    FRAME_MALFORMED,
    FRAME_OK,
    FRAME_PAST_END,
    FRAME_TOO_LARGE,
    MAX_FRAME_PAYLOAD,
)

READ_AHEAD = 32 << 20  # bytes walked or read at a time
AFTER_DAMAGE = 1 << 14  # and after damage


@dataclass(frozen=True, slots=True)
class Loss:
    """Bytes `[start, end)` that hold no provable frame. `status` says what stopped the walk there."""

    start: int
    end: int
    status: int
    before_row: int


@dataclass(frozen=True, slots=True, eq=False)
class FrameScan:
    """Parsed frames of a region that begins at `start`, in file order. Positions inside `frames` index the file."""

    start: int
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
    walk = _Walk(file, start, end)
    position, piece = start, READ_AHEAD
    losses: list[tuple[int, int, int, int]] = []
    while position < end:
        stop, status = walk.advance(position, piece)
        if stop >= end:
            break
        position = end if status == FRAME_END else walk.prover.next_after(stop)
        losses.append((stop, position, status, walk.count))
        piece = AFTER_DAMAGE
    return FrameScan(
        start, np.concatenate(walk.offsets), np.concatenate(walk.lengths), np.concatenate(walk.frames),
        tuple(Loss(*loss) for loss in losses),
    )  # fmt: skip


class _Walk:
    """Provable frames back to back, collected from as many places as the damage leaves."""

    def __init__(self, file: SegmentFile, start: int, end: int) -> None:
        self.file, self.end = file, end
        self.prover = Prover(file, start, end)
        self.offsets: list[Any] = [np.empty(0, np.uint64)]
        self.lengths: list[Any] = [np.empty(0, np.uint32)]
        self.frames: list[Any] = [np.empty(0, FRAME_DTYPE)]
        self.count = 0

    def advance(self, position: int, piece: int) -> tuple[int, int]:
        """Take frames from `position` on; (where, why) the walk stopped."""
        while position < self.end:
            limit = MAX_FRAME_PAYLOAD if piece == READ_AHEAD else piece // 4
            position, status = self._take(position, min(self.end, position + piece), limit)
            if status in (FRAME_TOO_LARGE, FRAME_PAST_END):  # for this piece
                status, length = self.prover.status(position)
                if status == FRAME_OK:
                    self._add(position, np.zeros(1, np.uint64), np.array([length], np.uint32))
                    position += length
            elif status == FRAME_END and self.end - position >= FRAME_HEADER_SIZE:
                status = FRAME_OK  # only the piece ends here
            if status != FRAME_OK:
                return position, status
            piece = min(2 * piece, READ_AHEAD)
        return position, FRAME_END

    def _take(self, low: int, high: int, limit: int) -> tuple[int, int]:
        """Take the frames of `[low, high)` with bodies up to `limit`; where and why that stopped."""
        offsets, lengths, stop, status = kernels.walk_frames(self.file.window(low, high), 0, high - low, limit)
        empty = np.flatnonzero(lengths == FRAME_HEADER_SIZE)  # zeros: a length of none with the CRC of nothing
        taken = int(empty[0]) if len(empty) else len(offsets)
        good = self._add(low, offsets[:taken], lengths[:taken])
        if good < len(offsets):
            return low + int(offsets[good]), FRAME_MALFORMED
        return low + stop, status

    def _add(self, base: int, offsets: Any, lengths: Any) -> int:
        """Add the frames up to the first that is no event; how many that were."""
        offsets = offsets + np.uint64(base)
        frames = parse_rows(self.file, offsets, lengths)
        good = first_bad(frames)
        self.offsets.append(offsets[:good])
        self.lengths.append(lengths[:good])
        self.frames.append(frames[:good])
        self.count += good
        return good


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
