"""A tombstone has the bytes that encoding the event anew gives, however its frame was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.compaction import tombstone as tombstones
from batpak_analytics.compaction.tombstone import encrypted_rows, tombstone, tombstone_lengths
from batpak_analytics.compaction.usual import NOT_USUAL, kind_places
from batpak_analytics.format.event import decode_event, encode_event
from batpak_analytics.format.frame import encode_frame
from batpak_analytics.format.layout import FRAME_HEADER_SIZE
from batpak_analytics.format.rows import parse_frames
from batpak_analytics.model import Event, EventKind, HashChain, PayloadEncryption, Position
from tests.conftest import FIXTURES

u8, u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
ids, hashes = st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20) | st.sampled_from(["x" * 40, "ä" * 200])
payloads = st.binary(max_size=60) | st.integers(65_530, 65_540).map(lambda size: bytes([size % 256]) * size)
events = st.builds(
    Event, ids, ids, st.none() | ids.filter(any), st.integers(-(1 << 63), (1 << 63) - 1),
    st.builds(Position, u64, st.just(0) | u16, u32, u32, u32), u32, u16.map(EventKind), u8, hashes, u16,
    st.none() | st.builds(PayloadEncryption, st.binary(max_size=40), st.binary(min_size=24, max_size=24)),
    payloads,
    st.none() | st.builds(HashChain, hashes, hashes), names, names,
    st.just({}) | st.dictionaries(st.text(max_size=9), st.binary(max_size=9), max_size=2),
)  # fmt: skip


def place_of_kind(frame: bytes) -> int:
    parsed = parse_frames(frame, np.zeros(1, np.uint64), np.array([len(frame)], np.uint32))
    (found,) = kind_places(frame, np.zeros(1, np.int64), np.array([len(frame)]), parsed).tolist()
    return int(found)


def usual(event: Event) -> bool:
    plain = event.payload_encryption is None and not event.extensions and event.hash_chain is not None
    return plain and event.timestamp_us >= 0 and event.position.counter == 0


@given(event=events)
def test_a_change_of_two_bytes_is_what_encoding_anew_gives(event: Event) -> None:
    frame = encode_frame(encode_event(event))
    at = place_of_kind(frame)
    assert (at != NOT_USUAL) == usual(event)
    if at != NOT_USUAL and event.kind > 0xFF:
        assert tombstones._marked(frame, at) == tombstone(frame)
    again = decode_event(tombstone(frame), FRAME_HEADER_SIZE)
    assert again == replace(decode_event(frame, FRAME_HEADER_SIZE), kind=EventKind(0x0FFE))


def with_int(data: bytes, key: str, tag: bytes, size: int) -> bytes:
    """The body with the number behind a key in a longer form."""
    at = data.index(msgpack.packb(key)) + len(msgpack.packb(key))
    value: int = msgpack.unpackb(data[at : at + (9 if data[at] == 0xCF else 3 if data[at] == 0xCD else 1)])
    length = {0xCF: 9, 0xCD: 3}.get(data[at], 1)
    return data[:at] + tag + value.to_bytes(size, "big") + data[at + length :]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: with_int(data, "flags", b"\xcc", 1),
        lambda data: with_int(data, "lane", b"\xce", 4),
        lambda data: with_int(data, "event_kind", b"\xce", 4),
        lambda data: with_int(data, "timestamp_us", b"\xd3", 8),  # as long as the usual form
        lambda data: with_int(data, "wall_ms", b"\xd3", 8),
        lambda data: data + b"\x00",  # which every reader ignores
        lambda data: data.replace(b"\xafpayload_version\x00", b"").replace(b"\x8a\xa8event_id", b"\x89\xa8event_id"),
        lambda data: data.replace(b"\x8a\xa8event_id", b"\x8b\xa5other\x07\xa8event_id"),
        lambda data: data.replace(b"\xa5flags\x00", b"").replace(b"\xa7payload\x92", b"\xa5flags\x00\xa7payload\x92"),
    ],
)
def test_a_frame_that_another_writer_made_is_encoded_anew_and_not_patched(change: Any) -> None:
    event = Event(
        b"\x01" * 16, b"\x02" * 16, None, 1_700_000_000_000_000, Position(1_700_000_000_000), 2, EventKind(0x1001), 0,
        b"\x03" * 32, 0, None, b"\x91\x01", HashChain(bytes(32), b"\x03" * 32), "e", "s",
    )  # fmt: skip
    body = encode_event(event)
    other = change(body)
    assert other != body
    frame = encode_frame(other)
    assert place_of_kind(frame) == NOT_USUAL
    assert place_of_kind(encode_frame(body)) != NOT_USUAL
    try:
        decode_event(frame, FRAME_HEADER_SIZE)
    except bp.FormatError:  # moved keys leave a map of the wrong size
        return
    assert tombstone(frame) == encode_frame(encode_event(replace(event, kind=EventKind(0x0FFE))))


@pytest.mark.parametrize("name", ["segments", "lanes", "hidden", "crash", "encrypted", "tombstone", "untouched"])
def test_frames_of_the_reference_become_what_encoding_them_anew_gives(name: str) -> None:
    patched = 0
    for segment in bp.open_reader(FIXTURES / name).view.segments:
        rows = np.arange(segment.count)
        frames = [
            bytes(segment.window(int(row["offset"]), int(row["offset"]) + int(row["length"]))) for row in segment.rows
        ]
        expected = [tombstone(frame) for frame in frames]
        assert list(tombstones.tombstones(segment, rows)) == expected
        assert tombstone_lengths(segment, rows).tolist() == [len(frame) for frame in expected]
        patched += sum(place_of_kind(frame) != NOT_USUAL for frame in frames)
        sealed = [decode_event(frame, FRAME_HEADER_SIZE).payload_encryption is not None for frame in frames]
        assert encrypted_rows(segment, rows).tolist() == sealed
    assert patched > 1


def test_frames_that_are_read_by_position_become_the_same(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path / "s") as store:
        for n in range(20):
            store.append(f"e{n}", "s", 0x1001, {"n": n})
        (segment,) = store.reader().view.segments
        assert not segment.mapped
        rows = np.arange(1, 21)
        made = list(tombstones.tombstones(segment, rows))
        assert [decode_event(one, FRAME_HEADER_SIZE).kind for one in made] == [0x0FFE] * 20
        assert [len(one) for one in made] == tombstone_lengths(segment, rows).tolist()
