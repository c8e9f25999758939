"""Zeros where a page of a file never reached the disk.

What is written reaches the disk page by page, in any order, until a sync. After a power cut a page that did not is
zeros, or misses at the end.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from batpak_analytics.format.cursor import Buffer

SECTOR = 512
"""What a disk writes as a whole; pages are multiples of it."""
SHORTEST_HOLE = 3
"""A frame begins with two zeros, as no event has 16 MiB."""


def first_hole(data: Buffer, offset: int, *, ends_file: bool) -> int | None:
    """Where in `data`, which stands at `offset` of its file, zeros end the file, reach from the start to the edge of a
    sector, or fill one; None where nowhere.
    """
    seen: Any = np.frombuffer(data, np.uint8)
    edges: list[int] = [0, *range(SECTOR - offset % SECTOR, len(seen) + 1, SECTOR)]
    for low, high in pairwise(edges):
        if high - low >= SHORTEST_HOLE and not seen[low:high].any():
            return low
    if not ends_file or not len(seen) or seen[-1]:
        return None
    filled = np.flatnonzero(seen)
    return int(filled[-1]) + 1 if len(filled) else 0
