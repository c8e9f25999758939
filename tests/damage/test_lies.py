"""Lies behind right checksums: what a frame says is shown, what a footer says is held against the frames.

A frame with a right checksum is taken at its word, for its CRC is all there is; so a lie in a frame is shown as that
frame has it, told where the footer's row contradicts it, and every other event is untouched. A footer that lies costs
no event: the scan shows what the frames say, and the contradiction is a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batpak_analytics.format.footer import encode_footer
from batpak_analytics.model import Event, EventKind, HashChain, Position
from tests.damage.reading import Reading, read
from tests.engine.building import make_event, three_segments, write_store

HONEST = make_event(4)
LIES: dict[str, dict[str, Any]] = {
    "kind": {"kind": EventKind(0x2222)},
    "entity": {"entity": "order:9"},
    "timestamp": {"timestamp_us": 5},
    "flags": {"flags": 0x81},
    "clock": {"position": Position(HONEST.position.wall_ms, clock=1000)},
    "lane": {"position": replace(HONEST.position, lane=7)},
    "event_id": {"event_id": bytes(range(16))},
    "prev_hash": {"hash_chain": HashChain(b"\x07" * 32, HONEST.content_hash)},
    "payload": {"payload": b"\x81\xa1n\x05"},
    "correlation_id": {"correlation_id": b"\x09" * 16},
}
NOT_IN_ROWS = {"timestamp", "flags", "payload"}


def lie_of(name: str) -> Event:
    return replace(HONEST, **LIES[name])


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """A row without its place and number, which are the copy's own."""
    place = ("segment_id", "offset", "length", "global_sequence", "sequence_source")
    return {name: value for name, value in row.items() if name not in place}


def by_clock(reading: Reading) -> dict[int, dict[str, Any]]:
    assert reading.error is None
    return {row["clock"]: comparable(row) for row in reading.rows}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("footer", [True, False])
def test_lie_in_a_frame_is_shown_as_it_stands_and_touches_no_other_event(
    tmp_path: Path, name: str, footer: bool
) -> None:
    segments = three_segments()
    segments[1].footer = footer
    sound = by_clock(read(write_store(tmp_path / "sound", segments)))
    lie = lie_of(name)
    honest_rows = encode_footer(*segments[1]._rows(), 0)
    segments[1].events[1] = lie
    data = replace(segments[1], footer=False).to_bytes()
    write_store(tmp_path / "lie", segments)
    if footer and len(data) == segments[1].offsets()[-1]:
        rows, strings = segments[1]._rows()
        _restore(rows, three_segments()[1]._rows()[0])
        (tmp_path / "lie" / "000002.fbat").write_bytes(data + encode_footer(rows, [*strings, "order:1"], len(data)))
    assert honest_rows
    reading = read(tmp_path / "lie")
    shown = by_clock(reading)
    lied = shown.pop(lie.position.clock)
    sound.pop(4)
    assert shown == sound
    assert (lied["event_id"], lied["entity"], lied["kind"]) == (lie.event_id, lie.entity, int(lie.kind))
    assert (lied["timestamp"], lied["flags"], lied["payload"]) == (lie.timestamp_us, lie.flags, lie.payload)
    told = {one.rule for one in reading.findings}
    assert told == ({"frame-contradicts-index"} if footer and name not in NOT_IN_ROWS else set())


def _restore(rows: np.ndarray, honest: np.ndarray) -> None:
    """The row of the lied event as the writer made it; its place is that of the new frame."""
    for field in ("event_id", "correlation_id", "kind", "clock", "lane", "prev_hash"):
        rows[field][1] = honest[field][1]
    if rows["entity_idx"][1] != rows["entity_idx"][0]:
        rows["entity_idx"][1] = rows["entity_idx"][0]


def _row(field: str, value: Any) -> Callable[[np.ndarray, list[str]], np.ndarray]:
    def change(rows: np.ndarray, strings: list[str]) -> np.ndarray:
        rows[field][1] = value
        return rows

    return change


def _swapped_strings(rows: np.ndarray, strings: list[str]) -> np.ndarray:
    strings.reverse()
    return rows


FOOTER_LIES: dict[str, Callable[[np.ndarray, list[str]], np.ndarray]] = {
    "event_id": _row("event_id", np.void(bytes(range(16)))),
    "kind": _row("kind", 0x3333),
    "kind of a marker": _row("kind", 6),
    "clock": _row("clock", 999),
    "wall_ms": _row("wall_ms", 5),
    "entity": _row("entity_idx", 1),
    "event_hash": _row("event_hash", np.void(bytes(32))),
    "offset": _row("offset", 400),
    "offset one on": lambda rows, _: _shift(rows, 1, 0),
    "one byte shorter": lambda rows, _: _shift(rows, 0, -1),
    "inside its frame": lambda rows, _: _shift(rows, 8, -8),
    "length": _row("length", 9),
    "past the file": _row("offset", 1 << 40),
    "one row left out": lambda rows, _: np.delete(rows, 1),
    "one row twice": lambda rows, _: rows[[0, 1, 1, 2]],
    "rows in another order": lambda rows, _: rows[[2, 1, 0]],
    "no row": lambda rows, _: rows[:0],
    "swapped strings": _swapped_strings,
}


def _shift(rows: np.ndarray, offset: int, length: int) -> np.ndarray:
    rows["offset"][1] += offset
    rows["length"][1] = int(rows["length"][1]) + length
    return rows


@pytest.mark.parametrize("name", FOOTER_LIES)
@pytest.mark.parametrize("on_damage", ["report", "raise"])
def test_footer_that_lies_costs_no_event(tmp_path: Path, name: str, on_damage: str) -> None:
    segments = three_segments()
    sound = by_clock(read(write_store(tmp_path, segments)))
    rows, strings = segments[1]._rows()
    data = replace(segments[1], footer=False).to_bytes()
    rows = FOOTER_LIES[name](rows, strings)
    (tmp_path / "000002.fbat").write_bytes(data + encode_footer(rows, strings, len(data)))
    reading = read(tmp_path, on_damage)
    assert by_clock(reading) == sound
    told = {one.rule for one in reading.findings if one.severity != "info" and one.segment == 2}
    assert told & {"footer-lies", "frame-contradicts-index"}
