"""Interning: codes in the order of first use, whatever the hash does."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import rows

texts = st.lists(st.binary(max_size=20) | st.sampled_from([b"", b"\0", b"\0\0", b"acct:7", b"acct:8"]), max_size=30)


def same(buffer: bytes, starts: object, sizes: object) -> tuple[object, list[bytes]]:
    got, wanted = (intern(buffer, starts, sizes) for intern in (kernels.intern_strings, rows.intern_strings))
    np.testing.assert_array_equal(got[0], wanted[0])
    assert got[0].dtype == np.uint32 and got[1] == wanted[1]
    return got


@given(texts)
def test_codes_follow_first_use(parts: list[bytes]) -> None:
    sizes = [len(part) for part in parts]
    codes, strings = same(b"".join(parts), np.cumsum([0, *sizes])[:-1], sizes)
    assert strings == list(dict.fromkeys(parts))
    assert [strings[code] for code in np.asarray(codes)] == parts


@given(st.binary(max_size=10), st.lists(st.tuples(st.integers(0, 12) | st.integers(0, 2**64 - 1), st.integers(0, 12))))
def test_a_place_outside_the_buffer_is_the_empty_string(buffer: bytes, places: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in places], np.uint64)
    same(buffer, starts, np.array([size for _, size in places], np.uint32))


def test_more_strings_than_the_first_table_holds() -> None:
    parts = [b"entity:%d" % (k * 7919 % 5000) for k in range(12_000)]
    sizes = [len(part) for part in parts]
    _, strings = same(b"".join(parts), np.cumsum([0, *sizes])[:-1], sizes)
    assert len(strings) == 5000
