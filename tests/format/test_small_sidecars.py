"""Hidden ranges, keysets, compaction markers, cursors and idempotency keys."""

from __future__ import annotations

import gc
import json
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batpak_analytics.errors import FormatError, FutureVersionError, LimitError, TruncatedError
from batpak_analytics.format import layout
from batpak_analytics.format.sidecars import cursor, idempotency, keyset, marker, visibility
from batpak_analytics.format.sidecars.envelope import close_envelope, open_envelope
from batpak_analytics.format.sidecars.idempotency import IdempotencyEntry
from batpak_analytics.format.sidecars.visibility import HiddenRanges

U64 = st.integers(0, layout.U64_MAX)
U32 = st.integers(0, layout.U32_MAX)
IDS = st.binary(min_size=16, max_size=16)
HASHES = st.binary(min_size=32, max_size=32)
RANGES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 12)).map(lambda item: (item[0], item[0] + item[1])),
    max_size=6,
)
SCOPES = st.dictionaries(st.binary(min_size=1, max_size=12), HASHES, max_size=5)
ENTRIES = st.lists(
    st.builds(
        IdempotencyEntry,
        key=IDS,
        event_id=IDS,
        global_sequence=U64,
        segment_id=U64,
        offset=U64,
        length=U32,
        content_hash=HASHES,
        prev_hash=HASHES,
        entity=st.text(max_size=10),
        scope=st.text(max_size=10),
        kind=st.integers(0, layout.U16_MAX),
        recorded_global_sequence=U64,
        event_evicted=st.booleans(),
        extensions=st.dictionaries(st.text(max_size=6), st.binary(max_size=10), max_size=3),
    ),
    max_size=3,
    unique_by=lambda entry: entry.key,
)
MAGICS: dict[str, tuple[Any, bytes, int]] = {
    "visibility": (visibility, layout.VISIBILITY_MAGIC, layout.VISIBILITY_VERSION),
    "keyset": (keyset, layout.KEYSET_MAGIC, layout.KEYSET_VERSION),
    "idempotency": (idempotency, layout.IDEMPOTENCY_MAGIC, layout.IDEMPOTENCY_VERSION),
}


def refuses_cuts(decode: Any, data: bytes) -> None:
    """Each strict prefix is refused, and so is each cut body behind a CRC that fits it."""
    magic, version, _ = layout.ENVELOPE.unpack_from(data)
    for size in range(len(data)):
        with pytest.raises(FormatError):
            decode(data[:size])
        if size >= layout.ENVELOPE_SIZE:
            with pytest.raises(FormatError):
                decode(close_envelope(magic, version, data[layout.ENVELOPE_SIZE : size]))


# -- envelope ---------------------------------------------------------------------------------------------
@given(st.binary(max_size=40), st.data())
def test_a_flipped_bit_anywhere_is_seen(body: bytes, data: st.DataObject) -> None:
    file = bytearray(close_envelope(b"MAGIC!", 3, body))
    assert open_envelope(file, b"MAGIC!", 3) == 3
    file[data.draw(st.integers(0, len(file) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((FormatError, FutureVersionError)):
        open_envelope(file, b"MAGIC!", 3, 3)


@pytest.mark.parametrize("name", MAGICS)
def test_a_newer_version_is_told_from_damage_even_when_the_crc_is_wrong(name: str) -> None:
    module, magic, newest = MAGICS[name]
    for crc in (0, 1):
        with pytest.raises(FutureVersionError) as caught:
            module.decode(layout.ENVELOPE.pack(magic, newest + 1, crc) + b"\x80")
        assert (caught.value.expected, caught.value.actual) == (newest, newest + 1)


@pytest.mark.parametrize("name", MAGICS)
def test_version_zero_a_foreign_magic_and_a_short_file_are_damage(name: str) -> None:
    module, magic, newest = MAGICS[name]
    with pytest.raises(FormatError, match="version"):
        module.decode(close_envelope(magic, 0, b"\x80"))
    with pytest.raises(FormatError, match="magic"):
        module.decode(close_envelope(b"FBATXX", newest, b"\x80"))
    with pytest.raises(TruncatedError):
        module.decode(b"")


@pytest.mark.parametrize("name", MAGICS)
@given(body=st.binary(max_size=40))
@settings(max_examples=40)
def test_arbitrary_bodies_behind_a_good_crc_are_format_errors(name: str, body: bytes) -> None:
    module, magic, newest = MAGICS[name]
    try:
        module.decode(close_envelope(magic, newest, body))
    except FormatError as error:
        assert error.reason


# -- hidden ranges ----------------------------------------------------------------------------------------
@given(RANGES, st.dictionaries(st.integers(0, 3), RANGES, max_size=3))
@settings(max_examples=50)
def test_hidden_ranges_read_back_normalised(ranges: Any, lanes: dict[int, Any]) -> None:
    data = visibility.encode(HiddenRanges(tuple(ranges), lanes))
    found = visibility.decode(data)
    assert found == HiddenRanges(
        visibility.normalise(ranges),
        {lane: visibility.normalise(items) for lane, items in sorted(lanes.items()) if items},
    )
    assert visibility.encode(found) == data
    refuses_cuts(visibility.decode, data)


@given(RANGES, RANGES)
def test_a_sequence_is_hidden_exactly_when_a_range_holds_it(ranges: Any, lane_ranges: Any) -> None:
    hidden = HiddenRanges(visibility.normalise(ranges), {5: visibility.normalise(lane_ranges)})
    sequences = np.arange(80, dtype=np.uint64)
    assert hidden.hides(sequences).tolist() == [any(a <= n < b for a, b in ranges) for n in range(80)]
    both = [*ranges, *lane_ranges]
    assert hidden.hides_in_lane(5, sequences).tolist() == [any(a <= n < b for a, b in both) for n in range(80)]
    assert hidden.hides_in_lane(6, sequences).tolist() == hidden.hides(sequences).tolist()


def test_touching_ranges_become_one_and_the_last_sequence_can_be_hidden() -> None:
    assert visibility.normalise([(5, 7), (1, 3), (3, 5)]) == ((1, 7),)
    top = HiddenRanges(((layout.U64_MAX - 1, layout.U64_MAX),))
    assert top.hides(np.array([layout.U64_MAX - 1, layout.U64_MAX], np.uint64)).tolist() == [True, False]
    assert bool(top) and not HiddenRanges()


@pytest.mark.parametrize("pair", [(3, 3), (4, 3)])
def test_an_empty_or_reversed_range_is_damage(pair: tuple[int, int]) -> None:
    body = msgpack.packb({"ranges": [{"start": pair[0], "end": pair[1]}]})
    with pytest.raises(FormatError, match="empty or reversed"):
        visibility.decode(close_envelope(layout.VISIBILITY_MAGIC, 2, body))


def test_of_a_lane_listed_twice_the_last_entry_counts() -> None:
    lanes = [{"lane": 1, "ranges": [[1, 2]]}, {"lane": 1, "ranges": [[5, 6]]}, {"lane": 2, "ranges": []}]
    body = msgpack.packb({"ranges": [], "lane_ranges": lanes})
    found = visibility.decode(close_envelope(layout.VISIBILITY_MAGIC, 2, body))
    assert found == HiddenRanges((), {1: ((5, 6),)})


# -- keyset -----------------------------------------------------------------------------------------------
@given(st.integers(1, 4), SCOPES)
@settings(max_examples=30)
def test_a_keyset_gives_its_scopes(granularity: int, keys: dict[bytes, bytes]) -> None:
    data = keyset.encode(granularity, keys)
    found = keyset.decode(data)
    assert (found.granularity, found.scopes) == (granularity, frozenset(keys))
    assert found.granularity_name == layout.GRANULARITY_NAMES[granularity]
    refuses_cuts(keyset.decode, data)


def test_no_key_is_left_in_what_a_keyset_gives() -> None:
    key = bytes(range(200, 232))
    found = keyset.decode(keyset.encode(1, {b"\x01a": key}))
    assert key not in [item for item in gc.get_referents(found) if isinstance(item, bytes)]
    assert key.hex() not in repr(found) and repr(key) not in repr(found)


def test_keysets_that_the_reference_refuses_are_refused() -> None:
    for body in (
        {"granularity": 5, "entries": []},
        {"granularity": 0, "entries": []},
        {"granularity": 1, "entries": [{"scope": b"a", "key": bytes(31)}]},
        {"granularity": 1},
    ):
        with pytest.raises(FormatError):
            keyset.decode(close_envelope(layout.KEYSET_MAGIC, 1, msgpack.packb(body)))
    with pytest.raises(ValueError, match="granularity"):
        keyset.encode(9, {})
    with pytest.raises(ValueError, match="32 bytes"):
        keyset.encode(1, {b"a": b"short"})


def test_scopes_are_spelled_as_frames_spell_them() -> None:
    assert keyset.entity_scope("é") == b"\x01\xc3\xa9"
    assert keyset.category_scope(0xF) == b"\x02\x0f"
    assert keyset.type_scope(0xF101) == b"\x03\xf1\x01"
    assert keyset.event_scope(bytes(15) + b"\x01") == b"\x04" + bytes(15) + b"\x01"


# -- compaction marker ------------------------------------------------------------------------------------
@given(U64, st.lists(U64, max_size=5))
def test_a_marker_reads_back_and_no_cut_of_it_does(merged: int, sources: list[int]) -> None:
    value = marker.CompactionMarker(merged, tuple(sources))
    data = marker.encode(value)
    assert marker.decode(data) == value
    for size in range(len(data)):
        with pytest.raises(FormatError):
            marker.decode(data[:size])


def test_a_marker_is_spelled_as_the_engine_spells_it() -> None:
    value = marker.CompactionMarker(1, (1, 2, 3, 4))
    assert marker.encode(value) == b'{"merged_id":1,"source_segment_ids":[1,2,3,4]}'
    spaced = json.dumps({"new": {"merged_id": 9}, "source_segment_ids": [1, 2, 3, 4], "merged_id": 1}, indent=1)
    assert marker.decode(f" {spaced}\n".encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        '{"merged_id":1}',
        '{"source_segment_ids":[1]}',
        '{"merged_id":-1,"source_segment_ids":[]}',
        '{"merged_id":1.0,"source_segment_ids":[]}',
        '{"merged_id":true,"source_segment_ids":[]}',
        '{"merged_id":18446744073709551616,"source_segment_ids":[]}',
        '{"merged_id":1,"source_segment_ids":["1"]}',
        '{"merged_id":1,"source_segment_ids":1}',
        '{"merged_id":1,"merged_id":1,"source_segment_ids":[]}',
        '{"merged_id":NaN,"source_segment_ids":[]}',
        '{"merged_id":1,"source_segment_ids":[]} x',
        "[" * 100_000,
        "9" * 5000,
    ],
)
def test_markers_that_are_not_what_they_should_be_are_damage(text: str) -> None:
    with pytest.raises(FormatError):
        marker.decode(text.encode())


def test_a_marker_that_is_not_utf8_or_far_too_long_is_damage() -> None:
    with pytest.raises(FormatError):
        marker.decode(b'{"merged_id":"\xff"}')
    with pytest.raises(LimitError):
        marker.decode(bytes(marker.MAX_MARKER_SIZE + 1))


# -- cursor -----------------------------------------------------------------------------------------------
@given(st.builds(
    cursor.CursorCheckpoint,
    position=U64,
    started=st.booleans(),
    process_boot_ns=st.none() | U64,
    region_identity=st.none() | st.text(max_size=40),
))  # fmt: skip
def test_a_cursor_reads_back_and_no_cut_of_it_does(value: cursor.CursorCheckpoint) -> None:
    data = cursor.encode(value)
    assert cursor.decode(data) == value
    for size in range(len(data)):
        with pytest.raises(FormatError):
            cursor.decode(data[:size])


def test_a_cursor_without_a_region_is_read() -> None:
    found = cursor.decode(msgpack.packb({"started": False, "position": 0}))
    assert (found.region_identity, found.process_boot_ns) == (None, None)


# -- idempotency ------------------------------------------------------------------------------------------
@given(ENTRIES)
@settings(max_examples=15)
def test_idempotency_entries_read_back(entries: list[IdempotencyEntry]) -> None:
    data = idempotency.encode(entries)
    assert idempotency.decode(data) == tuple(entries)
    refuses_cuts(idempotency.decode, data)


@given(ENTRIES.filter(bool))
@settings(max_examples=10)
def test_of_a_repeated_key_the_last_entry_counts(entries: list[IdempotencyEntry]) -> None:
    first = entries[0]
    fields = {name: getattr(first, name) for name in first.__slots__} | {"global_sequence": 12}
    again = IdempotencyEntry(**fields)
    assert idempotency.decode(idempotency.encode([first, again])) == (again,)


def test_event_evicted_defaults_to_no_and_extensions_are_required() -> None:
    data = idempotency.encode(
        [IdempotencyEntry(bytes(16), bytes(16), 1, 1, 57, 400, bytes(32), bytes(32), "e", "s", 0xF001, 1, True, {})]
    )
    value = msgpack.unpackb(data[layout.ENVELOPE_SIZE :])
    del value[0]["event_evicted"]
    old = close_envelope(layout.IDEMPOTENCY_MAGIC, 1, msgpack.packb(value))
    assert idempotency.decode(old)[0].event_evicted is False
    del value[0]["receipt_extensions"]
    with pytest.raises(FormatError, match="lacks receipt_extensions"):
        idempotency.decode(close_envelope(layout.IDEMPOTENCY_MAGIC, 1, msgpack.packb(value)))
