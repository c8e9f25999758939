"""Many small segments in one buffer: compiled against readable, and both against segments that were made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import plain
from batpak_analytics.format.footer import encode_footer
from batpak_analytics.format.frame import crc32
from batpak_analytics.format.layout import FOOTER_DTYPE, FOOTER_ENTRY_SIZE, KIND_BATCH_COMMIT
from batpak_analytics.format.segment import encode_segment_header

STRINGS = ("order:1", "shop", "é" * 20, "x" * 40)


def made_segment(
    segment_id: int, count: int, *, head: bytes | None = None, strings: tuple[str, ...] = STRINGS
) -> bytes:
    """A segment of frames without contents: nothing here reads a frame."""
    start = encode_segment_header(segment_id, 1_700_000_000_000_000_000) if head is None else head
    rows = made_rows(len(start), count)
    frames = b"f" * (30 * count)
    footer: bytes = encode_footer(rows, strings, len(start) + len(frames))
    return start + frames + footer


def made_rows(start: int, count: int) -> Any:
    rows = np.zeros(count, FOOTER_DTYPE)
    rows["offset"] = start + 30 * np.arange(count)
    rows["length"] = 30
    rows["global_sequence"] = np.arange(count)
    rows["entity_idx"] = np.arange(count) % len(STRINGS)
    rows["scope_idx"] = 1
    return rows


def resealed(file: bytes, start: int, rows: Any) -> bytes:
    """`file` with other rows in its footer, and the checksum that goes with them."""
    at = len(file) - 20 - len(rows) * FOOTER_ENTRY_SIZE
    body: bytes = file[start:at] + rows.tobytes()
    return file[:start] + body + crc32(body).to_bytes(4, "little") + file[-16:]


def looked_at(files: list[bytes], ids: list[int]) -> plain.Plain:
    sizes = [len(file) for file in files]
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.int64)
    return compared(b"".join(files), starts, sizes, ids)


def compared(data: bytes, starts: Any, sizes: Any, ids: Any) -> plain.Plain:
    """What both say; then the rows that both join."""
    found: plain.Plain = kernels.plain_segments(data, starts, sizes, ids)
    wanted = plain.plain_segments(data, starts, sizes, ids)
    assert [one.tolist() for one in found] == [one.tolist() for one in wanted]
    codes = np.arange(int(found.strings.sum())) + 100
    joined(data, starts, found.rows_start, found.rows, found.strings, codes)
    return found


def joined(data: bytes, starts: Any, rows_start: Any, rows: Any, strings: Any, codes: Any) -> Any:
    """The rows, as both join them."""
    outs = [np.full(int(np.sum(rows)) * FOOTER_ENTRY_SIZE, 0xEE, np.uint8).view(FOOTER_DTYPE) for _ in range(2)]
    for one, out in zip((kernels, plain), outs, strict=True):
        one.join_rows(data, starts, rows_start, rows, strings, codes, out)
    assert outs[0].tobytes() == outs[1].tobytes()
    return outs[0]


def test_segments_of_a_writer_are_plain_and_their_rows_are_joined() -> None:
    files = [made_segment(number, 3 + number) for number in range(4)]
    data, starts = b"".join(files), np.cumsum([0, *map(len, files)])[:-1]
    found = looked_at(files, [0, 1, 2, 3])
    assert found.plain.all() and found.rows.tolist() == [3, 4, 5, 6]
    texts = [
        data[at : at + size].decode()
        for at, size in zip(found.string_starts.tolist(), found.string_sizes.tolist(), strict=True)
    ]
    assert texts == [*STRINGS] * 4
    rows = joined(data, starts, found.rows_start, found.rows, found.strings, np.arange(16))
    assert rows["offset"].tolist() == [int(starts[n]) + at for n, file in enumerate(files) for at in places_of(file, n)]
    assert rows["entity_idx"].tolist() == [4 * n + row % 4 for n in range(4) for row in range(3 + n)]


def places_of(file: bytes, number: int) -> list[int]:
    head = len(encode_segment_header(number, 1_700_000_000_000_000_000))
    return [head + 30 * row for row in range(3 + number)]


@pytest.mark.parametrize("segment_id", [0, 127, 128, 255, 65_535, 2**32, 2**64 - 1])
def test_every_width_of_an_id_is_plain_under_its_own_name_only(segment_id: int) -> None:
    file = made_segment(segment_id, 2)
    assert looked_at([file], [segment_id]).plain.all()
    assert not looked_at([file], [(segment_id + 1) % 2**64]).plain.any()


@pytest.mark.parametrize(
    "head",
    [
        encode_segment_header(7, 5, flags=1),
        encode_segment_header(7, 5, version=2),
        encode_segment_header(7, -5),
        encode_segment_header(7, 5).replace(b"FBAT", b"FBAX"),
        encode_segment_header(7, 5).replace(b"segment_id", b"segment_ix"),
    ],
)
def test_an_unusual_header_is_not_plain(head: bytes) -> None:
    assert not looked_at([made_segment(7, 2, head=head)], [7]).plain.any()


def test_rows_that_do_not_name_every_byte_are_not_plain() -> None:
    file, start = made_segment(7, 4), len(encode_segment_header(7, 1_700_000_000_000_000_000))
    assert looked_at([resealed(file, start + 120, made_rows(start, 4))], [7]).plain.all()
    for name, row, value in [
        ("offset", 0, start + 1), ("offset", 2, start), ("offset", 3, 2**63), ("length", 3, 29), ("length", 0, 0),
        ("length", 3, 31), ("entity_idx", 1, 4), ("scope_idx", 3, 2**32 - 1), ("kind", 0, KIND_BATCH_COMMIT),
    ]:  # fmt: skip
        rows = made_rows(start, 4)
        rows[name][row] = value
        assert not looked_at([resealed(file, start + 120, rows)], [7]).plain.any(), name


def test_no_rows_no_file_and_places_outside_are_not_plain() -> None:
    file = made_segment(7, 0)
    assert not looked_at([file, b"", b"x"], [7, 8, 9]).plain.any()
    good = made_segment(7, 2)
    for start, size in ((1, len(good)), (0, len(good) + 1), (-1, 5), (2**62, 2**62), (0, -1)):
        assert not compared(good, [start], [size], [7]).plain.any()


def test_one_changed_byte_anywhere_in_header_or_footer_is_not_plain() -> None:
    file, start = made_segment(7, 1), len(encode_segment_header(7, 1_700_000_000_000_000_000))
    footer = start + 30
    time = range(start - 20, start - 12)  # before the key of the id and the id, and any time will do
    for at in [*range(start), *range(footer, len(file))]:
        changed = bytearray(file)
        changed[at] ^= 0x01
        assert looked_at([bytes(changed)], [7]).plain.any() == (at in time), at


@given(st.data())
def test_any_damage_gives_the_readable_answer(data: st.DataObject) -> None:
    files = [made_segment(number, data.draw(st.integers(0, 4))) for number in range(data.draw(st.integers(0, 4)))]
    damaged = bytearray(b"".join(files))
    for _ in range(data.draw(st.integers(0, 3)) if damaged else 0):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    starts = np.cumsum([0, *map(len, files)])[:-1]
    compared(bytes(damaged), starts, [len(file) for file in files], range(len(files)))


@given(st.binary(max_size=12), st.lists(st.sampled_from(["", "a", "é", "b" * 300]), max_size=3), st.booleans())
def test_any_string_table_with_a_good_checksum_gives_the_readable_answer(
    noise: bytes, strings: list[str], cut: bool
) -> None:
    file, start = made_segment(7, 2), len(encode_segment_header(7, 1_700_000_000_000_000_000))
    rows = made_rows(start, 2)
    good = encode_footer(rows, tuple(strings), 0)[: -20 - rows.nbytes]
    body = (noise if cut else good + noise) + rows.tobytes()
    sealed = file[: start + 60] + body + crc32(body).to_bytes(4, "little")
    trailer = (start + 60).to_bytes(8, "little") + file[-8:]
    looked_at([sealed + trailer], [7])


@given(
    st.lists(st.tuples(*[st.integers(-9, 900)] * 2, st.integers(0, 4), st.integers(0, 3)), max_size=4),
    st.binary(min_size=500, max_size=500),
)
def test_rows_of_anywhere_are_joined_as_the_readable_twin_does(
    places: list[tuple[int, int, int, int]], noise: bytes
) -> None:
    columns = [list(column) for column in zip(*places, strict=True)] or [[], [], [], []]
    codes = np.arange(sum(columns[3])) + 7
    joined(noise, columns[0], columns[1], columns[2], columns[3], codes)
