"""Where a walk may go on after damage: the first place at which a whole frame can be proven.

A frame is provable when its length is possible, its CRC is right and its body is an event. Candidates are found by the
bytes with which every frame body begins. A candidate costs a bounded number of bytes however long it claims to be,
so hostile bytes cannot make the search quadratic (the reference probes every byte, segments trap 25).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from batpak_analytics import kernels
from batpak_analytics.engine.mapping import SegmentFile
from batpak_analytics.format.frame import crc32, crc32_of_rest
from batpak_analytics.format.layout import (
    FRAME_CRC,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEADER_SIZE,
    FRAME_MALFORMED,
    FRAME_OK,
    FRAME_PAST_END,
    FRAME_TOO_LARGE,
    MAX_FRAME_PAYLOAD,
)

# Frame body of 0.9.0: map of 4, "event": map of 3, "header" (segments spec 7.1).
BODY_START = b"\x84\xa5event\x83\xa6header"
FIRST_WINDOW = 1 << 12  # bytes searched first; most damage is short
LARGEST_WINDOW = 1 << 20
SHORT_FRAME = 1 << 12  # a claim up to this length is checked by reading it, a longer one by `RunningCrc`
STEP = 1 << 10


class RunningCrc:
    """The CRC of any part of a region, from one pass over it: the CRC up to each step, and how CRCs subtract."""

    def __init__(self, file: SegmentFile, start: int, end: int) -> None:
        self._file, self._start = file, start
        self._upto = [0]
        for low in range(start, end, LARGEST_WINDOW):
            chunk = memoryview(file.window(low, min(end, low + LARGEST_WINDOW)))
            for at in range(0, len(chunk), STEP):
                self._upto.append(crc32(chunk[at : at + STEP], self._upto[-1]))
        self._steps = range(start, end + STEP, STEP)

    def of(self, low: int, high: int) -> int:
        """CRC-32 of the bytes `[low, high)`. Reads less than two steps."""
        return crc32_of_rest(self._before(low), self._before(high), high - low)

    def _before(self, offset: int) -> int:
        step = bisect_right(self._steps, offset) - 1
        return crc32(self._file.window(self._steps[step], offset), self._upto[step])


class Prover:
    """Tells provable frames of one region from other bytes, each for a bounded price."""

    def __init__(self, file: SegmentFile, start: int, end: int) -> None:
        self._file, self._start, self._end = file, start, end
        self._running: RunningCrc | None = None

    def status(self, offset: int) -> tuple[int, int]:
        """(status, length with header) of what stands at `offset`; FRAME_OK only for a whole event or marker."""
        if self._end - offset < FRAME_HEADER_SIZE:
            return FRAME_END, 0
        head = bytes(self._file.window(offset, offset + FRAME_HEADER_SIZE))
        size, stored = FRAME_HEADER.unpack(head)
        length = FRAME_HEADER_SIZE + size
        if size > MAX_FRAME_PAYLOAD:
            return FRAME_TOO_LARGE, length
        if offset + length > self._end:
            return FRAME_PAST_END, length
        if self._crc(offset + FRAME_HEADER_SIZE, offset + length) != stored:
            return FRAME_CRC, length
        return (FRAME_OK if self._is_event(offset, length) else FRAME_MALFORMED), length

    def _crc(self, low: int, high: int) -> int:
        if high - low <= SHORT_FRAME:
            return crc32(self._file.window(low, high))
        if self._running is None:
            self._running = RunningCrc(self._file, self._start, self._end)
        return self._running.of(low, high)

    def _is_event(self, offset: int, length: int) -> bool:
        frame = self._file.window(offset, offset + length)
        return bool(kernels.parse_frames(frame, [0], [length], check_crc=False)["status"][0] == FRAME_OK)

    def next_after(self, stop: int) -> int:
        """Where the walk may resume after the frame at `stop` failed: the next provable frame, or the end."""
        status, length = self.status(stop)
        behind = stop + length if status in (FRAME_CRC, FRAME_MALFORMED) and length > FRAME_HEADER_SIZE else self._end
        for candidate in self._candidates(stop + 1):
            # A body that begins in another way is found only by the length before it.
            if behind < min(candidate, self._end) and self.status(behind)[0] == FRAME_OK:
                return behind
            if self.status(candidate)[0] == FRAME_OK:
                return candidate
        return behind if behind < self._end and self.status(behind)[0] == FRAME_OK else self._end

    def _candidates(self, start: int) -> Iterator[int]:
        """Offsets from `start` on at which a frame of 0.9.0 may begin."""
        position, width = start + FRAME_HEADER_SIZE, FIRST_WINDOW
        while position < self._end:
            high = min(self._end, position + width)
            chunk = bytes(self._file.window(position, high))
            hit = chunk.find(BODY_START)
            while hit >= 0:
                yield position + hit - FRAME_HEADER_SIZE
                hit = chunk.find(BODY_START, hit + 1)
            if high == self._end:
                return
            position, width = high - len(BODY_START) + 1, min(2 * width, LARGEST_WINDOW)


def first_bad(frames: Any) -> int:
    """The position of the first parsed frame that is no event, or how many there are."""
    bad = (frames["status"] != FRAME_OK).nonzero()[0]
    return int(bad[0]) if len(bad) else len(frames)
