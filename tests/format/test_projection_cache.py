"""Files of the projection cache: those of the reference are read, both trailers, and no other bytes are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics.errors import TruncatedError
from batpak_analytics.format.sidecars.projection_cache import Trailer, decode, encode, key, place

THEIRS = bytes.fromhex(
    "7b2276616c7565223a337d"  # {"value":3}
    "0300000000000000" "00ca9a3b00000000" "2eb9450100000000" "33df6fd75b87eb18" "d1d0cfcecdcccbca"
)  # fmt: skip
"""A file that 0.9.0 wrote, with its clock at 1,000,000,000 us."""
u64, i64 = st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1)


def test_a_file_of_the_reference_is_read_and_written_byte_for_byte() -> None:
    body, trailer = decode(THEIRS)
    assert body == b'{"value":3}'
    assert trailer == Trailer(3, 1_000_000_000, 21_346_606, 0x18EB875BD76FDF33)
    assert encode(body, trailer) == THEIRS


def test_the_old_trailer_has_no_process() -> None:
    old = b"{}" + (7).to_bytes(8, "little") + (-9).to_bytes(8, "little", signed=True)
    assert decode(old) == (b"{}", Trailer(7, -9))
    assert encode(b"{}", Trailer(7, -9)) == old


@given(st.binary(max_size=60), u64, i64, i64, u64)
def test_what_is_written_is_read_again(body: bytes, watermark: int, at: int, mono: int, boot: int) -> None:
    trailer = Trailer(watermark, at, mono, boot)
    assert decode(encode(body, trailer)) == (body, trailer)


@given(st.binary(max_size=15))
def test_less_than_a_trailer_is_no_file(data: bytes) -> None:
    with pytest.raises(TruncatedError):
        decode(data)


@given(st.binary(max_size=100))
def test_any_other_bytes_are_one_of_the_two_forms_or_refused(data: bytes) -> None:
    try:
        body, trailer = decode(data)
    except TruncatedError:
        assert len(data) < 16
    else:
        assert encode(body, trailer) == data


def test_keys_are_the_entity_and_three_numbers() -> None:
    made = key("order:1", b"\x01" + bytes(7), 2, b"\x03" + bytes(7))
    assert made == b"order:1\0" + b"".join(number.to_bytes(8, "little") for number in (1, 2, 3))
    assert place(made) == (made.hex()[:2], f"{made.hex()}.bin")
    assert place(b"") == ("00", ".bin")


def test_a_key_too_long_for_a_file_name_gets_a_short_one() -> None:
    places = {place(key("x" * 1024 + end, bytes(8), 0, bytes(8))) for end in "ab"}
    assert len(places) == 2
    assert all(len(name) == 64 + 4 and name.startswith(folder) for folder, name in places)
    exact = key("x" * 100, bytes(8), 0, bytes(8))
    assert len(place(exact)[1]) == 254
