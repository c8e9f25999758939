"""A few rounds of the kernel fuzz; `python -m tests.damage.sanitized asan` is where an overread would show."""

from __future__ import annotations

import pytest

from batpak_analytics import kernels
from tests.damage.kernel_fuzz import run


@pytest.mark.skipif(not kernels.COMPILED, reason="the readable functions cannot read outside a buffer")
def test_hostile_bytes_make_no_kernel_raise() -> None:
    assert run(seed=3, seconds=8, rounds=400) > 0
