"""``index.ckpt`` and ``index.fbati`` in every version."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batpak_analytics.errors import FormatError, FutureVersionError
from batpak_analytics.format import layout
from batpak_analytics.format.sidecars import checkpoint, mmap_index
from batpak_analytics.format.sidecars.envelope import close_envelope
from batpak_analytics.format.sidecars.image import FullImage, IndexEntry, KindFallbacks, Routing, Run

U64 = st.integers(0, layout.U64_MAX)
U32 = st.integers(0, layout.U32_MAX)
U16 = st.integers(0, layout.U16_MAX)
IDS = st.binary(min_size=16, max_size=16)
HASHES = st.binary(min_size=32, max_size=32)
STRINGS = ("", "order:1", "shop")
ROWS = st.builds(
    IndexEntry,
    event_id=IDS,
    correlation_id=IDS,
    causation_id=st.none() | IDS.filter(any),
    entity_id=st.integers(0, 2),
    scope_id=st.integers(0, 2),
    kind=U16,
    wall_ms=U64,
    clock=U32,
    lane=U32,
    depth=U32,
    prev_hash=HASHES,
    event_hash=HASHES,
    segment_id=U64,
    offset=U64,
    length=U32,
    global_sequence=U64,
    extensions=st.dictionaries(st.text(max_size=6), st.binary(max_size=6), max_size=2),
)
RUNS = st.builds(Run, U64, U64, U64, U64)
IMAGES = st.builds(
    FullImage,
    version=st.just(0),
    allocator=U64,
    watermark_segment=U64,
    watermark_offset=U64,
    strings=st.just(STRINGS),
    entries=st.lists(ROWS, max_size=3).map(tuple),
    routing=st.builds(
        Routing,
        U64,
        U64,
        st.lists(RUNS, max_size=2).map(tuple),
        st.lists(st.builds(Run, U64, U64, U64, U64, st.text(max_size=5)), max_size=2).map(tuple),
    ),
    fallbacks=st.builds(
        KindFallbacks, U64, U64, st.dictionaries(U16, U64, max_size=2), st.dictionaries(U16, U64, max_size=2)
    ),
)
VERSIONS = [
    *[(checkpoint, layout.CHECKPOINT_MAGIC, version) for version in range(2, 7)],
    *[(mmap_index, layout.MMAP_INDEX_MAGIC, version) for version in range(1, 6)],
]


def held(image: FullImage, module: Any, version: int) -> FullImage:
    """What of an image a version can hold."""
    is_checkpoint = module is checkpoint
    routing = version >= (3 if is_checkpoint else 2)
    fallbacks = version >= (5 if is_checkpoint else 4)
    lanes = version >= (4 if is_checkpoint else 3)
    extensions = version >= (6 if is_checkpoint else 5)
    lost: dict[str, Any] = {} if lanes else {"lane": 0, "depth": 0}
    lost |= {} if extensions else {"extensions": {}}
    return dataclasses.replace(
        image,
        version=version,
        entries=tuple(dataclasses.replace(row, **lost) for row in image.entries),
        routing=image.routing if routing else Routing(),
        fallbacks=image.fallbacks if fallbacks else KindFallbacks(),
    )


@pytest.mark.parametrize(("module", "magic", "version"), VERSIONS)
@given(image=IMAGES)
@settings(max_examples=15)
def test_an_image_reads_back_as_it_was_written(module: Any, magic: bytes, version: int, image: FullImage) -> None:
    data = module.encode(dataclasses.replace(image, version=version))
    expected = held(image, module, version)
    assert module.decode(data) == expected
    quick = module.decode_sequences(np.frombuffer(data, np.uint8))
    assert (quick.allocator, quick.watermark_segment, quick.watermark_offset) == (
        image.allocator,
        image.watermark_segment,
        image.watermark_offset,
    )
    assert quick.event_id.tobytes() == b"".join(row.event_id[::-1] for row in image.entries)
    assert quick.event_hash.tobytes() == b"".join(row.event_hash for row in image.entries)
    assert quick.global_sequence.tolist() == [row.global_sequence for row in image.entries]
    assert (quick.event_id.dtype, quick.event_hash.dtype) == (np.dtype("V16"), np.dtype("V32"))


def sample(version: int, *, extensions: bool = True) -> FullImage:
    row = IndexEntry(
        bytes(range(16)), bytes(range(16)), None, 1, 2, 0xF001, 1_700_000_000_000, 3, 1, 2, bytes(32),
        bytes(range(200, 232)), 4, 57, 400, 9, {"app.k": b"\x80"} if extensions else {},
    )  # fmt: skip
    return FullImage(version, 11, 2, 2091, STRINGS, (row, dataclasses.replace(row, global_sequence=10)))


@pytest.mark.parametrize(("module", "magic", "version"), VERSIONS)
def test_every_cut_of_an_image_is_refused(module: Any, magic: bytes, version: int) -> None:
    data = module.encode(sample(version))
    for decode in (module.decode, module.decode_sequences):
        for size in range(len(data)):
            with pytest.raises(FormatError):
                decode(data[:size])
            if size >= layout.ENVELOPE_SIZE:
                with pytest.raises(FormatError):
                    decode(close_envelope(magic, version, data[layout.ENVELOPE_SIZE : size]))


@pytest.mark.parametrize(("module", "magic", "version"), VERSIONS)
@given(data=st.data())
@settings(max_examples=40)
def test_a_changed_byte_behind_a_good_crc_is_at_most_a_format_error(
    module: Any, magic: bytes, version: int, data: st.DataObject
) -> None:
    body = bytearray(module.encode(sample(version))[layout.ENVELOPE_SIZE :])
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    for decode in (module.decode, module.decode_sequences):
        try:
            decode(close_envelope(magic, version, bytes(body)))
        except FormatError as error:
            assert error.reason


@pytest.mark.parametrize(
    ("module", "magic", "newest", "oldest"),
    [(checkpoint, layout.CHECKPOINT_MAGIC, 6, 2), (mmap_index, layout.MMAP_INDEX_MAGIC, 5, 1)],
)
def test_versions_outside_the_known_ones_are_refused(module: Any, magic: bytes, newest: int, oldest: int) -> None:
    with pytest.raises(FutureVersionError):
        module.decode_sequences(close_envelope(magic, newest + 1, b""))
    with pytest.raises(FormatError, match="version"):
        module.decode_sequences(close_envelope(magic, oldest - 1, b""))
    for version in (oldest - 1, newest + 1):
        with pytest.raises(ValueError, match="versions"):
            module.encode(sample(version))


@pytest.mark.parametrize("module", [checkpoint, mmap_index])
def test_a_row_that_names_a_missing_string_is_damage(module: Any) -> None:
    image = dataclasses.replace(sample(5), strings=("",))
    with pytest.raises(FormatError, match="string"):
        module.decode(module.encode(image))


def test_rows_in_another_spelling_are_numbered_too() -> None:
    data = checkpoint.encode(sample(6))
    body = msgpack.unpackb(data[layout.ENVELOPE_SIZE :])
    first = body["entries"][0]
    body["entries"][0] = dict(reversed(first.items())) | {"new": 1, "prev_hash": bytes(32)}
    changed = close_envelope(layout.CHECKPOINT_MAGIC, 6, msgpack.packb(body))
    quick = checkpoint.decode_sequences(changed)
    assert quick.global_sequence.tolist() == [9, 10]
    assert quick.event_id.tobytes() == bytes(range(16))[::-1] * 2
    assert checkpoint.decode(changed) == sample(6)


def test_a_cause_of_zero_in_a_checkpoint_is_no_cause() -> None:
    data = checkpoint.encode(sample(6))
    body = msgpack.unpackb(data[layout.ENVELOPE_SIZE :])
    body["entries"][0]["causation_id"] = bytes(16)
    changed = close_envelope(layout.CHECKPOINT_MAGIC, 6, msgpack.packb(body))
    assert checkpoint.decode(changed).entries[0].causation_id is None


@pytest.mark.parametrize("field", ["extensions_hash", "extensions_offset", "extensions_size"])
def test_extensions_that_do_not_match_their_row_are_damage(field: str) -> None:
    data = bytearray(mmap_index.encode(sample(5)))
    rows = np.frombuffer(data, layout.MMAP_INDEX_DTYPE, 2, len(data) - 2 * layout.MMAP_INDEX_DTYPE.itemsize)
    rows[field][1] = bytes(32) if field == "extensions_hash" else layout.U64_MAX
    with pytest.raises(FormatError, match="extensions"):
        mmap_index.decode(close_envelope(layout.MMAP_INDEX_MAGIC, 5, bytes(data[layout.ENVELOPE_SIZE :])))


def test_a_forged_row_count_or_string_count_is_damage() -> None:
    data = mmap_index.encode(sample(5))
    tail = layout.MMAP_INDEX_TAILS[5]
    fields = list(tail.unpack_from(data, layout.ENVELOPE_SIZE))
    rest = data[layout.ENVELOPE_SIZE + tail.size :]
    for index, value in ((4, layout.U64_MAX), (4, 1), (5, layout.U64_MAX), (3, 99)):
        forged = list(fields)
        forged[index] = value
        with pytest.raises(FormatError):
            mmap_index.decode(close_envelope(layout.MMAP_INDEX_MAGIC, 5, tail.pack(*forged) + rest))


def test_numbering_does_not_keep_the_file_alive() -> None:
    quick = mmap_index.decode_sequences(mmap_index.encode(sample(5)))
    for column in (quick.event_id, quick.event_hash, quick.global_sequence):
        assert column.base is None or isinstance(column.base, np.ndarray)
