"""Some of the states that a fold went through, so that any other is a jump and a short fold away."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from batpak_analytics.projection.copies import Copier

DEFAULT_MEMORY = 64 << 20
MOST_SNAPSHOTS = 1000
LEAST_STRIDE = 32
"""Folding fewer events than that costs less than a copy of a state."""


class Snapshots:
    """Copies of states at multiples of `stride`, in at most `memory` bytes.

    Where they would take more, every second one is dropped and the stride doubles: so they stay evenly spread, and
    what they cost does not depend on the order of the questions.
    """

    def __init__(self, events: int, copier: Copier, memory: int) -> None:
        self._copier, self._memory = copier, memory
        self.stride = max(LEAST_STRIDE, -(-events // MOST_SNAPSHOTS))
        self.bytes = 0
        self._kept: dict[int, tuple[Any, int]] = {}
        self._positions: list[int] = []

    def __len__(self) -> int:
        return len(self._positions)

    def before(self, position: int) -> int:
        """The last position up to `position` of which there is a copy; 0, whose state is the initial one, if none."""
        at = bisect_right(self._positions, position)
        return self._positions[at - 1] if at else 0

    def state(self, position: int) -> Any:
        """The state at a position that `before` gave, made anew."""
        return self._copier.thaw(self._kept[position][0])

    def next_after(self, position: int) -> int:
        """The first position after `position` at which a state is to be kept."""
        return (position // self.stride + 1) * self.stride

    def keep(self, position: int, state: Any) -> None:
        """Keep a copy of the state at a multiple of the stride, if it is not there and there is room."""
        if position % self.stride or position in self._kept:
            return
        frozen = self._copier.freeze(state)
        if frozen[1] > self._memory:
            self.stride *= 2
            return
        self._kept[position] = frozen
        self.bytes += frozen[1]
        at = bisect_right(self._positions, position)
        self._positions.insert(at, position)
        while self.bytes > self._memory:
            self._thin()

    def _thin(self) -> None:
        self.stride *= 2
        for position in [one for one in self._positions if one % self.stride]:
            self.bytes -= self._kept.pop(position)[1]
        self._positions = sorted(self._kept)
