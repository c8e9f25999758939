"""What a power cut left, once this engine has opened it, is read and continued by the reference."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from batpak_analytics.store.store import Store
from tests.interop.compare import assert_store_equals
from tests.interop.oracle import Oracle
from tests.store.test_power_cut import History, cuts


@pytest.mark.parametrize("seed", range(3))
def test_repaired_after_a_power_cut_a_store_is_the_same_for_both(oracle: Oracle, tmp_path: Path, seed: int) -> None:
    promises = History(tmp_path / "store", seed).run(14)
    chance = random.Random(seed)
    for number, state in enumerate(cuts(promises.files, chance, 12)):
        path = promises.files.states[state].after_power_cut(chance, tmp_path / str(number))
        promises.check(path, state)
        assert_store_equals(path, oracle.dump(path))
        oracle.append(path, seed=number, events=3, segment_bytes=9_000, end="drop")
        Store.open(path).close()
        assert_store_equals(path, oracle.dump(path))
        shutil.rmtree(path)
