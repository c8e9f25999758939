"""Footers: trusted only when geometry, CRC, strings and indexes all hold."""

from __future__ import annotations

import mmap
from pathlib import Path

import msgpack
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batpak_analytics.format import layout
from batpak_analytics.format.footer import encode_footer, read_footer, untrusted_entries
from batpak_analytics.format.frame import crc32
from batpak_analytics.format.layout import FooterState

STRINGS = st.lists(st.text(max_size=12), min_size=1, max_size=6)


def entries(count: int, strings: int, seed: int = 0) -> npt.NDArray[np.void]:
    """Rows of noise whose string indexes exist."""
    noise = np.random.default_rng(seed).integers(0, 256, count * layout.FOOTER_ENTRY_SIZE, np.uint8)
    rows = noise.tobytes()
    table = np.frombuffer(bytearray(rows), layout.FOOTER_DTYPE)
    for field in ("entity_idx", "scope_idx"):
        table[field] %= strings
    return table


def seal(frames: bytes, table: bytes, rows: bytes, *, count: int | None = None, offset: int | None = None) -> bytes:
    """A file with a footer of any parts and a CRC that fits them."""
    trailer = layout.FOOTER_TRAILER.pack(
        len(frames) if offset is None else offset,
        len(rows) // layout.FOOTER_ENTRY_SIZE if count is None else count,
        layout.FOOTER_MAGIC,
    )
    return frames + table + rows + layout.FOOTER_CRC.pack(crc32(table + rows)) + trailer


@given(st.binary(max_size=60), STRINGS, st.integers(0, 5), st.integers(0, 99))
def test_a_footer_reads_back_as_it_was_written(frames: bytes, names: list[str], count: int, seed: int) -> None:
    rows = entries(count, len(names), seed)
    data = frames + encode_footer(rows, names, len(frames))
    found = read_footer(data)
    assert (found.state, found.frames_end, found.strings) == (FooterState.TRUSTED, len(frames), tuple(names))
    assert found.entries is not None and found.entries.tobytes() == rows.tobytes()
    assert data == seal(frames, msgpack.packb(names), rows.tobytes())
    hints = untrusted_entries(data)
    assert hints is not None and hints.tobytes() == rows.tobytes()


@given(STRINGS, st.integers(1, 3))
@settings(max_examples=20)
def test_no_cut_of_a_sealed_file_is_trusted(names: list[str], count: int) -> None:
    frames = b"\x01" * 30
    data = frames + encode_footer(entries(count, len(names)), names, len(frames))
    for size in range(len(data)):
        assert read_footer(data[:size]).state is FooterState.ABSENT


@given(STRINGS, st.integers(0, 3), st.data())
def test_no_flipped_bit_of_a_footer_is_trusted(names: list[str], count: int, data: st.DataObject) -> None:
    file = bytearray(b"\x02" * 30 + encode_footer(entries(count, len(names)), names, 30))
    file[data.draw(st.integers(30, len(file) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    found = read_footer(file)
    assert found.state is not FooterState.TRUSTED
    assert found.entries is None and found.reason


@given(st.binary(max_size=40), st.integers(0, layout.U64_MAX), st.integers(0, layout.U32_MAX))
def test_forged_trailers_claim_nothing(body: bytes, offset: int, count: int) -> None:
    for magic in (layout.FOOTER_MAGIC, layout.FOOTER_MAGIC_LEGACY):
        data = body + layout.FOOTER_TRAILER.pack(offset, count, magic)
        assert read_footer(data).state is not FooterState.TRUSTED
        hints = untrusted_entries(data)
        assert hints is None or hints.nbytes <= len(data)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_a_state(data: bytes) -> None:
    assert read_footer(data).state is FooterState.ABSENT
    assert read_footer(data + layout.FOOTER_MAGIC).state in FooterState


@pytest.mark.parametrize(
    ("table", "reason"),
    [(b"", "unreadable"), (b"\x91\x01", "unreadable"), (b"\x91\xa1\xff", "unreadable"), (b"\x90", "outside")],
)
def test_a_string_table_that_contradicts_the_rows_is_malformed(table: bytes, reason: str) -> None:
    found = read_footer(seal(b"", table, bytes(layout.FOOTER_ENTRY_SIZE)))
    assert found.state is FooterState.MALFORMED
    assert found.reason is not None and reason in found.reason


@pytest.mark.parametrize("field", ["entity_idx", "scope_idx"])
def test_an_index_one_past_the_strings_is_malformed(field: str) -> None:
    rows = entries(3, 2)
    rows[field][1] = 2
    assert read_footer(encode_footer(rows, ["a", "b"], 0)).state is FooterState.MALFORMED


def test_an_sdx2_footer_is_legacy_and_an_unknown_magic_absent() -> None:
    data = encode_footer(entries(1, 1), ["a"], 0)
    old = read_footer(data[:-4] + layout.FOOTER_MAGIC_LEGACY)
    assert (old.state, old.frames_end, old.entries) == (FooterState.LEGACY, 0, None)
    assert read_footer(data[:-4] + b"SIDX").state is FooterState.ABSENT
    assert untrusted_entries(data[:-4] + b"SIDX") is None


def test_rows_of_a_mapped_file_are_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "000001.fbat"
    path.write_bytes(b"\x03" * 5 + encode_footer(entries(4, 2), ["a", "b"], 5))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        found = read_footer(mapped)
        assert found.entries is not None
        assert not found.entries.flags.owndata and not found.entries.flags.writeable
        del found


def test_rows_of_another_dtype_are_refused() -> None:
    with pytest.raises(TypeError, match="FOOTER_DTYPE"):
        encode_footer(np.zeros(1, layout.FRAME_DTYPE), [], 0)
