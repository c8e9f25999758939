"""What a damaged segment lost, in words: one finding per place, and the error the reference would have raised."""

from __future__ import annotations

from typing import Any

from batpak_analytics.engine.batches import BatchVerdict
from batpak_analytics.engine.listing import ListedSegment
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.recovery import FrameScan, Loss
from batpak_analytics.engine.tails import Tail
from batpak_analytics.errors import CorruptError, CorruptFrameError, CorruptSegmentError, CrcMismatchError
from batpak_analytics.format.footer import FooterResult, untrusted_entries
from batpak_analytics.format.layout import (
    FOOTER_TRAILER_SIZE,
    FRAME_CRC,
    FRAME_END,
    FRAME_MALFORMED,
    FRAME_PAST_END,
    FRAME_TOO_LARGE,
    FooterState,
)
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


def report_footer(
    listed: ListedSegment, footer: FooterResult, frames: FrameScan, problems: Problems, *, last: bool
) -> None:
    """Say what an unusable footer proves: that it is damaged, and which events it lists that are gone.

    The reference believes the frames of a segment that is not the last only when some row of the untrusted table
    agrees with one of them (segments spec 6.5).
    """
    if footer.state in (FooterState.ABSENT, FooterState.TRUSTED):
        return
    legacy = footer.state is FooterState.LEGACY
    entries = None if legacy else untrusted_entries(listed.file.window(0, listed.file.size_bytes))
    agrees, missing = _compare(entries, frames)
    unproven = not agrees and not last and len(frames.offsets) > 0
    problems.add(
        finding(
            listed,
            "info" if legacy else "warning",
            "footer-unusable",
            max(listed.file.size_bytes - FOOTER_TRAILER_SIZE, 0),
            "the footer is of a version without a checksum; the frames were read instead"
            if legacy
            else f"the footer is damaged ({footer.reason or footer.state.value}); the frames were read instead",
            "Every frame was checked; no event is lost by this alone.",
        ),
        fails=CorruptSegmentError if unproven else None,
    )
    if agrees and missing:
        problems.add(
            finding(
                listed,
                "error",
                "events-lost",
                min(missing),
                f"the footer lists {len(missing)} events whose frames are no longer whole",
                RESTORE,
            ),
            fails=CorruptSegmentError,
        )


def _compare(entries: Any, frames: FrameScan) -> tuple[bool, list[int]]:
    """(whether a row of the table agrees with a frame, offsets of rows without a frame)."""
    if entries is None:
        return False, []
    hashes = dict(zip(frames.offsets.tolist(), frames.frames["event_hash"].tolist(), strict=True))
    rows = list(zip(entries["offset"].tolist(), entries["event_hash"].tolist(), strict=True))
    return any(hashes.get(offset) == value for offset, value in rows), [at for at, _ in rows if at not in hashes]


def report_losses(listed: ListedSegment, frames: FrameScan, tail: Tail | None, problems: Problems) -> int:
    """One finding per damaged place; returns the bytes in which events may have been lost."""
    losses = frames.losses
    if tail is not None:
        losses = losses[:-1]
    for loss in losses:
        meaning = LOSS_MEANING.get(loss.status, "unreadable bytes")
        problems.add(
            finding(
                listed, "error", "frames-damaged", loss.start, f"{loss.end - loss.start} bytes: {meaning}", RESTORE
            ),
            fails=LOSS_ERROR.get(loss.status, CorruptSegmentError),
        )
    if tail in _REPORT_TAIL:
        _REPORT_TAIL[tail](listed, frames.losses[-1], problems)
    return sum(loss.end - loss.start for loss in losses)


def _report_tail(listed: ListedSegment, loss: Loss, problems: Problems) -> None:
    problems.add(
        finding(
            listed,
            "info",
            "unfinished-tail",
            loss.start,
            f"{loss.end - loss.start} bytes after the last whole frame: a write that had not finished",
            "Normal while the writer runs or after a crash; the event was never acknowledged as durable.",
        )
    )


def _report_torn_footer(listed: ListedSegment, loss: Loss, problems: Problems) -> None:
    problems.add(
        finding(
            listed,
            "warning",
            "footer-unusable",
            loss.start,
            "the footer was cut; the frames were read instead",
            "Every frame was checked; no event is lost by this. 0.9.0 may refuse such a store; Store.open() writes "
            "the footer anew.",
        ),
        fails=CorruptFrameError,
    )


def _report_cut_frame(listed: ListedSegment, loss: Loss, problems: Problems) -> None:
    problems.add(
        finding(
            listed,
            "warning",
            "unfinished-tail",
            loss.start,
            f"{loss.end - loss.start} bytes after the last whole frame are the beginning of one: a write that was cut "
            f"short, and another segment follows",
            "Left by a crash it costs no event, and Store.open() mends it, where 0.9.0 refuses the store. If the file "
            "was cut later, verify() finds a gap in the numbers.",
        ),
        fails=CorruptFrameError,
    )


_REPORT_TAIL = {
    Tail.UNFINISHED: _report_tail,
    Tail.CUT_FOOTER: _report_torn_footer,
    Tail.CUT_FRAME: _report_cut_frame,
}


def report_batches(listed: ListedSegment, frames: FrameScan, verdict: BatchVerdict, problems: Problems) -> None:
    """One finding per batch that was left out."""
    for one in verdict.dropped:
        meaning = f"{one.why}; {one.count} of its events are left out"
        action = (
            RESTORE
            if one.by_damage
            else "They were never acknowledged: the writer was stopped in the middle of the batch."
        )
        severity = "warning" if one.by_damage else "info"
        problems.add(finding(listed, severity, "batch-incomplete", int(frames.offsets[one.row]), meaning, action))


def finding(listed: ListedSegment, severity: Any, rule: str, offset: int, meaning: str, action: str) -> Finding:
    """A finding about a place in one segment."""
    return Finding(
        severity=severity,
        rule=rule,
        segment=listed.segment_id,
        file=listed.file.name,
        offset=offset,
        meaning=meaning[:1].upper() + meaning[1:] + ".",
        action=action,
    )
