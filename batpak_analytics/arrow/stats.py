"""What is known of a segment before its rows are looked at one by one: minima, maxima, the kinds in it.

Each is computed at most once per segment and view, and kept in the view's cache: an open view never changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Column of a scan -> field of a footer row; the sequence comes beside the rows (an index image may overrule
# them).
RANGED = {
    "global_sequence": None,
    "wall_time": "wall_ms",
    "kind": "kind",
    "lane": "lane",
    "depth": "depth",
    "clock": "clock",
    "offset": "offset",
    "length": "length",
}


def column_range(view: Any, position: int, name: str) -> tuple[int, int]:
    """Inclusive minimum and maximum of a `RANGED` column in `view.stretches[position]`, which has rows."""
    key = ("column-range", position, name)
    found = view.cache.get(key)
    if found is None:
        segment, field = view.stretches[position], RANGED[name]
        if name == "offset":
            values = segment.offsets(slice(None))
        else:
            values = segment.sequence if field is None else segment.rows[field]
        # Two threads may both compute it: the results are equal and storing one is atomic.
        found = view.cache[key] = (int(values.min()), int(values.max()))
    return found[0], found[1]


def kinds_present(view: Any, position: int) -> npt.NDArray[np.uint16]:
    """The kinds that `view.stretches[position]` holds, ascending: few, so that those of many segments can be kept."""
    key = ("kinds-present", position)
    found = view.cache.get(key)
    if found is None:
        held = np.zeros(1 << 16, bool)
        held[view.stretches[position].rows["kind"]] = True
        found = view.cache[key] = np.flatnonzero(held).astype(np.uint16)
    kinds: npt.NDArray[np.uint16] = found
    return kinds
