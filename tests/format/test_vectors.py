"""Bytes written by batpak itself and printed in its format documents."""

from __future__ import annotations

import json

import numpy as np
import pytest

from batpak_analytics.format import layout
from batpak_analytics.format.event import decode_event, encode_event
from batpak_analytics.format.footer import encode_footer, read_footer
from batpak_analytics.format.frame import encode_frame, read_frame
from batpak_analytics.format.json_text import json_text, payload_to_json_value
from batpak_analytics.format.segment import encode_segment_header, read_segment_header
from batpak_analytics.format.sidecars import cursor, idempotency, keyset, visibility
from batpak_analytics.model import Position

GOLDEN_HASH = "166099298a932f09cbbb5561f254ba422a2239cad5ee5b3571d71bac67b8748b"
GOLDEN_HASH_ITEMS = "1660cc9929cc8acc932f09cccbccbb5561ccf254ccba422a2239cccaccd5ccee5b3571ccd71bccac67ccb874cc8b"

# A frame of mmap-v4/000001.fbat at offset 1077, written before payload_version existed.
GOLDEN_FRAME = bytes.fromhex(
    "000001f3 1ed0dbf3 84 a56576656e74 83 a6686561646572 89"
    "a86576656e745f6964 c410 0000000000000000000000000000ad07"
    "ae636f7272656c6174696f6e5f6964 c410 0000000000000000000000000000ad07"
    "ac636175736174696f6e5f6964 c0 ac74696d657374616d705f7573 cf000652006b9d041b"
    "a8706f736974696f6e 85 a777616c6c5f6d73 cf0000019e355b0979 a7636f756e746572 00"
    "a56465707468 02 a46c616e65 07 a873657175656e6365 00"
    "ac7061796c6f61645f73697a65 11 aa6576656e745f6b696e64 cd1000 a5666c616773 00"
    f"ac636f6e74656e745f68617368 dc0020 {GOLDEN_HASH_ITEMS}"
    "a77061796c6f6164 dc0011 cc81cca766697874757265cca76d6d61702d7634"
    f"aa686173685f636861696e 82 a9707265765f68617368 dc0020 {'00' * 32}"
    f"aa6576656e745f68617368 dc0020 {GOLDEN_HASH_ITEMS}"
    "a6656e74697479 b6656e746974793a616472303030392d6d6d61702d7634"
    "a573636f7065 ad73636f70653a66697874757265"
    "b2726563656970745f657874656e73696f6e73 81 a96170702e6175646974 920702"
)

# The footer row of that frame.
GOLDEN_ROW = bytes.fromhex(
    "07ad0000000000000000000000000000 02000000 03000000 0010 79095b359e010000"
    f"00000000 07000000 02000000 {'00' * 32} {GOLDEN_HASH}"
    "3504000000000000 fb010000 0100000000000000"
    f"07ad0000000000000000000000000000 {'00' * 16}"
)

# A whole 0.9.0 segment: id 3, one event, a footer of one row.
SEGMENT = bytes.fromhex(
    "464241540000003184a776657273696f6e01a5666c61677300aa637265617465"
    "645f6e73cf17979cfe36764b40aa7365676d656e745f696403"
    "000001e0ede8864084a56576656e7483a66865616465728aa86576656e745f69"
    "64c4100102030405060708090a0b0c0d0e0f10ae636f7272656c6174696f6e5f"
    "6964c4100102030405060708090a0b0c0d0e0f10ac636175736174696f6e5f69"
    "64c0ac74696d657374616d705f7573cf00060a24181e4fa0a8706f736974696f"
    "6e85a777616c6c5f6d73cf0000018bcfe56804a7636f756e74657200a5646570"
    "746800a46c616e6500a873657175656e636500ac7061796c6f61645f73697a65"
    "05aa6576656e745f6b696e64cda001a5666c616773cc81ac636f6e74656e745f"
    "68617368dc00206b62ccb2cca5ccfdcc8ccccd01165cccb6cc8b47ccf8ccd4cc"
    "99011b2966ccfc4a47464bccc0ccd67dccb257cccbcce4af7061796c6f61645f"
    "76657273696f6e00a77061796c6f616495cc81cca176ccccccc8aa686173685f"
    "636861696e82a9707265765f68617368dc002000000000000000000000000000"
    "00000000000000000000000000000000000000aa6576656e745f68617368dc00"
    "206b62ccb2cca5ccfdcc8ccccd01165cccb6cc8b47ccf8ccd4cc99011b2966cc"
    "fc4a47464bccc0ccd67dccb257cccbcce4a6656e74697479a6616363743a37a5"
    "73636f7065a46d61696eb2726563656970745f657874656e73696f6e7381a561"
    "70702e6b927fcc80"
    "92a6616363743a37a46d61696e"
    "100f0e0d0c0b0a090807060504030201000000000100000001a00468e5cf8b01"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "00000000000000000000000000006b62b2a5fd8ccd01165cb68b47f8d499011b"
    "2966fc4a47464bc0d67db257cbe43900000000000000e8010000010000000000"
    "0000100f0e0d0c0b0a0908070605040302010000000000000000000000000000"
    "0000"
    "b01d5b56 2102000000000000 01000000 53445833"
)
EMPTY_FOOTER = bytes.fromhex("90 c97c0d22 3900000000000000 00000000 53445833")


def test_a_frame_from_before_payload_version_still_reads() -> None:
    assert len(GOLDEN_FRAME) == 507
    event = decode_event(read_frame(GOLDEN_FRAME))
    assert event.event_id.hex() == "0000000000000000000000000000ad07"
    assert event.timestamp_us == 1_779_011_619_193_883
    assert event.position == Position(wall_ms=1_779_011_619_193, depth=2, lane=7)
    assert (event.kind, event.flags, event.payload_size, event.payload_version) == (0x1000, 0, 17, 0)
    assert event.hash_chain is not None
    assert event.content_hash.hex() == event.hash_chain.event_hash.hex() == GOLDEN_HASH
    assert event.hash_chain.prev_hash == bytes(32)
    assert (event.entity, event.scope) == ("entity:adr0009-mmap-v4", "scope:fixture")
    assert event.extensions == {"app.audit": b"\x07\x02"}
    assert json_text(payload_to_json_value(event.payload)) == '{"fixture":"mmap-v4"}'


def test_writing_the_old_event_again_adds_only_payload_version() -> None:
    body = encode_event(decode_event(read_frame(GOLDEN_FRAME)))
    old = bytes(read_frame(GOLDEN_FRAME))
    added = b"\xafpayload_version\x00"
    assert body.replace(added, b"", 1).replace(b"\x8a\xa8event_id", b"\x89\xa8event_id", 1) == old


def test_a_golden_footer_row_has_the_documented_fields() -> None:
    row = np.frombuffer(GOLDEN_ROW, layout.FOOTER_DTYPE)[0]
    assert row["event_id"].tobytes()[::-1].hex() == "0000000000000000000000000000ad07"
    assert (row["entity_idx"], row["scope_idx"], row["kind"]) == (2, 3, 0x1000)
    assert (row["wall_ms"], row["clock"], row["lane"], row["depth"]) == (1_779_011_619_193, 0, 7, 2)
    assert (row["offset"], row["length"], row["global_sequence"]) == (1077, 507, 1)
    assert row["event_hash"].tobytes().hex() == GOLDEN_HASH
    assert row["causation_id"].tobytes() == bytes(16)


def test_a_whole_segment_is_read_and_written_again_byte_for_byte() -> None:
    header = read_segment_header(SEGMENT)
    assert (header.segment_id, header.created_ns, header.frames_start) == (3, 1_700_000_000_005_000_000, 57)
    footer = read_footer(SEGMENT)
    assert footer.entries is not None and footer.frames_end == 545
    row = footer.entries[0]
    assert (row["offset"], row["length"], row["kind"]) == (57, 488, 0xA001)
    event = decode_event(read_frame(SEGMENT, int(row["offset"])))
    assert (event.entity, event.scope, event.kind, event.flags) == ("acct:7", "main", 0xA001, 0x81)
    assert event.payload == bytes.fromhex("81a176ccc8")
    assert event.extensions == {"app.k": b"\x7f\x80"}
    written = encode_segment_header(3, 1_700_000_000_005_000_000) + encode_frame(encode_event(event))
    assert written + encode_footer(footer.entries, footer.strings, len(written)) == SEGMENT


def test_an_empty_segment_has_a_footer_of_21_bytes() -> None:
    assert encode_footer(np.zeros(0, layout.FOOTER_DTYPE), [], 57) == EMPTY_FOOTER
    data = encode_segment_header(1, 1_700_000_000_000_000_000) + EMPTY_FOOTER
    assert len(data) == 78
    assert read_footer(data).state is layout.FooterState.TRUSTED


VISIBILITY_V2 = bytes.fromhex(
    "46424154565202008049521a82a672616e6765739182a5737461727408a3656e640aab6c616e655f72616e67657391"
    "82a46c616e6500a672616e6765739182a5737461727408a3656e640a"
)
VISIBILITY_V1 = bytes.fromhex("464241545652010035a017b481a672616e6765739182a5737461727401a3656e6403")
KEYSET = bytes.fromhex(
    "464241544b5301004375660e82ab6772616e756c617269747901a7656e74726965739182a573636f70659601656e743a"
    "61a36b6579dc0020000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)
CURSOR = bytes.fromhex(
    "84a8706f736974696f6e03a773746172746564c3af70726f636573735f626f6f745f6e73c0af726567696f6e5f696465"
    "6e74697479d929656e746974793d656e743a617c73636f70653d73633a317c666163743d6e6f6e657c636c6f636b3d2a"
)


def test_hidden_ranges_of_both_versions() -> None:
    both = visibility.decode(VISIBILITY_V2)
    assert both == visibility.HiddenRanges(((8, 10),), {0: ((8, 10),)})
    assert visibility.encode(both) == VISIBILITY_V2
    assert visibility.decode(VISIBILITY_V1) == visibility.HiddenRanges(((1, 3),), {})


def test_an_empty_idempotency_file() -> None:
    empty = bytes.fromhex("4642415449440100c97c0d2290")
    assert idempotency.decode(empty) == ()
    assert idempotency.encode([]) == empty


def test_a_keyset_of_one_entity() -> None:
    assert keyset.decode(KEYSET) == keyset.Keyset(1, frozenset([keyset.entity_scope("ent:a")]))
    assert keyset.encode(1, {b"\x01ent:a": bytes(range(32))}) == KEYSET


def test_a_cursor_with_its_region() -> None:
    value = cursor.CursorCheckpoint(3, True, None, "entity=ent:a|scope=sc:1|fact=none|clock=*")
    assert cursor.decode(CURSOR) == value
    assert cursor.encode(value) == CURSOR


def test_an_index_header_has_the_documented_fields() -> None:
    data = bytes.fromhex(
        "464241544958050087f56ac402000000000000002b080000000000000b00000000000000080000000b00000000000000"
        "3c000000000000009d010000000000001100000000000000"
    )
    assert layout.ENVELOPE.unpack_from(data)[:2] == (layout.MMAP_INDEX_MAGIC, 5)
    fields = layout.MMAP_INDEX_TAILS[5].unpack_from(data, layout.ENVELOPE_SIZE)
    assert fields == (2, 2091, 11, 8, 11, 60, 413, 17)
    assert len(data) + 60 + 413 + 17 + 11 * layout.MMAP_INDEX_DTYPE.itemsize == 2960


@pytest.mark.parametrize(
    ("version", "row", "header"), [(1, 162, 56), (2, 162, 64), (3, 170, 64), (4, 170, 64), (5, 218, 72)]
)
def test_index_versions_have_the_documented_sizes(version: int, row: int, header: int) -> None:
    assert layout.MMAP_INDEX_DTYPES[version].itemsize == row
    assert layout.ENVELOPE_SIZE + layout.MMAP_INDEX_TAILS[version].size == header


def test_a_frozen_payload() -> None:
    payload = bytes.fromhex("82a6616d6f756e7464a46e6f7465a568656c6c6f")
    assert json.loads(json_text(payload_to_json_value(payload))) == {"amount": 100, "note": "hello"}
