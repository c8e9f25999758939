"""What a crash left behind, made harmless before a new segment is added.

0.9.0 tolerates a torn frame and a batch without COMMIT only in the last segment: with another one behind it, it refuses
the store, or takes later events for items of the batch (segments spec 6.3, 6.4). So such a segment gets a footer, which
both engines believe instead of looking at the frames, and loses what stands behind its last committed event.

No segment is changed in place, as readers have it mapped: the repaired one is a new file under the same name, whole and
on disk before it takes the name. Every frame stays where it was, so an index image stays right about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from batpak_analytics.engine.recovery import scan_frames
from batpak_analytics.engine.view import SegmentRows, View
from batpak_analytics.format.footer import encode_footer
from batpak_analytics.format.layout import KIND_BATCH_COMMIT, FooterState
from batpak_analytics.format.segment import encode_segment_header
from batpak_analytics.store.files import Files, replace_file
from batpak_analytics.store.report import Repair

_REPAIRABLE = {
    ("unfinished-tail", "info"),
    ("batch-incomplete", "info"),
    ("footer-unusable", "info"),
    ("footer-unusable", "warning"),
    ("segment-header", "info"),
}
_PIECE_BYTES = 1 << 23


def repairable(view: View) -> list[SegmentRows]:
    """The segments that a crash left unfinished. Those with damage, where a repair would be a guess, are none."""
    told: dict[int, set[tuple[str, str]]] = {}
    for one in view.findings:
        if one.segment is not None:
            told.setdefault(one.segment, set()).add((one.rule, one.severity))
    found = []
    for segment in view.segments:
        rules = told.get(segment.segment_id, set())
        if rules & _REPAIRABLE and rules <= _REPAIRABLE and segment.footer_state != FooterState.TRUSTED:
            found.append(segment)
    return found


def unnumbered(view: View) -> list[SegmentRows]:
    """The segments whose events have numbers that only an index image or counting gives."""
    return [
        segment
        for segment in view.segments
        if segment.footer_state != FooterState.TRUSTED
        or not np.array_equal(segment.rows["global_sequence"], segment.sequence)
    ]


def repair(files: Files, segments: list[SegmentRows], now_ns: int) -> list[Repair]:
    """Give each segment a footer, with the numbers that its events have now, and drop what stands behind them.

    Raises OSError where the disk does; every segment is then either as it was or repaired.
    """
    for segment in segments:
        replace_file(files, Path(segment.path), _sound_bytes(segment, now_ns))
    what, why = "it was cut at its last committed event and sealed", "the writer was stopped before it could be"
    return [Repair(segment.name, what, why) for segment in segments]


def _sound_bytes(segment: SegmentRows, now_ns: int) -> Iterator[bytes]:
    """The segment up to its last committed event, with a footer."""
    if len(segment.rows):
        end = _end_of_events(segment)
        for low in range(0, end, _PIECE_BYTES):
            yield bytes(segment.window(low, min(low + _PIECE_BYTES, end)))
    else:
        header = encode_segment_header(segment.segment_id, now_ns)
        yield header
        end = len(header)
    rows = segment.rows.copy()
    rows["global_sequence"] = segment.sequence
    yield encode_footer(rows, segment.strings, end)


def _end_of_events(segment: SegmentRows) -> int:
    """Where the last committed event ends, or the COMMIT behind it."""
    last = segment.rows[-1]
    end = int(last["offset"]) + int(last["length"])
    behind = scan_frames(segment.file, end, segment.size_bytes)
    if len(behind.offsets) and int(behind.offsets[0]) == end and behind.frames["kind"][0] == KIND_BATCH_COMMIT:
        end += int(behind.lengths[0])
    return end
