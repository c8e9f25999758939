"""The named filters of a scan, checked and brought to one form each, and what `as_of=` stands for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from batpak_analytics.arrow.columns import words
from batpak_analytics.arrow.comparisons import fixed_bytes
from batpak_analytics.arrow.filters import Category
from batpak_analytics.arrow.stats import column_range
from batpak_analytics.arrow.times import milliseconds
from batpak_analytics.errors import EventNotFoundError
from batpak_analytics.format.layout import U16_MAX, U32_MAX, U64_MAX


@dataclass(frozen=True, slots=True)
class Criteria:
    """The named filters of a scan, checked and in one form each; None means no restriction."""

    entities: tuple[str, ...] | None
    scopes: tuple[str, ...] | None
    kinds: frozenset[int] | None
    lanes: tuple[int, ...] | None
    since_ms: int | None
    until_ms: int | None
    last_sequence: int | None
    system: bool


def parse_criteria(view: Any, options: Mapping[str, Any]) -> Criteria:
    """Check the named filters; raises `ValueError` or `TypeError`, and `EventNotFoundError` for an unknown
    `as_of` id.
    """
    since, until = (
        None if options[name] is None else math.ceil(milliseconds(options[name], name)) for name in ("since", "until")
    )
    return Criteria(
        entities=_strings(options["entity"], "entity"),
        scopes=_strings(options["scope"], "scope"),
        kinds=_kinds(options["kind"]),
        lanes=_lanes(options["lane"]),
        since_ms=since,
        until_ms=until,
        last_sequence=resolve_as_of(view, options["as_of"]),
        system=bool(options["system"]),
    )


def _strings(value: Any, name: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    values = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else (value,)
    if not all(isinstance(item, str) for item in values):
        raise TypeError(f"{name}={value!r}: give a str or a list of str.")
    return values


def _integer(value: Any, name: str, top: int) -> int:
    item = value.item() if isinstance(value, np.integer) else value
    if isinstance(item, bool) or not isinstance(item, int):
        raise TypeError(f"{name}={value!r}: give an int from 0 to {top}.")
    if not 0 <= item <= top:
        raise ValueError(f"{name}={value!r} is out of range. Give an int from 0 to {top}.")
    return int(item)


def _kinds(value: Any) -> frozenset[int] | None:
    if value is None:
        return None
    found: set[int] = set()
    for item in _several(value):
        found.update(item.kinds() if isinstance(item, Category) else (_integer(item, "kind", U16_MAX),))
    return frozenset(found)


def _lanes(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    return tuple(sorted({_integer(item, "lane", U32_MAX) for item in _several(value)}))


def _several(value: Any) -> Iterable[Any]:
    # A text is one wrong value, not many: it is to be named whole.
    return value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else (value,)


def resolve_as_of(view: Any, value: Any) -> int | None:
    """The last sequence number that `as_of=` lets through (-1: none); None where it lets all through."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return _sequence_at(view, math.floor(milliseconds(value, "as_of")))
    if isinstance(value, int | np.integer):
        return _integer(value, "as_of", U64_MAX)
    return sequence_of(view, fixed_bytes(value, 16, "as_of"))


def _sequence_at(view: Any, wall_ms: int) -> int | None:
    """Before the first visible event, in commit order, that is later than `wall_ms`.

    That event is where the running maximum of wall_time first passes `wall_ms`, so what precedes it is a
    prefix.
    """
    firsts = []
    for position, segment in enumerate(view.stretches):
        if not segment.count or column_range(view, position, "wall_time")[1] <= wall_ms:
            continue
        later = (segment.rows["wall_ms"].astype(np.uint64) > np.uint64(max(wall_ms, 0))) & ~segment.excluded
        if wall_ms < 0:
            later = ~segment.excluded
        if later.any():
            firsts.append(int(segment.sequence[later].min()))
    return min(firsts) - 1 if firsts else None


def sequence_of(view: Any, event_id: bytes) -> int:
    """The sequence number of a visible event; raises `EventNotFoundError`."""
    high, low = (np.uint64(int.from_bytes(half, "big")) for half in (event_id[:8], event_id[8:]))
    for segment in view.stretches:
        ids = words(segment.rows)["event_id"]
        found = np.flatnonzero((ids[:, 0] == low) & (ids[:, 1] == high) & ~segment.excluded)
        if len(found):
            return int(segment.sequence[found[0]])
    raise EventNotFoundError(
        f"as_of names event {event_id.hex()}, and no visible event of {view.path} has that id. "
        f"Give the event_id of one that has, or a sequence number."
    )
