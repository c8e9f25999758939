"""The pass: what it costs to look at every byte of a store once, on one core, with numpy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tests.benchmarks.stores import segment_files
from tests.benchmarks.timing import Case, timed

WORD = 8


def pass_cases(store: Path, events: int) -> list[Case]:
    """The pass, and the same bytes added eight at a time. Mapping the files is not part of either."""
    maps = [_mapped(path) for path in segment_files(store)]
    words = [mapped[: len(mapped) // WORD * WORD].view(np.uint64) for mapped in maps]
    return [
        Case("pass", "the pass: numpy adds up every byte", timed(lambda: _sum(maps), _items(maps)), events),
        Case("words", "the same bytes, added as 64-bit words", timed(lambda: _sum(words), _items(words)), events),
    ]


def _mapped(path: Path) -> npt.NDArray[np.uint8]:
    return np.frombuffer(pa.memory_map(str(path)).read_buffer(), np.uint8)


def _sum(maps: Sequence[npt.NDArray[Any]]) -> int:
    """Adds up every item and returns how many there were."""
    for mapped in maps:
        mapped.sum()
    return _items(maps)


def _items(maps: Sequence[npt.NDArray[Any]]) -> int:
    return sum(map(len, maps))
