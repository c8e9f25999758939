"""Sets of frames as byte ranges of their file: compact, and the same whatever an index says of the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Ranges:
    """Half-open byte ranges, ascending and apart. An event is in them when its frame begins in one."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Any = ()) -> None:
        """`pairs` is an (n, 2) array of starts and stops, or a sequence of such pairs."""
        made = np.array(pairs, np.int64).reshape(-1, 2)
        flat = made.ravel()
        if len(flat) and (flat[0] < 0 or not bool((flat[1:] > flat[:-1]).all())):
            raise ValueError("Ranges ascend and do not touch. Give each as (start, stop), in the order of the file.")
        made.flags.writeable = False
        self._pairs = made

    @classmethod
    def of_rows(cls, rows: Any, chosen: Any) -> Ranges:
        """The frames of the footer rows that the mask `chosen` chooses; neighbouring rows share a range."""
        edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
        first, last = edges[::2], edges[1::2] - 1
        stops = rows["offset"][last] + rows["length"][last]
        return cls(np.stack([rows["offset"][first], stops], axis=1).astype(np.int64))

    @classmethod
    def from_steps(cls, steps: Sequence[int]) -> Ranges:
        """From what `steps` gives; raises `ValueError` for anything else."""
        flat = np.array(steps, np.int64) if len(steps) else np.empty(0, np.int64)
        if len(flat) % 2 or (len(flat) and (flat[0] < 0 or bool((flat[1:] <= 0).any()))):
            raise ValueError("Ranges are pairs of a distance and a length, none of them zero or negative.")
        return cls(np.cumsum(flat).reshape(-1, 2))

    @property
    def steps(self) -> list[int]:
        """Distance to the first, its length, distance to the second, its length, and so on: small numbers."""
        found: list[int] = np.diff(self._pairs.ravel(), prepend=0).tolist()
        return found

    @property
    def pairs(self) -> Any:
        """An (n, 2) array of starts and stops."""
        return self._pairs

    def choose(self, offsets: Any) -> Any:
        """Which of these frame offsets are in the ranges, as a mask."""
        if not len(self._pairs):
            return np.zeros(len(offsets), bool)
        at = np.searchsorted(self._pairs[:, 0], offsets.astype(np.int64), side="right") - 1
        return (at >= 0) & (offsets.astype(np.int64) < self._pairs[np.maximum(at, 0), 1])

    def __len__(self) -> int:
        return len(self._pairs)

    def __bool__(self) -> bool:
        return len(self._pairs) > 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and np.array_equal(self._pairs, other._pairs)

    def __hash__(self) -> int:
        return hash(self._pairs.tobytes())

    def __repr__(self) -> str:
        return f"Ranges({len(self)} of frames)"
