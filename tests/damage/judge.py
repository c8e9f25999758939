"""Was a damaged store read as it must be? Every answer that it was not is one line of text.

The rules, for a copy with damage that no checksum was mended for:

* only rows of the sound store, each equal to the original in every column, or, where its frame is damaged behind a
  good footer, with the index columns right and every column of the frame null;
* none twice, none in another order, none that was hidden or never committed;
* every event that is proven (see `oracle`) is there;
* every frame that is not whole is named by a finding of its segment, between the whole frames around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import batpak_analytics as bp
from batpak_analytics.arrow.schema import FRAME_SCHEMA, INDEX_SCHEMA
from batpak_analytics.format.segment import parse_file_name
from batpak_analytics.model import Finding
from tests.damage.oracle import Frame, Remains, Truth
from tests.damage.reading import Reading

PLACE = ("segment_id", "offset", "length")
NUMBERING = ("global_sequence", "sequence_source")
INDEX = tuple(name for name in INDEX_SCHEMA.names if name not in (*PLACE, *NUMBERING))
FRAME = (*FRAME_SCHEMA.names, "payload")
# With these damaged, what counts or what is hidden is unknown, and both modes refuse.
REFUSING = {"visibility_ranges.fbv", "compaction.pending.json"}
REFUSALS = (bp.HiddenRangesCorruptError, bp.MarkerCorruptError, bp.FutureVersionError, bp.NotAStoreError)


def judge(truth: Truth, remains: Remains, reading: Reading) -> list[str]:
    """Everything that is wrong with what `on_damage="report"` gave."""
    if reading.error is not None:
        return list(_judge_refusal(remains, reading.error))
    found = list(_judge_rows(truth, remains, reading))
    found += _judge_order(truth, remains, reading)
    found += _judge_missing(truth, remains, reading)
    found += _judge_findings(truth, remains, reading)
    return found


def judge_raising(report: Reading, raising: Reading) -> list[str]:
    """`on_damage="raise"` gives the same rows or an error of the package, and no error where all is sound."""
    if raising.error is not None:
        sound = report.error is None and not any(one.severity != "info" for one in report.findings)
        return [f"raises {raising.error!r} where nothing was found wrong"] if sound else []
    return [] if raising.rows == report.rows else ["the two modes give different rows"]


def _judge_refusal(remains: Remains, error: bp.BatpakError) -> Iterator[str]:
    nothing_left = not any(data and ".fbat" in name for name, data in remains.files.items())
    if not isinstance(error, REFUSALS) or not (remains.changed & REFUSING or nothing_left):
        yield f"refused: {error!r}"


def _judge_rows(truth: Truth, remains: Remains, reading: Reading) -> Iterator[str]:
    seen: set[bytes] = set()
    for row in reading.rows:
        name = row["event_id"].hex()
        original = truth.rows.get(row["event_id"])
        if row["event_id"] in seen:
            yield f"event {name} is shown twice"
        seen.add(row["event_id"])
        if original is None:
            yield from _judge_stranger(truth, remains, row)
            continue
        yield from (f"event {name}: {text}" for text in _judge_row(truth, remains, original, row))


def _judge_stranger(truth: Truth, remains: Remains, row: dict[str, Any]) -> Iterator[str]:
    """A row that the sound store does not show: an item of an open batch whose BEGIN was destroyed, or an error."""
    frames = truth.by_id.get(row["event_id"], [])
    if not frames:
        yield f"event {row['event_id'].hex()} was invented"
    elif frames[0].committed and not remains.unnumbered:
        yield f"event {row['event_id'].hex()} was hidden and is shown"
    elif frames[0].begin is not None and remains.known_where_shown(frames[0].begin, frames[0], row):
        yield f"event {row['event_id'].hex()} was never committed and is shown"


def _judge_row(truth: Truth, remains: Remains, original: dict[str, Any], row: dict[str, Any]) -> Iterator[str]:
    yield from (f"{n} is {row[n]!r}, was {original[n]!r}" for n in INDEX if row[n] != original[n])
    recorded = row["sequence_source"] == original["sequence_source"] != "synthesised" or not truth.renumbered
    recorded &= row["sequence_source"] != "synthesised"
    if recorded and row["global_sequence"] != original["global_sequence"]:
        yield f"its number is {row['global_sequence']}, was {original['global_sequence']}"
    if any(_bytes_at(remains, row) == frame.data for frame in truth.by_id[row["event_id"]]):
        keys_lost = "keyset.fbatk" in remains.changed and row["disposition"] == "encrypted"
        same = [name for name in FRAME if not (keys_lost and name == "disposition")]
        yield from (f"{name} is {row[name]!r}, was {original[name]!r}" for name in same if row[name] != original[name])
    elif row["disposition"] != "undecodable":
        yield f"its frame is damaged, and disposition says {row['disposition']}"
    else:
        yield from (f"its frame is damaged, and {n} is given" for n in FRAME if row[n] not in (None, "undecodable"))


def _bytes_at(remains: Remains, row: dict[str, Any]) -> bytes:
    """The bytes that the row's place names."""
    low, length = row["offset"], row["length"]
    for name in files_numbered(remains, row["segment_id"]):
        data = remains.files[name][low : low + length]
        if any(data == frame.data for frame in remains.truth.by_id[row["event_id"]]):
            return data
    return b""


def files_numbered(remains: Remains, segment_id: int) -> list[str]:
    """Files of the damaged copy with that number, under its own name or moved aside."""
    names = [name for name in remains.files if name.endswith((".fbat", ".compact-src"))]
    names = [name for name in names if name not in remains.idle]
    return [name for name in names if parse_file_name(name.removesuffix(".compact-src")) == segment_id]


def _judge_order(truth: Truth, remains: Remains, reading: Reading) -> Iterator[str]:
    numbers = [row["global_sequence"] for row in reading.rows]
    if numbers != sorted(numbers):
        yield f"sequence numbers do not ascend: {numbers}"
    order = [truth.order[row["event_id"]] for row in reading.rows if row["event_id"] in truth.order]
    # Frames that moved take new numbers; and the numbers after a compaction are in the images alone.
    unknown = remains.moved or (truth.renumbered and bool(remains.changed & {"index.fbati", "index.ckpt"}))
    if truth.in_file_order and not unknown and order != sorted(order):
        yield f"events are out of order: {order}"


def _judge_missing(truth: Truth, remains: Remains, reading: Reading) -> Iterator[str]:
    given = {row["event_id"]: row for row in reading.rows}
    unsure = {one.segment for one in reading.findings if one.rule == "hidden-ambiguous"}
    for event_id in truth.rows:
        if not remains.proven(event_id):
            continue
        row = given.get(event_id)
        frames = truth.by_id[event_id]
        excused = any(parse_file_name(frame.file.removesuffix(".compact-src")) in unsure for frame in frames)
        excused |= remains.unnumbered or (remains.moved and _in_doubtful_batch(remains, frames, reading.findings))
        if row is None and not excused and not _told_of_file(remains, frames, reading.findings):
            yield f"event {event_id.hex()} is whole and is not shown"
        elif row is not None and frame_is_wanted(remains, frames) and row["content_hash"] is None:
            yield f"event {event_id.hex()} is whole and its frame is not read"


def _in_doubtful_batch(remains: Remains, frames: list[Frame], findings: tuple[Finding, ...]) -> bool:
    """Whether frames were moved into a batch, or a batch's BEGIN before other frames, and that was told."""
    told = {one.file for one in findings if one.rule == "batch-incomplete"}
    places = (remains.place(frame) for frame in frames)
    return any(place is not None and place[0] in told for place in places)


def frame_is_wanted(remains: Remains, frames: list[Frame]) -> bool:
    """A good footer sends the reader to the old place, and only there."""
    places = ((frame, remains.place(frame)) for frame in frames)
    return any(place is not None and (place[1] == one.offset or not remains.footed(place[0])) for one, place in places)


def _told_of_file(remains: Remains, frames: list[Frame], findings: tuple[Finding, ...]) -> bool:
    """Whether a finding says that the whole file does not count: only a damaged marker of a compaction excuses it."""
    rules = ("compaction-orphan", "compaction-sources-missing")
    told = {one.file for one in findings if one.rule in rules and one.severity != "info"}
    places = (remains.place(frame) for frame in frames)
    return bool(remains.changed & REFUSING) and all(place is None or place[0] in told for place in places)


def _judge_findings(truth: Truth, remains: Remains, reading: Reading) -> Iterator[str]:
    for frame in truth.frames:
        if remains.place(frame) is None and frame.file in remains.files and not _is_told(frame, remains, reading):
            yield f"no finding names the lost frame at {frame.file}[{frame.offset}]"
    yield from _judge_footers(remains, reading)


def _is_told(frame: Frame, remains: Remains, reading: Reading) -> bool:
    if remains.footed(frame.file):
        places = {one.offset for one in reading.findings if one.file == frame.file}
        if frame.offset in places:
            return True
    low, high = remains.gap(frame)
    if high <= low:
        return True  # taken out without a trace, as by a cut between two frames
    for one in reading.findings:
        there = one.file == frame.file and one.offset is not None and low <= one.offset <= high
        if there and (one.severity != "info" or one.rule in ("unfinished-tail", "segment-header")):
            return True
        if one.file == frame.file and one.rule in ("events-lost", "segment-header") and one.severity == "error":
            return True
    return False


def _judge_footers(remains: Remains, reading: Reading) -> Iterator[str]:
    """A footer with a changed byte is told, unless the change left no footer at all."""
    for name in remains.changed:
        old, new = remains.truth.store.files.get(name, b""), remains.files.get(name, b"")
        if not name.endswith(".fbat") or len(old) != len(new) or old[-4:] != b"SDX3" or new[-4:] != b"SDX3":
            continue
        start = int.from_bytes(old[-16:-8], "little")
        told = any(one.file == name and one.severity != "info" for one in reading.findings)
        if old[start:] != new[start:] and not told:
            yield f"no finding names the changed footer of {name}"
