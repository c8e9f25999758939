"""The CRC of a large buffer in parts is the CRC of the whole."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics.engine import parallel


@given(st.binary(max_size=300), st.integers(1, 70))
def test_any_cut_gives_the_crc_of_the_whole(data: bytes, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "CRC_PART_BYTES", size)
        assert parallel.crc32_in_threads(data) == zlib.crc32(data)
