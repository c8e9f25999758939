"""`Correlations`: one row for each correlation id, with the shape and the time of what happened under it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batpak_analytics import kernels
from batpak_analytics.arrow.columns import fixed_binary, numbers
from batpak_analytics.arrow.schema import ID, TIMESTAMP
from batpak_analytics.graph.clocks import Times, milliseconds, timestamps
from batpak_analytics.graph.links import DANGLING, NONE, Links, Places
from batpak_analytics.graph.table import CausalTable

SCHEMA: Final = pa.schema(
    [
        ("correlation_id", ID),
        ("events", pa.uint32()),
        ("entities", pa.uint32()),
        ("kinds", pa.uint32()),
        ("roots", pa.uint32()),
        ("depth", pa.uint32()),
        ("width", pa.uint32()),
        ("first_time", TIMESTAMP),
        ("last_time", TIMESTAMP),
        ("duration_ms", pa.float64()),
        ("critical_path_ms", pa.float64()),
        ("dangling", pa.uint32()),
    ]
)
_TIMED: Final = frozenset({"first_time", "last_time", "duration_ms", "critical_path_ms"})

Counts = npt.NDArray[np.int64]


class Groups(NamedTuple):
    """The group of each event, numbered by first appearance, and the place of the first event of each group."""

    of: npt.NDArray[np.int32]
    firsts: Places

    def counted(self, chosen: Any = slice(None)) -> Counts:
        """How many of the chosen events each group has."""
        return np.bincount(self.of[chosen], minlength=len(self.firsts))


def group_by(pairs: Any) -> Groups:
    """Group the rows of an (n, 2) array of words by equality."""
    first = kernels.join_ids(pairs, pairs, last=False)
    starts = first == np.arange(len(first))
    number = np.cumsum(starts, dtype=np.int32) - np.int32(1)
    return Groups(number[first], np.flatnonzero(starts))


def inner_forest(parents: npt.NDArray[np.int32], group: npt.NDArray[np.int32]) -> kernels.Forest:
    """The forest of the edges that stay within a group: an event caused from outside is a root."""
    inside = np.flatnonzero(parents >= 0)
    inside = inside[group[parents[inside]] == group[inside]]
    kept = np.full(len(parents), NONE, np.int32)
    kept[inside] = parents[inside]
    measured: kernels.Forest = kernels.measure_forest(kept)
    return measured


class Correlations(CausalTable):
    """A lazy table of correlations; `read_correlations` lists the columns.

    A filter chooses the correlations that have an event which passes; what is counted and timed are all of its events.
    """

    SCHEMA = SCHEMA
    TIMED = _TIMED

    def _all_rows(self) -> Places:
        groups = _groups(self.links)
        chosen = np.zeros(len(groups.firsts), bool)
        chosen[groups.of[self._places()]] = True
        return np.flatnonzero(chosen)

    def _arrays(self, names: tuple[str, ...], rows: Places) -> Mapping[str, Any]:
        links, groups = self.links, _groups(self.links)
        values = links.gather(("correlation_id", "entity", "kind"))
        forest = inner_forest(links.parents, groups.of)
        generations = group_by(_pairs(groups.of, forest.depth))
        found: dict[str, Any] = {
            "events": groups.counted(),
            "entities": _distinct(groups, values["entity"]),
            "kinds": _distinct(groups, values["kind"]),
            "roots": groups.counted(np.flatnonzero((forest.depth == 0) & ~forest.in_cycle)),
            "depth": _largest(groups, forest.depth.astype(np.int64)),
            "width": _largest(Groups(groups.of[generations.firsts], groups.firsts), generations.counted()),
            "dangling": groups.counted(np.flatnonzero(links.parents == DANGLING)),
        }
        made = {name: pa.array(values_of[rows].astype(np.uint32)) for name, values_of in found.items()}
        ids = values["correlation_id"][groups.firsts[rows]]
        made["correlation_id"] = fixed_binary(ids.view(np.uint8).reshape(-1, 16))
        return made | (_times(links, groups, forest, rows) if _TIMED & set(names) else {})


def _groups(links: Links) -> Groups:
    return group_by(links.gather(("correlation_id",))["correlation_id"])


def _pairs(first: Any, second: Any) -> npt.NDArray[np.uint64]:
    return np.stack([first.astype(np.uint64), second.astype(np.uint64)], axis=1)


def _distinct(groups: Groups, values: Any) -> Counts:
    """How many different values each group has."""
    return groups.counted(group_by(_pairs(groups.of, values)).firsts)


def _largest(groups: Groups, values: Counts) -> Counts:
    """The largest value of each group, all of which have one that is not negative."""
    found = np.zeros(len(groups.firsts), np.int64)
    np.maximum.at(found, groups.of, values)
    return found


def _times(links: Links, groups: Groups, forest: kernels.Forest, rows: Places) -> dict[str, Any]:
    """The columns that need the clock. Only events of the rows are read, and those without a time do not count."""
    chosen = np.zeros(len(groups.firsts), bool)
    chosen[rows] = True
    places = np.flatnonzero(chosen[groups.of])
    times = timestamps(links, places)
    first, last, longest = _spans(times, groups, forest, places)
    known = (first <= last)[rows]
    first, last = first[rows], last[rows]
    walked = longest[rows] >= 0
    return {
        "first_time": numbers(first, TIMESTAMP, known),
        "last_time": numbers(last, TIMESTAMP, known),
        "duration_ms": numbers(milliseconds(first, last), pa.float64(), known),
        "critical_path_ms": numbers(longest[rows], pa.float64(), walked),
    }


def _spans(times: Times, groups: Groups, forest: kernels.Forest, places: Places) -> tuple[Any, Any, Any]:
    """First and last time of each group, first after last where none is known, and its longest path or -1."""
    limits = np.iinfo(np.int64)
    first = np.full(len(groups.firsts), limits.max)
    last = np.full(len(groups.firsts), limits.min)
    longest = np.full(len(groups.firsts), -1.0)
    known = places[times.known[places]]
    np.minimum.at(first, groups.of[known], times.values[known])
    np.maximum.at(last, groups.of[known], times.values[known])
    elapsed, measured = times.elapsed_ms(forest.root[places], places)
    np.maximum.at(longest, groups.of[places[measured]], elapsed[measured])
    return first, last, longest
