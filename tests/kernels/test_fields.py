"""Locating payload fields: compiled against readable, and both against a plain decoder."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import payload
from tests.kernels import samples

MAP, VALUE, NOT_JSON, MALFORMED, SKIPPED = (
    kernels.ROOT_MAP,
    kernels.ROOT_VALUE,
    kernels.NOT_JSON,
    kernels.MALFORMED,
    kernels.SKIPPED,
)


def same(
    parts: list[bytes], max_fields: int = 1000, present: Any = None, gap: int = 0
) -> tuple[list[bytes], kernels.Located]:
    data, offsets = samples.joined(parts, gap)
    tables = [kernels.FieldTable(max_fields), kernels.FieldTable(max_fields)]
    got = kernels.locate_fields(data, offsets, tables[0], present)
    wanted = payload.locate_fields(data, offsets, tables[1], present)
    assert (tables[0].names, tables[0].overflow) == (tables[1].names, tables[1].overflow)
    np.testing.assert_array_equal(got.root, wanted.root)
    np.testing.assert_array_equal(got.pos, wanted.pos)
    assert got.root.dtype == np.uint8
    assert got.pos.dtype == np.int64
    return tables[0].names, got


@settings(max_examples=300)
@given(samples.rows, st.sampled_from([0, 1, 3, 1000]), st.integers(0, 3))
def test_any_rows_give_the_readable_answer(parts: list[bytes], max_fields: int, gap: int) -> None:
    same(parts, max_fields, gap=gap)


@given(samples.rows, st.data())
def test_rows_that_are_not_there_are_skipped(parts: list[bytes], data: st.DataObject) -> None:
    present = data.draw(st.lists(st.booleans(), min_size=len(parts), max_size=len(parts)))
    _, located = same(parts, present=np.array(present, np.uint8))
    assert [bool(root == SKIPPED) for root in located.root] == [not flag for flag in present]


@given(st.lists(samples.maps, max_size=8))
def test_positions_are_where_the_values_are(maps: list[dict[str, Any]]) -> None:
    parts = [samples.pack(value) for value in maps]
    data, offsets = samples.joined(parts)
    table = kernels.FieldTable()
    located = kernels.locate_fields(data, offsets, table)
    assert [name.decode() for name in table.names] == list(dict.fromkeys(key for one in maps for key in one))
    for row, value in enumerate(maps):
        for slot, name in enumerate(table.names):
            at = int(located.pos[slot, row])
            assert (at >= 0) == (name.decode() in value)
            if at >= 0:
                unpacker = msgpack.Unpacker(raw=False)
                unpacker.feed(data[at:])
                assert repr(unpacker.unpack()) == repr(value[name.decode()])


@pytest.mark.parametrize(
    ("row", "root"),
    [
        (b"\x80", MAP),
        (b"\x81\xa1a\x01", MAP),
        (b"\x81\xa1a\xc4\x00", MAP | NOT_JSON),  # bin
        (b"\x81\xa1a\x91\x81\x01\x01", MAP | NOT_JSON),  # an integer key inside
        (b"\x81\xa1a\xa1\xff", MAP | NOT_JSON),
        (b"\x81\xa1\xff\x01", MAP | NOT_JSON),
        (b"\x81\x01\x01", VALUE | NOT_JSON),
        (b"\x93\x01\xc0\xa0", VALUE),
        (b"\xd4\x01\x00", VALUE | NOT_JSON),
        (b"\x01rubbish after it", VALUE),
        (b"", MALFORMED),
        (b"\x81\xa1a", MALFORMED),
        (b"\x92\x01\xc1", MALFORMED),
        (b"\x91" * 1023 + b"\xc0", VALUE),
        (b"\x91" * 1024 + b"\xc0", MALFORMED),
        (b"\x81\xa1a" + b"\x91" * 1022 + b"\xc0", MAP),
        (b"\x81\xa1a" + b"\x91" * 1023 + b"\xc0", MALFORMED),
        (b"\xdf\xff\xff\xff\xff\xa1a\x01", MALFORMED),
    ],
)
def test_the_root_says_what_the_reference_would_make_of_it(row: bytes, root: int) -> None:
    assert same([row])[1].root.tolist() == [root]


def test_of_one_name_twice_the_last_counts() -> None:
    _, located = same([b"\x82\xa1a\x01\xa1a\x02"])
    assert located.pos.tolist() == [[6]]


def test_a_row_that_turns_out_bad_leaves_no_positions_and_no_names() -> None:
    names, located = same([b"\x82\xa1a\x01\xa1b\x02", b"\x82\xa1a\x01\xa1c", b"\x82\xa1b\x01\x05\x01"])
    assert names == [b"a", b"b"]
    assert located.pos.tolist() == [[3, -1, -1], [6, -1, -1]]


def test_fields_beyond_the_maximum_set_the_overflow_and_keep_the_rest() -> None:
    rows = [samples.pack({f"f{k}": k for k in range(start, start + 40)}) for start in (0, 20, 100)]
    names, located = same(rows, max_fields=50)
    assert len(names) == 50 == len(located.pos)
    data, offsets = samples.joined(rows)
    table = kernels.FieldTable(200)
    kernels.locate_fields(data, offsets, table)
    assert (len(table.names), table.overflow) == (100, False)


def test_a_table_keeps_its_names_from_one_batch_to_the_next() -> None:
    table = kernels.FieldTable()
    for batch in (["a", "b"], ["c", "a"], ["d"]):
        data, offsets = samples.joined([samples.pack(dict.fromkeys(batch, 1))])
        located = kernels.locate_fields(data, offsets, table)
        found = [name.decode() for name, pos in zip(table.names, located.pos, strict=True) if pos[0] >= 0]
        assert sorted(found) == sorted(batch)
    assert table.names == [b"a", b"b", b"c", b"d"]


@given(samples.rows)
def test_values_inside_values_are_located_by_their_spans(parts: list[bytes]) -> None:
    data, offsets = samples.joined(parts, gap=2)
    starts, ends = offsets[:-1], offsets[1:] - 2
    starts = np.append(starts, [-1, len(data) + 1, 3])
    ends = np.append(ends, [-1, len(data) + 2, 2])
    tables = [kernels.FieldTable(), kernels.FieldTable()]
    got = kernels.locate_fields(data, starts, tables[0], ends=ends)
    wanted = payload.locate_fields(data, starts, tables[1], ends=ends)
    np.testing.assert_array_equal(got.root, wanted.root)
    np.testing.assert_array_equal(got.pos, wanted.pos)
    assert got.root[-3:].tolist() == [MALFORMED] * 3
