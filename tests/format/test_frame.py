"""Frame headers: every status has one cause."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics.errors import FormatError, LimitError, TruncatedError
from batpak_analytics.format import layout
from batpak_analytics.format.frame import crc32, encode_frame, probe_frame, read_frame


@given(st.binary(min_size=1, max_size=200), st.binary(max_size=20), st.binary(max_size=20))
def test_a_frame_is_read_where_it_was_written(body: bytes, before: bytes, after: bytes) -> None:
    frame = encode_frame(body)
    buf = before + frame + after
    assert probe_frame(buf, len(before)) == (layout.FRAME_OK, len(frame))
    assert bytes(read_frame(buf, len(before))) == body


@given(st.binary(min_size=1, max_size=100))
def test_every_cut_of_a_frame_is_seen(body: bytes) -> None:
    frame = encode_frame(body)
    for size in range(len(frame)):
        status = layout.FRAME_END if size < layout.FRAME_HEADER_SIZE else layout.FRAME_PAST_END
        assert probe_frame(frame[:size], 0)[0] == status
        assert probe_frame(frame, 0, size)[0] == status
        with pytest.raises(TruncatedError):
            read_frame(frame[:size])


@given(st.binary(min_size=1, max_size=100), st.data())
def test_a_flipped_bit_of_the_body_is_seen(body: bytes, data: st.DataObject) -> None:
    frame = bytearray(encode_frame(body))
    frame[data.draw(st.integers(4, len(frame) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert probe_frame(frame, 0) == (layout.FRAME_CRC, len(frame))
    with pytest.raises(FormatError, match="CRC"):
        read_frame(frame)


@given(st.binary(max_size=100))
def test_the_checksum_is_the_ieee_crc32(data: bytes) -> None:
    assert crc32(data) == zlib.crc32(data)


def test_a_length_above_256_mib_is_refused_before_its_end_is_looked_at() -> None:
    frame = layout.FRAME_HEADER.pack(layout.MAX_FRAME_PAYLOAD + 1, 0)
    assert probe_frame(frame, 0)[0] == layout.FRAME_TOO_LARGE
    with pytest.raises(LimitError):
        read_frame(frame)
    at_limit = layout.FRAME_HEADER.pack(layout.MAX_FRAME_PAYLOAD, 0)
    assert probe_frame(at_limit, 0)[0] == layout.FRAME_PAST_END


def test_offsets_outside_the_buffer_have_no_frame() -> None:
    frame = encode_frame(b"x")
    assert probe_frame(frame, -1) == (layout.FRAME_BOUNDS, 0)
    assert probe_frame(frame, len(frame) + 1) == (layout.FRAME_BOUNDS, 0)
    assert probe_frame(frame, len(frame)) == (layout.FRAME_END, 0)
    assert probe_frame(frame, 0, len(frame) + 100)[0] == layout.FRAME_OK
    with pytest.raises(FormatError, match="outside"):
        read_frame(frame, -1)


def test_a_frame_of_nothing_is_valid_here_and_never_written() -> None:
    assert probe_frame(bytes(8), 0) == (layout.FRAME_OK, 8)
    with pytest.raises(ValueError, match="1 byte"):
        encode_frame(b"")
