"""Hexadecimal digits: compiled against readable, and both against Python's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import hexadecimal


@given(st.binary(max_size=100))
def test_digits_are_those_that_python_writes(data: bytes) -> None:
    for write in (kernels.write_hex, hexadecimal.write_hex):
        out = np.zeros(2 * len(data), np.uint8)
        write(np.frombuffer(data, np.uint8), out)
        assert out.tobytes() == data.hex().encode()


def test_a_buffer_of_another_size_is_refused() -> None:
    for write in (kernels.write_hex, hexadecimal.write_hex):
        with pytest.raises(ValueError, match="twice as long"):
            write(np.zeros(3, np.uint8), np.zeros(5, np.uint8))
