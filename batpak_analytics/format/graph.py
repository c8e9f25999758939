"""Who caused whom, as numbers: the readable twin and the oracle of ``kernels/graph.py``.

Every event names at most one cause (engine-read.md 6), so events and their causes are a forest, but for what a writer
that lies can make: cycles, and causes that come later. Nothing here relies on order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def join_ids(ids: Array, wanted: Array, *, last: bool) -> npt.NDArray[np.int32]:
    """The row of ``ids`` that equals each row of ``wanted``, -1 where none does.

    Both are (n, 2) arrays of ``uint64``. Where a row is there several times, the ``last`` counts, or else the first.
    """
    check_pairs(ids, wanted)
    places: dict[tuple[int, ...], int] = {}
    for place, pair in enumerate(ids.tolist()):
        key = tuple(pair)
        if last or key not in places:
            places[key] = place
    return np.array([places.get(tuple(pair), -1) for pair in wanted.tolist()], np.int32)


def check_pairs(*arrays: Array) -> None:
    """Raise `ValueError` for what is not (n, 2) of ``uint64``, or has more rows than an ``int32`` numbers."""
    for array in arrays:
        if array.dtype != np.uint64 or array.ndim != 2 or array.shape[1] != 2 or len(array) >= 1 << 31:
            raise ValueError("pairs are an (n, 2) array of uint64 with fewer than 2**31 rows.")


class Forest(NamedTuple):
    """Measures of every event, by its place.

    ``root`` is where its causes end, ``depth`` how many generations away that is, ``height`` how many follow below,
    ``effects`` how many name it as their cause, ``descendants`` how many other events it led to. A cycle counts as one
    event that stands at its lowest place: that is the root of its members, whose depth is 0; all of them have the
    height of what hangs on the cycle, and lead to each other.
    """

    root: npt.NDArray[np.int32]
    depth: npt.NDArray[np.uint32]
    height: npt.NDArray[np.uint32]
    effects: npt.NDArray[np.uint32]
    descendants: npt.NDArray[np.uint32]
    in_cycle: npt.NDArray[np.bool_]


def measure_forest(parents: npt.NDArray[np.int32]) -> Forest:
    """Measure the forest in which ``parents[i]`` is the place of the cause of ``i``; no place of it means no cause."""
    above = parents.tolist()
    children: list[list[int]] = [[] for _ in above]
    for place, cause in enumerate(above):
        if 0 <= cause < len(above):
            children[cause].append(place)
    root, depth, height, below = ([0] * len(above) for _ in range(4))
    in_cycle = np.zeros(len(above), np.bool_)
    for top in _tops(above):
        if 0 <= above[top[0]] < len(above):
            in_cycle[top] = True
        members, order = set(top), list(top)
        for place in order:  # which grows
            root[place] = top[0] if place in members else root[above[place]]
            depth[place] = 0 if place in members else depth[above[place]] + 1
            order += [child for child in children[place] if child not in members]
        for place in reversed(order[len(top) :]):
            cause = above[place]
            below[cause] += below[place] + 1
            height[cause] = max(height[cause], height[place] + 1)
        led_to, highest = sum(below[place] + 1 for place in top) - 1, max(height[place] for place in top)
        for place in top:
            below[place], height[place] = led_to, highest
    effects = [len(found) for found in children]
    counts = [np.array(values, np.uint32) for values in (depth, height, effects, below)]
    return Forest(np.array(root, np.int32), counts[0], counts[1], counts[2], counts[3], in_cycle)


def _tops(above: list[int]) -> Iterator[list[int]]:
    """Where causes end: single events without one, and cycles from their lowest place on."""
    walks = [0] * len(above)  # the number of the walk that came by
    for start in range(len(above)):
        place, walk = start, start + 1
        while 0 <= place < len(above) and not walks[place]:
            walks[place] = walk
            last, place = place, above[place]
        if not 0 <= place < len(above):
            yield [last]
        elif walks[place] == walk:
            members = [place]
            while above[members[-1]] != place:
                members.append(above[members[-1]])
            lowest = members.index(min(members))
            yield members[lowest:] + members[:lowest]
