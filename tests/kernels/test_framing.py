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
from batpak_analytics.format.framing import EventColumns, Lanes, Start
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


@st.composite
def batches(draw: Any) -> tuple[EventColumns, Lanes, Start]:
    payloads = draw(st.lists(st.binary(max_size=60), max_size=6))
    count = len(payloads)
    entities = draw(st.lists(names, min_size=1, max_size=3))
    scopes = draw(st.lists(names, min_size=1, max_size=2))

    def drawn(values: st.SearchStrategy[Any], dtype: str, size: int = count) -> Any:
        return np.array(draw(st.lists(values, min_size=size, max_size=size)), dtype)

    def blocks(values: st.SearchStrategy[bytes], width: int, size: int = count) -> Any:
        joined = b"".join(draw(st.lists(values, min_size=size, max_size=size)))
        return np.frombuffer(joined, np.uint8).reshape(-1, width)

    offsets = np.cumsum([0, *map(len, payloads)], dtype=np.int64)
    data = np.frombuffer(b"".join(payloads), np.uint8)
    causes = blocks(ids | st.just(bytes(16)), 16)
    events = EventColumns(
        data, offsets, blocks(hashes, 32), blocks(ids, 16), blocks(ids, 16), causes, drawn(number(16), "u2"),
        drawn(st.integers(0, len(entities) - 1), "u4"), drawn(st.integers(0, len(scopes) - 1), "u4"), entities, scopes,
    )  # fmt: skip
    lanes = Lanes(
        drawn(st.integers(-1, 1 << 31), "i8", len(entities)), drawn(number(64), "u8", len(entities)),
        blocks(hashes, 32, len(entities)).copy(),
    )  # fmt: skip
    start = Start(
        draw(st.integers(0, (1 << 63) - 1)), draw(number(40)), draw(number(40)), drawn(number(32), "u4", len(entities)),
        drawn(number(32), "u4", len(scopes)),
    )  # fmt: skip
    return events, lanes, start


@given(batches(), st.integers(0, 9000))
def test_kernel_frames_a_batch_as_the_readable_path_does(batch: tuple[EventColumns, Lanes, Start], used: int) -> None:
    events, lanes, start = batch
    other = Lanes(lanes.clocks.copy(), lanes.wall_ms.copy(), lanes.hashes.copy())
    frames, rows = bytearray(b"x" * used), bytearray(b"y" * used)
    expected_frames, expected_rows = bytearray(frames), bytearray(rows)
    end = kernels.put_frames(frames, min(used, 7), rows, events, lanes, start)
    assert end == readable.put_frames(expected_frames, min(used, 7), expected_rows, events, other, start)
    assert frames[:end] == expected_frames[:end]
    size = events.count * FOOTER_DTYPE.itemsize
    assert rows[:size] == expected_rows[:size]
    for name in ("clocks", "wall_ms", "hashes"):
        assert (getattr(lanes, name) == getattr(other, name)).all()


@pytest.mark.parametrize("put_frames", [kernels.put_frames, readable.put_frames])
@pytest.mark.parametrize(
    "wrong",
    [
        {"offsets": np.array([0, 5], np.int64)}, {"offsets": np.array([0, 1, 2], np.int64)},
        {"hashes": np.zeros((1, 31), np.uint8)}, {"event_ids": np.zeros((2, 16), np.uint8)},
        {"kinds": np.zeros(1, np.uint32)}, {"entities": np.ones(1, np.uint32)}, {"scopes": np.ones(1, np.uint32)},
        {"entity_names": []}, {"payloads": np.zeros(8, np.uint8)[::2]},
    ],
)  # fmt: skip
def test_columns_that_do_not_fit_together_append_nothing(put_frames: Any, wrong: dict[str, Any]) -> None:
    ids_ = np.zeros((1, 16), np.uint8)
    good: dict[str, Any] = {
        "payloads": np.zeros(4, np.uint8), "offsets": np.array([0, 4], np.int64), "hashes": np.zeros((1, 32), np.uint8),
        "event_ids": ids_, "correlation_ids": ids_, "causation_ids": ids_, "kinds": np.zeros(1, np.uint16),
        "entities": np.zeros(1, np.uint32), "scopes": np.zeros(1, np.uint32), "entity_names": ["e"],
        "scope_names": ["s"],
    }  # fmt: skip
    lanes = Lanes(np.zeros(1, np.int64), np.zeros(1, np.uint64), np.zeros((1, 32), np.uint8))
    start = Start(0, 0, 0, np.zeros(1, np.uint32), np.zeros(1, np.uint32))
    frames = bytearray()
    with pytest.raises(ValueError, match="do not fit together"):
        put_frames(frames, 0, bytearray(), EventColumns(**(good | wrong)), lanes, start)
    assert not frames
    assert put_frames(frames, 0, bytearray(), EventColumns(**good), lanes, start) > 400
