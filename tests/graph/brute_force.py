"""What the views of the causal graph must say, computed from plain rows by the definitions alone.

A row is a dict with the keys of the `.jsonl` files: ids in hex, `timestamp_us` and so on; rows are in commit order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

Row = dict[str, Any]
Cause = int | str | None
"""The place of the row's cause, `"dangling"`, or None where it names none."""


def causes_of(rows: Sequence[Row]) -> list[Cause]:
    places = {row["event_id"]: place for place, row in enumerate(rows)}  # the later of two
    named = [row["causation_id"] for row in rows]
    return [None if name is None else places.get(name, "dangling") for name in named]


def path_up(parents: Sequence[Cause], place: int) -> tuple[list[int], list[int]]:
    """The place and its causes until one comes again, and those of them that form a cycle."""
    path = [place]
    while isinstance(parents[path[-1]], int):
        cause = parents[path[-1]]
        assert isinstance(cause, int)
        if cause in path:
            return path, path[path.index(cause) :]
        path.append(cause)
    return path, []


def root_and_depth(parents: Sequence[Cause], place: int) -> tuple[int, int]:
    path, cycle = path_up(parents, place)
    off = [one for one in path if one not in cycle]
    return (min(cycle), len(off)) if cycle else (off[-1], len(off) - 1)


def causes(rows: Sequence[Row], chosen: Sequence[int]) -> list[Row]:
    found, parents = [], causes_of(rows)
    for place in chosen:
        effect, cause = rows[place], parents[place]
        if cause is None:
            continue
        there = rows[cause] if isinstance(cause, int) else None
        row = {f"effect_{short}": effect[name] for short, name in NAMES.items()}
        row |= {f"cause_{short}": there and there[name] for short, name in NAMES.items()}
        row["cause_id"] = effect["causation_id"]
        row["resolved"] = there is not None
        row["latency_ms"] = there and float(effect["timestamp_us"] - there["timestamp_us"]) / 1000
        row["crosses_entity"] = there and effect["entity"] != there["entity"]
        row["crosses_scope"] = there and effect["scope"] != there["scope"]
        row["same_correlation"] = there and effect["correlation_id"] == there["correlation_id"]
        found.append(row)
    return found


NAMES = {"id": "event_id", "sequence": "global_sequence", "kind": "kind", "entity": "entity"}


def nodes(rows: Sequence[Row], chosen: Sequence[int]) -> list[Row]:
    parents = causes_of(rows)
    places = [root_and_depth(parents, place) for place in range(len(rows))]
    paths = [set(path_up(parents, place)[0]) for place in range(len(rows))]
    found = []
    for place in chosen:
        root, depth = places[place]
        led_to = {one for one in range(len(rows)) if place in paths[one]}
        _, cycle = path_up(parents, place)
        found.append(
            {
                "event_id": rows[place]["event_id"],
                "global_sequence": rows[place]["global_sequence"],
                "root_id": rows[root]["event_id"],
                "depth": depth,
                "height": max(places[one][1] for one in led_to) - depth,
                "effects": parents.count(place),
                "descendants": len(led_to) - 1,
                "is_root": not isinstance(parents[place], int),
                "is_leaf": place not in parents,
                "dangling": parents[place] == "dangling",
                "in_cycle": place in cycle,
            }
        )
    return found


def correlations(rows: Sequence[Row], chosen: Sequence[int]) -> list[Row]:
    wanted = {rows[place]["correlation_id"] for place in chosen}
    names = [name for name in dict.fromkeys(row["correlation_id"] for row in rows) if name in wanted]
    return [correlation(rows, name) for name in names]


def inner_parents(rows: Sequence[Row], members: Sequence[int]) -> list[Cause]:
    """Causes within a correlation; those outside do not count."""
    found, inside = causes_of(rows), set(members)
    return [cause if {place, cause} <= inside else None for place, cause in enumerate(found)]


def members_of(rows: Sequence[Row], name: str) -> list[int]:
    return [place for place, row in enumerate(rows) if row["correlation_id"] == name]


def correlation(rows: Sequence[Row], name: str) -> Row:
    members = members_of(rows, name)
    parents, all_causes = inner_parents(rows, members), causes_of(rows)
    places = [root_and_depth(parents, place) for place in members]
    times = [rows[place]["timestamp_us"] for place in members]
    roots = [root for root, _ in places]
    waits = [time - rows[root]["timestamp_us"] for time, root in zip(times, roots, strict=True)]
    return {
        "correlation_id": name,
        "events": len(members),
        "entities": len({rows[place]["entity"] for place in members}),
        "kinds": len({rows[place]["kind"] for place in members}),
        "roots": sum(parents[place] is None for place in members),
        "depth": max(depth for _, depth in places),
        "width": max(Counter(depth for _, depth in places).values()),
        "first_time": min(times),
        "last_time": max(times),
        "duration_ms": float(max(times) - min(times)) / 1000,
        "critical_path_ms": float(max(waits)) / 1000,
        "dangling": sum(all_causes[place] == "dangling" for place in members),
    }


def critical_path(rows: Sequence[Row], name: str) -> list[str]:
    """The ids of the longest path, from its root to its end."""
    members = members_of(rows, name)
    parents = inner_parents(rows, members)

    def wait(place: int) -> int:
        waited: int = rows[place]["timestamp_us"] - rows[root_and_depth(parents, place)[0]]["timestamp_us"]
        return waited

    end = max(members, key=wait)  # the first of equals
    root, path = root_and_depth(parents, end)[0], [end]
    while path[-1] != root:
        cause = parents[path[-1]]
        assert isinstance(cause, int)
        path.append(cause)
    return [rows[place]["event_id"] for place in reversed(path)]


def ancestors(rows: Sequence[Row], event_id: str) -> list[str]:
    """Ids, the oldest first."""
    parents = causes_of(rows)
    path, _ = path_up(parents, place_of(rows, event_id))
    return [rows[place]["event_id"] for place in reversed(path[1:])]


def descendants(rows: Sequence[Row], event_id: str) -> list[tuple[int, str]]:
    """Distances and ids, generation by generation."""
    parents, place = causes_of(rows), place_of(rows, event_id)
    paths = [path_up(parents, one)[0] for one in range(len(rows))]
    far = sorted((paths[one].index(place), one) for one in range(len(rows)) if place in paths[one] and one != place)
    return [(distance, rows[one]["event_id"]) for distance, one in far]


def place_of(rows: Sequence[Row], event_id: str) -> int:
    return max(place for place, row in enumerate(rows) if row["event_id"] == event_id)


def plain(table: pa.Table) -> list[Row]:
    """The rows of an Arrow table, ids in hex and times in microseconds."""
    columns = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        values = column.to_pylist()
        columns[name] = [value.hex() if isinstance(value, bytes) else value for value in values]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
