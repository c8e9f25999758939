"""Every frame of a view against its checksum, and against the row that points at it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.engine.recovery import pieces
from batpak_analytics.engine.view import SegmentRows, View
from batpak_analytics.format.layout import FRAME_CRC, FRAME_OK
from batpak_analytics.model import Finding


def check_frames(view: View, progress: Callable[[int, int], None] | None = None) -> None:
    """Check the CRC of every frame that a row points at; what is wrong is added to the view's findings.

    Frames of segments without a usable footer were all checked when the view was opened.
    """
    total = sum(len(segment.rows) for segment in view.segments)
    done = 0
    with view.pinned():
        for segment in view.segments:
            _check_segment(view, segment)
            done += len(segment.rows)
            if progress is not None:
                progress(done, total)


def _check_segment(view: View, segment: SegmentRows) -> None:
    offsets = segment.rows["offset"].astype(np.uint64)
    lengths = segment.rows["length"].astype(np.uint32)
    for run, buffer, low in pieces(segment.file, offsets, lengths):
        status = kernels.check_frames(buffer, offsets[run] - np.uint64(low), lengths[run])
        for row in np.flatnonzero(status != FRAME_OK):
            bad_crc = int(status[row]) == FRAME_CRC
            view.note(
                Finding(
                    severity="error",
                    rule="frame-crc" if bad_crc else "frame-unreadable",
                    segment=segment.segment_id,
                    file=segment.name,
                    offset=int(offsets[run][row]),
                    meaning="The frame's checksum is wrong; its payload is lost, its index row is not."
                    if bad_crc
                    else "The index points at bytes that are no frame.",
                    action="Compare with a backup or a fork of the store.",
                )
            )
