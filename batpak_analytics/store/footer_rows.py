"""The footer rows of the segment being written: packed at one end, and read as an array at any time."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from batpak_analytics.format.layout import FOOTER_DTYPE
from batpak_analytics.store.files import Buffer

_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class FooterRows:
    """Packed rows that grow, `rows += packed`. What `array` gave stays as it is: rows are only ever added behind it.

    Memory is taken as it is written to. Where no array looks at it, the system moves it to where there is room for
    more, which copies nothing, and the next segment uses it again: large new arrays take longer than the rows do.
    """

    def __init__(self, memory: mmap.mmap | None = None) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE, _PRIVATE) if memory is None else memory
        self._size = 0

    def __iadd__(self, packed: Buffer) -> FooterRows:
        end = self._size + len(packed)
        if end > len(self._memory):
            self._grow(max(end, 2 * len(self._memory)))
        self._memory[self._size : end] = packed
        self._size = end
        return self

    def _grow(self, size: int) -> None:
        try:
            self._memory.resize(size)
        except (BufferError, SystemError):  # an array looks at it, or the system moves no memory
            grown = mmap.mmap(-1, size, _PRIVATE)
            grown[: self._size] = memoryview(self._memory)[: self._size]
            self._memory = grown

    def __len__(self) -> int:
        return self._size // FOOTER_DTYPE.itemsize

    @property
    def array(self) -> Any:
        """The rows so far, as a `FOOTER_DTYPE` array that is not copied."""
        return np.frombuffer(self._memory, FOOTER_DTYPE, len(self))

    def emptied(self) -> FooterRows:
        """No rows, in the same memory where no array looks at it. These rows are not to be asked for again."""
        try:
            self._memory.resize(len(self._memory))
        except (BufferError, SystemError):
            return FooterRows()
        return FooterRows(self._memory)
