"""The rules that frames decide, a few thousand rows at a time: CRC, footer row, header, payload."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from batpak_analytics.arrow.contradictions import contradictions
from batpak_analytics.arrow.windows import Window
from batpak_analytics.format.layout import FRAME_CRC, FRAME_OK
from batpak_analytics.proof.by_index import COMPARE
from batpak_analytics.proof.faults import MOST_OF_A_RULE, Fault
from batpak_analytics.proof.frames import payload_hashes, same_hashes, stored_hashes, take_rows

NO_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """What the frames of some rows showed: their faults, and the timestamp of each."""

    faults: list[Fault]
    timestamps: Any


def check_rows(segment: Any, rows: slice, *, payloads: bool) -> Checked:
    """Check the frames of some rows of a segment. Safe to call from several threads."""
    faults: list[Fault] = []
    times = [np.empty(0, np.int64)]
    for window, taken in take_rows(segment, rows, payloads=payloads, keep=True):
        assert taken.frames is not None
        ok = taken.status == FRAME_OK
        times.append(np.where(ok, taken.frames["timestamp_us"], NO_TIME))
        faults += _frames(segment, window, taken.status)
        faults += _footer_rows(segment, window, np.flatnonzero(taken.differs))
        faults += _headers(segment, window, taken.frames, ok)
        if payloads:
            faults += _payloads(segment, window, taken, ok)
    return Checked(faults, np.concatenate(times))


def _fault(segment: Any, window: Window, at: int, severity: Any, rule: str, meaning: str, **said: Any) -> Fault:
    entry = segment.rows[window.row(at)]
    event = entry["event_id"].tobytes()[::-1].hex()
    return Fault(severity, rule, meaning, COMPARE, segment.segment_id, int(entry["offset"]), event, **said)


def _frames(segment: Any, window: Window, status: Any) -> Iterator[Fault]:
    for at in np.flatnonzero(status != FRAME_OK).tolist():
        if int(status[at]) == FRAME_CRC:
            meaning = "the bytes of this frame do not give its CRC: they were changed after they were written"
            yield _fault(segment, window, at, "error", "frame-crc", meaning)
        else:
            meaning = "the index points at bytes that are no frame of this length, or hold no event"
            yield _fault(segment, window, at, "error", "frame-unreadable", meaning)


def _footer_rows(segment: Any, window: Window, differing: Any) -> Iterator[Fault]:
    for at, columns in contradictions(segment, window, differing[: MOST_OF_A_RULE + 1]).items():
        meaning = f"the footer row and the frame differ in {', '.join(columns)}, and both have a good CRC"
        said = ", ".join(f"{name}={_text(value)}" for name, value in columns.items())
        yield _fault(segment, window, at, "error", "footer-row", meaning, expected="the footer's values", actual=said)


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _headers(segment: Any, window: Window, frames: Any, ok: Any) -> Iterator[Fault]:
    """The copy of the hash in the header (zeros in frames that have none, segments.md 2.5), and the payload's size."""
    content, own = stored_hashes(frames, "content_hash"), stored_hashes(frames, "event_hash")
    wrong = ok & ~same_hashes(content, own)
    for at in np.flatnonzero(wrong).tolist():
        if content[at].any():
            said = {"expected": bytes(own[at]).hex(), "actual": bytes(content[at]).hex()}
            yield _fault(segment, window, at, "error", "header-hash", "the header names another hash", **said)
    for at in np.flatnonzero(ok & (frames["payload_size"] != frames["payload_count"])).tolist():
        said = {"expected": str(frames["payload_count"][at]), "actual": str(frames["payload_size"][at])}
        yield _fault(segment, window, at, "error", "header-size", "the header gives another payload size", **said)


def _payloads(segment: Any, window: Window, taken: Any, ok: Any) -> Iterator[Fault]:
    hashes = payload_hashes(taken)
    own = stored_hashes(taken.frames, "event_hash")
    for at in np.flatnonzero(ok & ~same_hashes(hashes, own)).tolist():
        meaning = "the stored payload is not the one that the event hash was made of"
        said = {"expected": bytes(own[at]).hex(), "actual": bytes(hashes[at]).hex()}
        yield _fault(segment, window, at, "error", "payload-hash", meaning, **said)
