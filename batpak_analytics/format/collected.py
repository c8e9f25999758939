"""Values that come one at a time, as one array: the readable twin and the oracle of ``kernels/collected.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

DTYPES: dict[type, Any] = {bool: np.bool_, int: np.int64, float: np.float64}


class Collected:
    """Up to `count` values. Numbers of one sort take 8 bytes each; what may change later is passed to `copied`."""

    def __init__(self, count: int, copied: Callable[[Any], Any]) -> None:
        self._count, self._copied = count, copied
        self._values: list[Any] = []

    def append(self, value: Any) -> None:
        """One more value. Raises `IndexError` for one too many, and what `copied` raises."""
        if len(self._values) == self._count:
            raise IndexError("more values than were announced")
        self._values.append(value if type(value) in DTYPES else self._copied(value))

    def values(self) -> Any:
        """An array of bool, int64 or float64 where all are of that very sort, else a list."""
        made = numbers(self._values)
        return self._values if made is None else made


def numbers(values: list[Any]) -> Any:
    """Values as an array of bool, int64 or float64, where all are of that very sort; else None."""
    kinds = set(map(type, values))
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind not in DTYPES:
        return None
    try:
        return np.array(values, DTYPES[kind])
    except OverflowError:  # an integer that 64 bits do not hold
        return None
