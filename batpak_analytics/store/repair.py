"""What a crash left behind, made harmless before a new segment is added.

0.9.0 tolerates a torn frame and a batch without COMMIT only in the last segment: with another one behind it, it refuses
the store, or takes later events for items of the batch (segments spec 6.3, 6.4). So such a segment gets a footer, which
both engines believe instead of looking at the frames, and loses what stands behind its last committed event. The same
is done where 0.9.0 has gone on behind such a segment already (`continued`).

The part of a frame that is cut off is not kept: no writer acknowledges an event before all of its frame is written, and
no reader can show a part of one. Whole frames are kept aside (`torn`).

No segment is changed in place, as readers have it mapped: the repaired one is a new file under the same name, whole and
on disk before it takes the name. Every frame stays where it was, so an index image stays right about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from batpak_analytics.engine.recovery import scan_frames
from batpak_analytics.engine.view import SegmentRows, View
from batpak_analytics.format.footer import encode_footer, read_footer
from batpak_analytics.format.layout import KIND_BATCH_COMMIT, FooterState
from batpak_analytics.format.segment import encode_segment_header
from batpak_analytics.store.continued import missing_behind_cuts
from batpak_analytics.store.files import Files, replace_file
from batpak_analytics.store.report import Repair

_REPAIRABLE = {
    ("unfinished-tail", "info"),
    ("unfinished-tail", "warning"),
    ("batch-incomplete", "info"),
    ("events-swallowed", "info"),
    ("footer-unusable", "info"),
    ("footer-unusable", "warning"),
    ("segment-header", "info"),
}
_PIECE_BYTES = 1 << 23
HARMLESS_RULES = frozenset(("image-unusable", "coordinate", "hidden-after-compaction", "segment-name"))
"""Findings that neither a new segment nor a copy makes worse."""


def repairable(view: View) -> list[SegmentRows]:
    """The segments that a crash left unfinished. Those with damage, where a repair would be a guess, are none, and
    neither are those of which more was cut off than a write that was under way.
    """
    missing = missing_behind_cuts(view)
    told: dict[int, set[tuple[str, str]]] = {}
    for one in view.findings:
        if one.segment is not None:
            told.setdefault(one.segment, set()).add((one.rule, one.severity))
    found = []
    for segment in view.segments:
        rules = told.get(segment.segment_id, set())
        if rules & _REPAIRABLE and rules <= _REPAIRABLE and segment.footer_state != FooterState.TRUSTED:
            found.append(segment)
    return [segment for segment in found if segment.segment_id not in missing]


def unnumbered(view: View) -> list[SegmentRows]:
    """The segments whose events have numbers that only an index image or counting gives."""
    return [segment for segment in view.segments if is_unnumbered(segment)]


def is_unnumbered(segment: SegmentRows) -> bool:
    """Whether the numbers of its events stand in no footer of its own."""
    trusted = segment.footer_state == FooterState.TRUSTED
    return not trusted or not np.array_equal(segment.rows["global_sequence"], segment.sequence)


class Contents(NamedTuple):
    """What a repaired segment will hold: its file up to `end`, and the rows of its footer."""

    segment: SegmentRows
    rows: Any
    strings: tuple[str, ...]
    end: int


def contents_of(segment: SegmentRows, *, kept: bool = False) -> Contents:
    """All its committed events, with the numbers that they are shown with, or those that hidden ranges mean."""
    rows = segment.rows.copy()
    rows["global_sequence"] = segment.numbering.kept(segment.position) if kept else segment.sequence
    return Contents(segment, rows, segment.strings, end_of_events(segment, rows))


def repair(files: Files, segments: list[SegmentRows], now_ns: int, *, kept: bool = False) -> list[Repair]:
    """Give each segment a footer, with the numbers that its events have now, and drop what stands behind them.

    `kept` asks for the numbers that hidden ranges mean, should other ones be shown. Raises OSError where the disk does;
    every segment is then either as it was or repaired.
    """
    for segment in segments:
        replace_file(files, Path(segment.path), sound_bytes(contents_of(segment, kept=kept), now_ns))
    what, why = "it was cut at its last committed event and sealed", "its writer was stopped before it could seal it"
    return [Repair(segment.name, what, why) for segment in segments]


def renumber(files: Files, segments: list[SegmentRows], now_ns: int) -> list[Repair]:
    """As `repair`, of segments whose footers have other numbers than their events have now."""
    repair(files, segments, now_ns)
    what, why = "its footer was written anew, with other sequence numbers", "the recorded ones were given twice"
    return [Repair(segment.name, what, why) for segment in segments]


def sound_bytes(contents: Contents, now_ns: int) -> Iterator[bytes]:
    """The repaired file; one without events has a new header."""
    segment, rows, strings, end = contents
    if len(rows):
        yield from pieces_of(segment, end)
    else:
        header = encode_segment_header(segment.segment_id, now_ns)
        yield header
        end = len(header)
    yield encode_footer(covering(rows, end), strings, end)


def covering(rows: Any, end: int) -> Any:
    """Rows of a footer that reach to the end of the frames: with one for the COMMIT of a batch that stands there.

    0.9.0 believes the numbers of a footer only where its rows do (segments spec 6.3), as long as any segment has no
    footer. Both engines skip a marker's row.
    """
    behind = int(rows[-1]["offset"]) + int(rows[-1]["length"]) if len(rows) else end
    if behind == end:
        return rows
    marker = np.zeros(1, rows.dtype)
    for name in ("entity_idx", "scope_idx", "global_sequence", "wall_ms"):
        marker[name] = rows[-1][name]
    marker["kind"], marker["offset"], marker["length"] = KIND_BATCH_COMMIT, behind, end - behind
    return np.concatenate([rows, marker])


def covers(segment: SegmentRows) -> bool:
    """Whether the rows of its footer reach to the end of its frames."""
    if segment.footer_state != FooterState.TRUSTED or not segment.count:
        return False
    found = read_footer(segment.window(0, segment.size_bytes))
    if found.entries is None or not len(found.entries):
        return False
    last = found.entries[-1]
    return int(last["offset"]) + int(last["length"]) == found.frames_end


def pieces_of(segment: SegmentRows, end: int) -> Iterator[bytes]:
    """The file's first `end` bytes."""
    for low in range(0, end, _PIECE_BYTES):
        yield bytes(segment.window(low, min(low + _PIECE_BYTES, end)))


def end_of_events(segment: SegmentRows, rows: Any) -> int:
    """Where the last of the rows ends, or the COMMIT behind it."""
    if not len(rows):
        return 0
    end = int(rows[-1]["offset"]) + int(rows[-1]["length"])
    behind = scan_frames(segment.file, end, segment.size_bytes)
    if len(behind.offsets) and int(behind.offsets[0]) == end and behind.frames["kind"][0] == KIND_BATCH_COMMIT:
        end += int(behind.lengths[0])
    return end
