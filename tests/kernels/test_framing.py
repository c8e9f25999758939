"""Frames written from their fields are those that `encode_event` writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import framing as readable
from batpak_analytics.format.event import decode_event, encode_extensions
from batpak_analytics.format.frame import read_frame
from batpak_analytics.format.layout import FOOTER_DTYPE

ids = st.binary(min_size=16, max_size=16)
hashes = st.binary(min_size=32, max_size=32) | st.sampled_from([bytes(32), b"\xff" * 32, b"\x7f\x80" * 16])
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def number(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << bits) - 1) | st.sampled_from([0, (1 << bits) - 1, 127, 128, 255])


extensions = st.dictionaries(st.sampled_from(["a.b", "b.c", "zz.long"]), st.binary(max_size=40)).map(encode_extensions)
fields = st.tuples(
    ids, ids, st.none() | ids, st.integers(0, (1 << 63) - 1), number(64), number(32), number(32), number(32),
    number(16), number(8), number(16), st.binary(max_size=100), hashes, hashes,
    names, names, extensions, number(32), number(32), number(64), number(64),
)  # fmt: skip


@given(st.lists(fields, min_size=1, max_size=3))
def test_kernel_frames_what_the_readable_path_frames(events: list[tuple[Any, ...]]) -> None:
    frames, rows = bytearray(), bytearray()
    expected_frames, expected_rows = bytearray(), bytearray()
    for event in events:
        length = kernels.put_frame(frames, rows, *event)
        assert length == readable.put_frame(expected_frames, expected_rows, *event)
    assert frames == expected_frames
    assert rows == expected_rows


@given(fields)
def test_frame_and_row_say_what_was_given(event: tuple[Any, ...]) -> None:
    frames, rows = bytearray(), bytearray()
    assert kernels.put_frame(frames, rows, *event) == len(frames)
    found = decode_event(read_frame(frames))
    assert (found.event_id, found.timestamp_us, found.payload, found.entity) == (
        event[0],
        event[3],
        event[11],
        event[14],
    )
    row = np.frombuffer(rows, FOOTER_DTYPE)[0]
    assert row["event_id"].tobytes()[::-1] == event[0]
    assert [int(row[name]) for name in ("wall_ms", "depth", "lane", "clock", "kind")] == list(event[4:9])
    assert [int(row[name]) for name in ("entity_idx", "scope_idx", "offset", "global_sequence")] == list(event[17:])


@pytest.mark.parametrize("size", [15, 16, 255, 256, 65_535, 65_536, 300_000])
def test_heads_of_every_width(size: int) -> None:
    sizes = bytes(16), bytes(16), None, 0, 0, 0, 0, 0, 0x1001, 0, 0, b"\xff" * size, b"\xff" * 32, b"\xff" * 32
    event = *sizes, "é" * min(size // 2 + 1, 512), "s" * min(size, 1024), b"\x80", 0, 0, 0, 0
    frames, expected = bytearray(b"x"), bytearray(b"x")
    assert kernels.put_frame(frames, bytearray(), *event) == readable.put_frame(expected, bytearray(), *event)
    assert frames == expected


@pytest.mark.parametrize("put_frame", [kernels.put_frame, readable.put_frame])
@pytest.mark.parametrize("field", [0, 1, 2, 12, 13])
def test_id_or_hash_of_another_size_appends_nothing(put_frame: Any, field: int) -> None:
    zero = bytes(16)
    event = [zero, zero, zero, 0, 0, 0, 0, 0, 0x1001, 0, 0, b"", bytes(32), bytes(32), "e", "s", b"\x80", 0, 0, 0, 0]
    event[field] = b"short"
    frames, rows = bytearray(b"before"), bytearray()
    with pytest.raises(ValueError):
        put_frame(frames, rows, *event)
    assert frames == b"before"
    assert not rows
