"""Parsing frames and un-escaping payloads: compiled against readable, and both against the events encoded."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import event as event_format
from batpak_analytics.format import rows
from batpak_analytics.format.layout import (
    FOOTER_DTYPE,
    FRAME_CRC,
    FRAME_DTYPE,
    FRAME_MALFORMED,
    FRAME_OK,
    PAYLOAD_BIN,
    PAYLOAD_INTS,
    PAYLOAD_OTHER_INTS,
)
from batpak_analytics.model import Event
from tests.kernels import samples

NAMES = [name for name in FRAME_DTYPE.names or () if not name.startswith("pad")]


def same_rows(buffer: bytes, offsets: Any, lengths: Any, check_crc: bool = True) -> Any:
    got = kernels.parse_frames(buffer, offsets, lengths, check_crc)
    wanted = rows.parse_frames(buffer, offsets, lengths, check_crc)
    assert got.dtype == FRAME_DTYPE
    for name in NAMES:
        np.testing.assert_array_equal(got[name], wanted[name], err_msg=name)
    pairs: Any = zip(kernels.unescape(buffer, got), rows.unescape(buffer, wanted), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    if check_crc:
        same_taken(buffer, offsets, lengths)
    return got


def same_taken(buffer: bytes, offsets: Any, lengths: Any) -> None:
    """`take_frames` by footer rows that hold these places, in each of its forms."""
    entries = np.zeros(len(offsets), FOOTER_DTYPE)
    entries["offset"], entries["length"] = offsets, lengths
    entries["offset"] += np.uint64(7)
    numbers = np.array([*range(len(entries))[::-1], len(entries), -1], np.int64)
    for chosen in (slice(0, len(entries)), slice(1, len(entries)), numbers):
        for strings in (None, (b"", np.zeros(1, np.int64))):
            for payloads, keep in ((True, False), (False, True)):
                source = rows.Source(buffer, 7, entries, chosen, strings)
                given_all = ([source, source], payloads, keep)
                got, wanted = kernels.take_frames(*given_all), rows.take_frames(*given_all)
                both: Any = zip(got._fields, got, wanted, strict=True)
                for name, one, other in both:
                    if name != "frames":
                        np.testing.assert_array_equal(one, other, err_msg=name)
                        assert one.dtype == other.dtype, name
                assert (got.frames is not None) == (wanted.frames is not None) == keep
                if got.frames is not None and wanted.frames is not None:
                    for name in NAMES:
                        np.testing.assert_array_equal(got.frames[name], wanted.frames[name], err_msg=name)


def with_headers(bodies: list[bytes]) -> tuple[bytes, Any, Any]:
    """Frames with a wrong CRC around any bytes at all."""
    frames = [struct.pack(">II", len(body), 0) + body for body in bodies]
    buffer, offsets = samples.joined(frames)
    return buffer, offsets[:-1], np.diff(offsets)


@given(st.lists(samples.events(), max_size=5))
def test_what_was_written_is_what_is_read(events: list[Event]) -> None:
    encoded = [event_format.encode_event(event) for event in events]
    buffer, offsets, lengths = with_headers(encoded)
    parsed = same_rows(buffer, offsets, lengths, check_crc=False)
    data, bounds = kernels.unescape(buffer, parsed)
    assert (parsed["status"] == FRAME_OK).all()
    for k, (event, row) in enumerate(zip(events, parsed, strict=True)):
        assert bytes(data[bounds[k] : bounds[k + 1]]) == event.payload
        assert bytes(row["event_id"]) == event.event_id
        assert bytes(row["content_hash"]) == event.content_hash
        assert (row["timestamp_us"], row["lane"]) == (event.timestamp_us, event.position.lane)
        start = int(row["entity_start"])
        assert buffer[start : start + int(row["entity_size"])] == event.entity.encode()
        assert bool(row["encrypted"]) == (event.payload_encryption is not None)


@settings(max_examples=300)
@given(st.lists(samples.damaged(samples.bodies), min_size=1, max_size=4))
def test_damaged_bodies_give_the_readable_answer(bodies: list[bytes]) -> None:
    same_rows(*with_headers(bodies), check_crc=False)


@given(st.lists(st.binary(max_size=60) | samples.hostile, max_size=6))
def test_random_bytes_are_malformed_and_never_raise(bodies: list[bytes]) -> None:
    buffer, offsets, lengths = with_headers(bodies)
    parsed = same_rows(buffer, offsets, lengths, check_crc=False)
    assert (parsed["status"] == FRAME_MALFORMED).all()


@settings(max_examples=40)
@given(samples.events(), st.integers(0, 8))
def test_bytes_after_the_frame_do_not_matter_and_truncation_is_seen(event: Event, extra: int) -> None:
    body = event_format.encode_event(event)
    for size in range(len(body) - 20, len(body) + 1):
        buffer, offsets, lengths = with_headers([body[:size]])
        parsed = same_rows(buffer + bytes(extra), offsets, lengths, check_crc=False)
        assert (parsed["status"][0] == FRAME_OK) == (size == len(body))


def replaced(payload: bytes) -> bytes:
    """A frame whose payload value is these bytes."""
    event = plain_event()
    body = event_format.encode_event(event)
    return body.replace(b"\xa7payload\x93\x01\x02\x03", b"\xa7payload" + payload)


def plain_event() -> Event:
    body = bytes.fromhex(
        "84a56576656e7483a66865616465728aa86576656e745f6964c4100102030405060708090a0b0c0d0e0f10ae636f7272656c"
        "6174696f6e5f6964c4100102030405060708090a0b0c0d0e0f10ac636175736174696f6e5f6964c0ac74696d657374616d70"
        "5f757300a8706f736974696f6e85a777616c6c5f6d7300a7636f756e74657200a5646570746800a46c616e6500a873657175"
        "656e636500ac7061796c6f61645f73697a6503aa6576656e745f6b696e6401a5666c61677300ac636f6e74656e745f686173"
        "68dc0020" + "00" * 32 + "af7061796c6f61645f76657273696f6e00a77061796c6f616493010203aa686173685f636861"
        "696ec0a6656e74697479a165a573636f7065a173b2726563656970745f657874656e73696f6e7380"
    )
    return event_format.decode_event(body, 0, len(body))


@pytest.mark.parametrize(
    ("payload", "form", "stored"),
    [
        (b"\x90", PAYLOAD_INTS, b""),
        (b"\x92\x7f\xcc\x80", PAYLOAD_INTS, b"\x7f\x80"),
        (b"\xdc\x00\x02\xcc\xcc\xcc\xcc", PAYLOAD_INTS, b"\xcc\xcc"),
        (b"\xdd\x00\x00\x00\x01\x05", PAYLOAD_INTS, b"\x05"),
        (b"\xc4\x03abc", PAYLOAD_BIN, b"abc"),
        (b"\xc4\x00", PAYLOAD_BIN, b""),
        (b"\x92\xcc\x05\x06", PAYLOAD_OTHER_INTS, b"\x05\x06"),
        (b"\x92\xcd\x00\xff\xd3\x00\x00\x00\x00\x00\x00\x00\x09", PAYLOAD_OTHER_INTS, b"\xff\x09"),
    ],
)
def test_each_form_of_payload_is_unescaped(payload: bytes, form: int, stored: bytes) -> None:
    buffer, offsets, lengths = with_headers([replaced(b"\x92\x01\xcc\x81"), replaced(payload)] * 2)
    parsed = same_rows(buffer, offsets, lengths, check_crc=False)
    data, bounds = kernels.unescape(buffer, parsed)
    assert parsed["payload_form"].tolist() == [PAYLOAD_INTS, form] * 2
    assert [bytes(data[bounds[k] : bounds[k + 1]]) for k in range(4)] == [b"\x01\x81", stored] * 2


@pytest.mark.parametrize("payload", [b"\x91\xcd\x01\x00", b"\x91\xff", b"\x91\xa1a", b"\x91\xcc", b"\xa1a", b"\xc0"])
def test_a_payload_that_is_no_byte_vector_is_malformed(payload: bytes) -> None:
    parsed = same_rows(*with_headers([replaced(payload)]), check_crc=False)
    assert parsed["status"].tolist() == [FRAME_MALFORMED]


@settings(max_examples=200)
@given(st.lists(samples.telling, max_size=40), st.integers(0, 40), st.integers(0, 2))
def test_rows_that_lie_about_their_payload_give_nothing(data: list[int], count: int, form: int) -> None:
    buffer = bytes(data)
    frames = np.zeros(4, FRAME_DTYPE)
    frames["payload_start"] = [0, 3, 5, 2**63]
    frames["payload_end"] = [len(data), 11, 4, 2**64 - 1]
    frames["payload_count"] = [count, 8, 1, 2**32 - 1]
    frames["payload_form"] = form
    got, wanted = kernels.unescape(buffer, frames), rows.unescape(buffer, frames)
    np.testing.assert_array_equal(got[0], wanted[0])
    np.testing.assert_array_equal(got[1], wanted[1])


@given(st.binary(max_size=300), st.integers(0, 9))
def test_escapes_are_undone_at_every_alignment(payload: bytes, shift: int) -> None:
    elements = b"".join(bytes([byte]) if byte < 0x80 else bytes([0xCC, byte]) for byte in payload)
    for tail in (b"", b"\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc", b"\x00" * 9):
        frames = np.zeros(1, FRAME_DTYPE)
        frames["payload_start"], frames["payload_end"] = shift, shift + len(elements)
        frames["payload_count"] = len(payload)
        data, offsets = kernels.unescape(bytes(shift) + elements + tail, frames)
        assert (bytes(data), offsets.tolist()) == (payload, [0, len(payload)])


@settings(max_examples=300)
@given(st.lists(samples.telling, max_size=200), st.integers(0, 400), st.none() | samples.telling)
def test_one_wrong_byte_in_a_payload_is_seen_wherever_it_stands(payload: list[int], at: int, octet: int | None) -> None:
    """In a frame more bytes follow the payload, so that whole blocks of it can be taken."""
    elements = bytearray(b"".join(bytes([byte]) if byte < 0x80 else bytes([0xCC, byte]) for byte in payload))
    if octet is not None and at < len(elements):
        elements[at] = octet
    head = b"\xdc" + len(payload).to_bytes(2, "big")
    same_rows(*with_headers([replaced(head + elements)] * 2), check_crc=False)


def test_a_row_with_a_wrong_crc_is_zero_otherwise() -> None:
    buffer, offsets, lengths = with_headers([replaced(b"\x90")])
    parsed = same_rows(buffer, offsets, lengths)
    assert parsed["status"].tolist() == [FRAME_CRC]
    parsed["status"] = 0
    assert parsed.tobytes() == bytes(FRAME_DTYPE.itemsize)


def test_no_rows_and_no_bytes() -> None:
    parsed = same_rows(b"", [], [])
    assert len(parsed) == 0
