"""Walking and checking frames: the compiled functions against the readable ones, and both against the rules."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import zlib
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import rows
from batpak_analytics.format.layout import (
    FRAME_BOUNDS,
    FRAME_CRC,
    FRAME_END,
    FRAME_OK,
    FRAME_PAST_END,
    FRAME_TOO_LARGE,
)

WITHOUT_ISAL = """
import sys, zlib
sys.modules["isal"] = None
import numpy as np
from batpak_analytics import kernels
from batpak_analytics.format.layout import FOOTER_DTYPE
from batpak_analytics.kernels import walk
assert walk.isal_crc32() == 0
rows = np.frombuffer(bytes(range(162)) * 1000, FOOTER_DTYPE)
assert kernels.survey_rows(rows, 12345).crc == zlib.crc32(rows.tobytes(), 12345)
body = b"a frame" * 9
data = (len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body) * 9
assert not kernels.check_frames(data, range(0, len(data), 71), [71] * 9).any()
"""


def frame(body: bytes) -> bytes:
    return struct.pack(">II", len(body), zlib.crc32(body)) + body


def same_walk(buffer: Any, start: int, end: int, **limit: int) -> tuple[Any, ...]:
    got, wanted = (walk(buffer, start, end, **limit) for walk in (kernels.walk_frames, rows.walk_frames))
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert got[0].dtype == np.uint64
    assert got[1].dtype == np.uint32
    return got


def many(count: int, seed: int = 7) -> tuple[bytearray, list[int]]:
    """Frames of all sizes, enough for several runs, and where each starts."""
    source = random.Random(seed)
    parts = [frame(source.randbytes(source.choice([1, 7, 8, 9, 63, 500, 20_000]))) for _ in range(count)]
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    return bytearray(b"".join(parts)), starts


@given(st.lists(st.binary(max_size=40), max_size=8), st.binary(max_size=12), st.data())
def test_a_walk_gives_every_frame_and_says_why_it_stopped(
    bodies: list[bytes], tail: bytes, data: st.DataObject
) -> None:
    buffer = bytearray(b"".join(map(frame, bodies)) + tail)
    if buffer and data.draw(st.booleans()):
        buffer[data.draw(st.integers(0, len(buffer) - 1))] ^= data.draw(st.integers(1, 255))
    start = data.draw(st.integers(0, len(buffer) + 2))
    same_walk(buffer, start, data.draw(st.integers(0, len(buffer) + 2)), limit=data.draw(st.integers(0, 60)))
    same_walk(buffer, 0, len(buffer))


@pytest.mark.parametrize(
    ("tail", "status"),
    [
        (b"", FRAME_END),
        (b"1234567", FRAME_END),
        (struct.pack(">II", 1, 0), FRAME_PAST_END),
        (struct.pack(">II", 0xFFFFFFFF, 0), FRAME_TOO_LARGE),
        (struct.pack(">II", 4, 1) + b"abcd", FRAME_CRC),
    ],
)
def test_torn_tail_is_cut_at_the_last_good_frame(tail: bytes, status: int) -> None:
    good = frame(b"hello") + frame(b"")
    offsets, lengths, stop, why = same_walk(good + tail, 0, len(good + tail))
    assert (offsets.tolist(), lengths.tolist(), stop, why) == ([0, 13], [13, 8], len(good), status)


def test_one_flipped_bit_among_many_frames_is_found_where_it_is() -> None:
    buffer, starts = many(900)
    offsets, lengths, stop, why = same_walk(buffer, 0, len(buffer))
    assert (offsets.tolist(), stop, why) == (starts[:-1], len(buffer), FRAME_END)
    source = random.Random(3)
    for _ in range(40):
        bad = source.randrange(900)
        bit = source.randrange(32, 8 * int(lengths[bad]))  # anywhere but in the length
        buffer[starts[bad] + bit // 8] ^= 1 << bit % 8
        assert same_walk(buffer, 0, len(buffer))[2:] == (starts[bad], FRAME_CRC)
        statuses = kernels.check_frames(buffer, offsets, lengths)
        assert np.flatnonzero(statuses).tolist() == [bad] and statuses[bad] == FRAME_CRC
        buffer[starts[bad] + bit // 8] ^= 1 << bit % 8


def test_two_frames_with_their_crcs_swapped_do_not_cancel_out() -> None:
    buffer, starts = many(50)
    first, second = (slice(starts[k] + 4, starts[k] + 8) for k in (20, 21))
    buffer[first], buffer[second] = bytes(buffer[second]), bytes(buffer[first])
    offsets, lengths = np.array(starts[:-1]), np.diff(starts)
    assert np.flatnonzero(kernels.check_frames(buffer, offsets, lengths)).tolist() == [20, 21]


def test_a_frame_larger_than_a_chunk_and_thousands_of_empty_ones() -> None:
    buffer = frame(bytes(3_000_000)) + frame(b"") * 10_000 + frame(b"x")
    offsets, _, stop, why = same_walk(buffer, 0, len(buffer))
    assert (len(offsets), stop, why) == (10_002, len(buffer), FRAME_END)


@given(
    st.lists(st.tuples(st.integers(0, 2**64 - 1) | st.integers(0, 60), st.integers(0, 2**32 - 1) | st.integers(0, 40)))
)
def test_places_outside_the_buffer_are_statuses_and_never_reads(places: list[tuple[int, int]]) -> None:
    buffer = frame(b"abc") + frame(b"defgh") + frame(b"")
    offsets = np.array([offset for offset, _ in places], np.uint64)
    lengths = np.array([length for _, length in places], np.uint32)
    wanted = rows.check_frames(buffer, offsets, lengths)
    np.testing.assert_array_equal(kernels.check_frames(buffer, offsets, lengths), wanted)
    parsed = kernels.parse_frames(buffer, offsets, lengths)
    np.testing.assert_array_equal(parsed["status"] == FRAME_BOUNDS, wanted == FRAME_BOUNDS)


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, pa.py_buffer, np.frombuffer])
def test_every_kind_of_buffer_and_of_index_is_taken(form: Any) -> None:
    data = frame(b"abc") + frame(b"de")
    buffer = form(data, np.uint8) if form is np.frombuffer else form(data)
    assert kernels.walk_frames(buffer, 0, len(data))[0].tolist() == [0, 11]
    for dtype in (np.int64, np.uint64, np.uint32):
        table = np.array([(0, 11), (11, 10)], [("offset", dtype), ("length", dtype)])
        assert not kernels.check_frames(buffer, table["offset"], table["length"]).any()


def test_an_empty_buffer_has_no_frames() -> None:
    assert same_walk(b"", 0, 0)[2:] == (0, FRAME_END)
    assert kernels.check_frames(b"", [], []).tolist() == []
    assert kernels.check_frames(b"", [0], [8]).tolist() == [FRAME_BOUNDS]
    assert kernels.check_frames(frame(b""), [0], [8]).tolist() == [FRAME_OK]


@pytest.mark.skipif(not kernels.COMPILED, reason="there are no kernels")
def test_isals_checksum_is_found_where_isal_is() -> None:
    """A scan would be right without it, and threads would take twice as long."""
    pytest.importorskip("isal")
    assert import_module("batpak_analytics.kernels.walk").isal_crc32() != 0


@pytest.mark.skipif(not kernels.COMPILED, reason="there are no kernels")
def test_checksums_are_the_same_without_isal() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_ISAL], check=True)
