"""Stores that both engines write, compact, copy and lose the sidecars of, with everything odd at once.

``BATPAK_HUNTS=500`` plays more games, ``BATPAK_FIRST_HUNT`` begins with another seed, ``BATPAK_HUNT_ROUNDS`` makes them
longer. A failure names its seed and keeps its directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.examined import Peer, peers
from tests.interop.hunting import Hunt
from tests.interop.oracle import Oracle

FIRST = int(os.environ.get("BATPAK_FIRST_HUNT", "0"))
HUNTS = int(os.environ.get("BATPAK_HUNTS", "4"))
ROUNDS = int(os.environ.get("BATPAK_HUNT_ROUNDS", "4"))


@pytest.fixture(scope="module")
def others() -> Iterator[list[Peer]]:
    with peers() as made:
        yield made


@pytest.mark.parametrize("seed", range(FIRST, FIRST + HUNTS))
def test_whatever_both_engines_did_to_a_store_they_read_the_same(
    oracle: Oracle, tmp_path: Path, others: list[Peer], seed: int
) -> None:
    told = Hunt(oracle, tmp_path, seed, others).play(ROUNDS)
    assert told["rows"] or any(name.startswith("differs") for name in told)
