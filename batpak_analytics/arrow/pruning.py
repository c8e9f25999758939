"""Which segments `filters=` tuples rule out, from string tables, minima and maxima."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from batpak_analytics.arrow.comparisons import exact_number
from batpak_analytics.arrow.filters import Predicate
from batpak_analytics.arrow.schema import base_field
from batpak_analytics.arrow.stats import RANGED, column_range


def covers(strings: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether a string table holds all of `wanted`."""
    return set(wanted) <= set(strings)


def outside(bounds: tuple[int, int], start: int | None, end: int | None) -> bool:
    """Whether no value within inclusive `bounds` lies in the half-open range from `start` to `end`."""
    return (start is not None and bounds[1] < start) or (end is not None and bounds[0] >= end)


def cannot_match(view: Any, position: int, groups: Iterable[tuple[Predicate, ...]]) -> str | None:
    """Why no row of a segment can pass an OR of ANDs: one impossible predicate in each of them. None: it
    may.
    """
    reasons = []
    for group in groups:
        found = next((p for p in group if _impossible(view, position, p)), None)
        if found is None:
            return None
        reasons.append(f"filters: no {found.column} {found.operator} {found.value!r}")
    return " or ".join(dict.fromkeys(reasons)) or None


def _impossible(view: Any, position: int, predicate: Predicate) -> bool:
    name, operator, value = predicate.column, predicate.operator, predicate.value
    segment = view.stretches[position]
    wanted = value if operator == "in" else (value,)
    if name in ("entity", "scope"):
        return operator in ("=", "in") and not set(wanted) & set(segment.strings)
    if name == "segment_id":
        bounds = segment.id_range
    elif name in RANGED:
        bounds = column_range(view, position, name)
    else:
        return False
    if any(item is None for item in wanted) or operator in ("!=", "not in"):
        return False
    return not any(_within(bounds, operator, exact_number(name, v, base_field(name).type)) for v in wanted)


def _within(bounds: tuple[int, int], operator: str, value: Any) -> bool:
    """Whether some number within `bounds` may satisfy `operator value`."""
    if value is None:  # NaN
        return False
    low, high = bounds
    if operator in ("=", "in"):
        return bool(low <= value <= high)
    return bool({"<": low < value, "<=": low <= value, ">": high > value, ">=": high >= value}[operator])
