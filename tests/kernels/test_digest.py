"""Our BLAKE3 of short payloads is BLAKE3, whatever their size."""

from __future__ import annotations

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import digest as readable

EDGES = [0, 1, 63, 64, 65, 127, 128, 129, 959, 960, 961, 1023, 1024, 1025, 5000]


@pytest.mark.parametrize("size", EDGES)
def test_hash_at_every_edge_of_block_and_chunk(size: int) -> None:
    payload = bytes(number * 131 % 251 for number in range(size))
    assert kernels.content_hash(payload) == blake3(payload).digest() == readable.content_hash(payload)


@given(st.lists(st.binary(max_size=200) | st.sampled_from(EDGES).map(bytes), max_size=8), st.integers(0, 3))
def test_rows_hash_as_each_by_itself(payloads: list[bytes], gap: int) -> None:
    data = bytes(gap) + b"".join(payloads)
    offsets = np.cumsum([gap, *map(len, payloads)])
    found = kernels.hash_rows(data, offsets)
    assert found.shape == (len(payloads), 32)
    assert [row.tobytes() for row in found] == [blake3(payload).digest() for payload in payloads]
    assert (found == readable.hash_rows(data, offsets)).all()


@pytest.mark.parametrize("offsets", [[], [-1, 0], [0, 5], [3, 2], [2**62, 2**62]])
@pytest.mark.parametrize("hash_rows", [kernels.hash_rows, readable.hash_rows])
def test_offsets_outside_the_data_are_refused(hash_rows: object, offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        hash_rows(b"abcd", np.array(offsets, np.int64))  # type: ignore[operator]
