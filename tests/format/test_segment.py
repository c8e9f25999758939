"""Segment names and headers."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics.errors import FormatError, LimitError, TruncatedError
from batpak_analytics.format import layout
from batpak_analytics.format.segment import (
    canonical_name,
    encode_segment_header,
    parse_file_name,
    read_segment_header,
)

U64 = st.integers(0, layout.U64_MAX)


@given(U64)
def test_a_segment_is_found_by_the_name_it_is_given(segment_id: int) -> None:
    name = canonical_name(segment_id)
    assert parse_file_name(name) == segment_id
    assert len(name) >= len("000000.fbat")


@pytest.mark.parametrize(
    ("name", "segment_id"),
    [
        ("000042.fbat", 42),
        ("1000000.fbat", 1_000_000),
        ("7.fbat", 7),
        ("+7.fbat", 7),
        ("0" * 5000 + "7.fbat", 7),
        ("18446744073709551615.fbat", layout.U64_MAX),
    ],
)
def test_padding_and_a_plus_do_not_change_the_id(name: str, segment_id: int) -> None:
    assert parse_file_name(name) == segment_id


@pytest.mark.parametrize(
    "name", ["", "fbat", ".fbat", "1.FBAT", "000001.fbat.compact-src", "index.fbati", "1.fbat.", "x"]
)
def test_other_files_are_not_segments(name: str) -> None:
    assert parse_file_name(name) is None


@pytest.mark.parametrize(
    "name",
    ["-1.fbat", "a.fbat", "1 .fbat", "++1.fbat", "+.fbat", "1_0.fbat", "٣.fbat", "1.0.fbat",
     "18446744073709551616.fbat", "9" * 5000 + ".fbat", "\udcff.fbat"],
)  # fmt: skip
def test_segment_names_without_an_id_are_refused(name: str) -> None:
    with pytest.raises(FormatError):
        parse_file_name(name)


def test_an_id_that_no_file_can_have_has_no_name() -> None:
    with pytest.raises(ValueError, match="not a segment id"):
        canonical_name(-1)


@given(U64, st.integers(layout.I64_MIN, layout.I64_MAX), st.integers(0, layout.U16_MAX))
def test_a_header_reads_back_as_it_was_written(segment_id: int, created_ns: int, flags: int) -> None:
    data = encode_segment_header(segment_id, created_ns, flags=flags)
    header = read_segment_header(data + b"frames")
    assert (header.segment_id, header.created_ns, header.flags) == (segment_id, created_ns, flags)
    assert header.frames_start == len(data)
    for size in range(len(data)):
        with pytest.raises(TruncatedError):
            read_segment_header(data[:size])


def test_no_time_is_beyond_the_field_of_the_header() -> None:
    """It is an i64 in Rust: a larger number makes the header, and so the store, unreadable there."""
    header = read_segment_header(encode_segment_header(1, 1 << 63))
    assert header.created_ns == (1 << 63) - 1


def test_the_header_grows_with_the_id() -> None:
    sizes = [len(encode_segment_header(n, 1_700_000_000_000_000_000)) - 8 for n in (1, 128, 256, 65_536, 2**32)]
    assert sizes == [49, 50, 51, 53, 57]


@given(st.binary(max_size=80))
def test_arbitrary_headers_give_a_header_or_a_format_error(data: bytes) -> None:
    for buf in (data, layout.SEGMENT_PREFIX.pack(b"FBAT", len(data)) + data):
        try:
            read_segment_header(buf)
        except FormatError as error:
            assert error.reason


def _with_body(body: object) -> bytes:
    packed: bytes = msgpack.packb(body)
    return layout.SEGMENT_PREFIX.pack(b"FBAT", len(packed)) + packed


def test_a_foreign_magic_a_new_version_and_a_huge_header_are_told_apart() -> None:
    good = {"version": 1, "flags": 0, "created_ns": 5, "segment_id": 1}
    assert read_segment_header(_with_body(good)).version == 1
    with pytest.raises(FormatError, match="magic"):
        read_segment_header(b"FBAX" + _with_body(good)[4:])
    with pytest.raises(FormatError, match="version") as caught:
        read_segment_header(_with_body({**good, "version": 2}))
    assert (caught.value.expected, caught.value.actual) == (1, 2)
    with pytest.raises(LimitError):
        read_segment_header(layout.SEGMENT_PREFIX.pack(b"FBAT", layout.MAX_SEGMENT_HEADER + 1))
    with pytest.raises(TruncatedError):
        read_segment_header(layout.SEGMENT_PREFIX.pack(b"FBAT", layout.MAX_SEGMENT_HEADER))
