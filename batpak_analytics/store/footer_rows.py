"""The footer rows of the segment being written: packed at one end, and read as an array at any time."""

from __future__ import annotations

from typing import Any

import numpy as np

from batpak_analytics.format.layout import FOOTER_DTYPE
from batpak_analytics.store.files import Buffer

FIRST_ROWS = 64


class FooterRows:
    """Packed rows that grow, `rows += packed`. What `array` gave stays as it is: rows are only ever added behind it."""

    def __init__(self) -> None:
        self._take(np.empty(FIRST_ROWS * FOOTER_DTYPE.itemsize, np.uint8))
        self._size = 0

    def _take(self, data: Any) -> None:
        self._data, self._into = data, memoryview(data)

    def __iadd__(self, packed: Buffer) -> FooterRows:
        end = self._size + len(packed)
        if end > len(self._data):
            grown = np.empty(max(end, 2 * len(self._data)), np.uint8)  # memory is taken as it is written to
            grown[: self._size] = self._data[: self._size]
            self._take(grown)
        self._into[self._size : end] = packed
        self._size = end
        return self

    def __len__(self) -> int:
        return self._size // FOOTER_DTYPE.itemsize

    @property
    def array(self) -> Any:
        """The rows so far, as a `FOOTER_DTYPE` array that is not copied."""
        return self._data[: self._size].view(FOOTER_DTYPE)
