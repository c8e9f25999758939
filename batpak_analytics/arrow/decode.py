"""Frames of one chunk of rows: parsed, checked against the index, their payload bytes taken out.

A frame that cannot be read leaves its frame columns null and a finding; nothing in the data raises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from batpak_analytics import kernels
from batpak_analytics.arrow.chunks import Chunk
from batpak_analytics.arrow.contradictions import StringTable, contradictions
from batpak_analytics.arrow.windows import Window, windows
from batpak_analytics.format.event import decode_event
from batpak_analytics.format.gather import row_count
from batpak_analytics.format.layout import (
    FRAME_CRC,
    FRAME_HEADER_SIZE,
    FRAME_MALFORMED,
    FRAME_OK,
    FooterState,
)
from batpak_analytics.format.rows import minimal_int_bytes
from batpak_analytics.model import Finding

Array = npt.NDArray[Any]

HEADER_COLUMNS = {
    "timestamp": "timestamp_us",
    "flags": "flags",
    "payload_version": "payload_version",
    "payload_size": "payload_size",
    "content_hash": "content_hash",
}
MAX_FRAME_FINDINGS = 1000
"""Findings about frames listed one by one for each segment; one more says that there are others."""

_MEANING = {
    FRAME_CRC: (
        "frame-crc",
        "the bytes of this frame do not give its CRC: it was damaged after it was written.",
    ),
    FRAME_MALFORMED: ("frame-unreadable", "this frame has a good CRC but does not hold an event."),
}
_OUTSIDE = ("frame-unreadable", "the index points at bytes that are not one frame of this length.")
_ACTION = "Its index columns are shown, its frame columns are null. Restore the file from a backup if there is one."


@dataclass(frozen=True, slots=True)
class Needs:
    """What a scan takes from frames: header columns, extensions, payload bytes, dispositions, the frame
    itself.
    """

    header: frozenset[str] = frozenset()
    extensions: bool = False
    payload: bool = False
    disposition: bool = False
    raw: bool = False


@dataclass(slots=True)
class Decoded:
    """The frames of one chunk, in the order of its groups.

    `corrections` are the values of intact frames that contradict their index row, `extensions` the packed maps of
    rows that have some, both by position. `data` and
    `offsets` are payload bytes; `views` are 16-byte Arrow views into `buffers`. `findings` are what was wrong with
    single frames.
    """

    ok: Array
    encrypted: Array
    shredded: Array
    header: dict[str, Array] = field(default_factory=dict)
    extensions: dict[int, bytes] = field(default_factory=dict)
    data: Array = field(default_factory=lambda: np.zeros(0, np.uint8))
    offsets: Array = field(default_factory=lambda: np.zeros(1, np.int64))
    views: Array = field(default_factory=lambda: np.zeros((0, 4), "<i4"))
    buffers: list[Any] = field(default_factory=list)
    corrections: dict[int, dict[str, Any]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


class FrameFindings:
    """Takes the findings about frames over into the view, up to a limit for each segment."""

    def __init__(self, view: Any) -> None:
        self._view = view
        self._taken: Counter[int | None] = Counter()

    def take(self, findings: Iterable[Finding]) -> None:
        """Note each one; raises where the view is to raise on damage."""
        for one in findings:
            self._taken[one.segment] += 1
            taken = self._taken[one.segment]
            if taken <= MAX_FRAME_FINDINGS:
                self._view.note(one)
            elif taken == MAX_FRAME_FINDINGS + 1:
                self._view.note(_cut(one))


def _cut(one: Finding) -> Finding:
    meaning = f"more than {MAX_FRAME_FINDINGS} frames of this segment have findings; not all are listed."
    return Finding(one.severity, "frame-findings-cut", one.segment, one.file, None, meaning, one.action)


class _Part(NamedTuple):
    """Rows of one segment that are read together, and its strings where its rows are to be compared."""

    segment: Any
    strings: StringTable | None
    window: Window

    def source(self) -> kernels.Source:
        """As the kernel takes it."""
        strings = None if self.strings is None else (self.strings.text, self.strings.bounds)
        window = self.window
        return kernels.Source(window.buffer, window.start, self.segment.rows, window.rows, strings)


class Decoder:
    """Decodes chunks of one scan. Holds nothing of them; safe to share between threads."""

    def __init__(self, view: Any, needs: Needs) -> None:
        self.view = view
        self.needs = needs
        self._strings: dict[int, StringTable] = {}

    def decode(self, chunk: Chunk) -> Decoded:
        """Read and parse the frames of `chunk`, all of them in one call of the kernel."""
        needs = self.needs
        parts = [part for group in chunk.groups for part in self._parts(group)]
        taken = kernels.take_frames(
            [part.source() for part in parts], payloads=needs.payload, keep=bool(needs.header) or self._looks_at_frames
        )
        ok = taken.status == FRAME_OK
        whole = Decoded(ok, taken.encrypted.view(bool), np.zeros(len(ok), bool))
        if needs.payload:
            whole.data, whole.offsets = taken.data, taken.bounds
        if taken.frames is not None:
            whole.header = {name: _header(taken.frames, name) for name in needs.header}
        if needs.raw:
            whole.views = np.zeros((len(ok), 4), "<i4")
        if needs.raw or self._looks_at_frames or not ok.all() or taken.differs.any():
            self._look_closer(parts, taken, whole)
        return whole

    @property
    def _looks_at_frames(self) -> bool:
        """Whether something is read from the parsed rows of each part."""
        return self.needs.extensions or (self.needs.disposition and self.view.keyset is not None)

    def _parts(self, group: Any) -> Iterator[_Part]:
        segment = self.view.stretches[group.segment]
        strings = None
        # rows that are not a footer's were made from these very frames
        if segment.footer_state == FooterState.TRUSTED:
            strings = self._strings.get(group.segment)
            if strings is None:  # two threads may both pack them; the results are equal
                strings = self._strings[group.segment] = StringTable.of(segment.strings)
        for window in windows(segment, group.rows, small=self.needs.raw):
            yield _Part(segment, strings, window)

    def _look_closer(self, parts: list[_Part], taken: kernels.Taken, whole: Decoded) -> None:
        """Add what each part has besides: damaged and contradicting frames, and what is read from a parsed row."""
        first = 0
        for number, (segment, _, window) in enumerate(parts):
            here = slice(first, first + row_count(window.rows))
            ok = whole.ok[here]
            if not ok.all():
                whole.findings += _bad_frames(segment, window, taken.status[here])
            differing = np.flatnonzero(taken.differs[here])
            if len(differing):
                found = contradictions(segment, window, differing)
                whole.corrections |= {first + at: columns for at, columns in found.items()}
                whole.findings += _contradicting_frames(segment, window, found)
            if taken.frames is not None:
                frames = taken.frames[here]
                if self.needs.disposition and self.view.keyset is not None:
                    whole.shredded[here] = self._shredded(segment, window, frames, whole.encrypted[here])
                if self.needs.extensions:
                    packed = _extensions(frames, window.buffer)
                    whole.extensions |= {first + at: value for at, value in packed.items()}
            if self.needs.raw:
                whole.views[here] = _views(segment, window, ok, number)
                whole.buffers.append(window.buffer)
            first = here.stop

    def _shredded(self, segment: Any, window: Window, frames: Array, encrypted: Array) -> Array:
        """Encrypted rows whose key is not in the keyset. Without a keyset file nothing can be said of a
        key.
        """
        shredded = np.zeros(len(frames), bool)
        for at in np.flatnonzero(encrypted).tolist():
            shredded[at] = keyscope_id(segment, window, frames[at], at) not in self.view.keyset.scopes
        return shredded


def _bad_frames(segment: Any, window: Window, statuses: Array) -> Iterator[Finding]:
    for at in _told(segment, window, np.flatnonzero(statuses != FRAME_OK).tolist()):
        rule, meaning = _MEANING.get(int(statuses[at]), _OUTSIDE)
        yield _finding("error", rule, segment, window.row(at), meaning, _ACTION)


def _contradicting_frames(segment: Any, window: Window, found: dict[int, dict[str, Any]]) -> Iterator[Finding]:
    action = "The frame is shown wherever frames are read. Keep the file and report how it was written."
    for at in _told(segment, window, list(found)):
        meaning = f"the footer row and the frame differ in {', '.join(found[at])}; both have a good CRC."
        yield _finding("warning", "frame-contradicts-index", segment, window.row(at), meaning, action)


def _told(segment: Any, window: Window, frames: list[int]) -> list[int]:
    """Those of the frames (by place in `window`) of which there are findings: a bounded number of each segment."""
    if not segment.joined:
        return frames[: MAX_FRAME_FINDINGS + 1]
    taken: Counter[int] = Counter()
    told = []
    for at in frames:
        segment_id = segment.place(window.row(at))[0]
        taken[segment_id] += 1
        if taken[segment_id] <= MAX_FRAME_FINDINGS + 1:
            told.append(at)
    return told


def _finding(severity: Any, rule: str, segment: Any, row: Any, meaning: str, action: str) -> Finding:
    """A finding at the offset that the row names."""
    segment_id, name, offset = segment.place(row)
    return Finding(severity, rule, segment_id, name, offset, meaning, action)


def _header(frames: Array, name: str) -> Array:
    values = frames[HEADER_COLUMNS[name]]
    if name == "content_hash":
        return np.frombuffer(values.tobytes(), np.uint8).reshape(-1, 32)
    return np.ascontiguousarray(values)


def _extensions(frames: Array, buffer: Any) -> dict[int, bytes]:
    """The MessagePack map of each row that has entries, by position and ascending."""
    starts, ends = frames["extensions_start"].astype(np.int64), frames["extensions_end"].astype(np.int64)
    view = memoryview(buffer)
    rows = np.flatnonzero((frames["status"] == FRAME_OK) & (ends - starts > 1)).tolist()
    return {at: bytes(view[starts[at] : ends[at]]) for at in rows}


def keyscope_id(segment: Any, window: Window, frame: Any, at: int) -> bytes:
    """The id of the key that sealed a payload: an int-array in every frame that batpak writes, else parsed
    in full.
    """
    view = memoryview(window.buffer).cast("B")
    start, end = int(frame["keyscope_start"]), int(frame["keyscope_end"])
    found = minimal_int_bytes(view, start, end)
    if found and len(found) < 16 and view[start - 1] == 0x90 | len(found):
        return found
    if found and view[start - 3] == 0xDC and int.from_bytes(view[start - 2 : start], "big") == len(found):
        return found
    entry = segment.rows[window.row(at)]
    low = int(entry["offset"]) - window.start
    event = decode_event(view, low + FRAME_HEADER_SIZE, low + int(entry["length"]))
    return event.payload_encryption.keyscope_id if event.payload_encryption else b""


def _views(segment: Any, window: Window, ok: Array, buffer: int) -> Array:
    """Arrow's 16-byte views: length, first four bytes (which are the length's own), number of the buffer, offset."""
    offsets, lengths = window.places(segment)
    views = np.zeros((len(ok), 4), "<i4")
    views[:, 0] = lengths
    views[:, 1] = (lengths - np.uint32(FRAME_HEADER_SIZE)).astype(">u4").view("<i4")
    views[:, 2] = buffer
    views[:, 3] = offsets
    views[~ok] = 0
    return views
