"""Ways through the causal graph from one event or correlation, as tables of events in causal order: causes first."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa

from batpak_analytics.arrow.columns import fixed_binary, numbers
from batpak_analytics.arrow.schema import INDEX_SCHEMA, TIMESTAMP, WALL_TIME
from batpak_analytics.engine.point_read import EventId, id_bytes
from batpak_analytics.graph.clocks import timestamps
from batpak_analytics.graph.correlations import inner_forest
from batpak_analytics.graph.links import DANGLING, Links, Places, links_of

EVENT_COLUMNS: Final = (
    *("global_sequence", "event_id", "correlation_id", "causation_id"),
    *("entity", "scope", "kind", "wall_time"),
)


def event_arrays(links: Links, places: Places) -> dict[str, Any]:
    """The everyday index columns of these events, as Arrow arrays by name."""
    values = links.gather(EVENT_COLUMNS, places)
    made: dict[str, Any] = {}
    for name, found in values.items():
        if name.endswith("_id"):
            valid = found.any(axis=1) if name == "causation_id" else None
            made[name] = fixed_binary(found.view(np.uint8).reshape(-1, 16), valid)
        elif name in ("entity", "scope"):
            made[name] = getattr(links.labels, name).array(found)
        else:
            made[name] = numbers(found, WALL_TIME if name == "wall_time" else INDEX_SCHEMA.field(name).type)
    return made


def event_table(links: Links, places: Places, **before: Any) -> pa.Table:
    """These events, with other columns before theirs."""
    return pa.table({**before, **event_arrays(links, places)})


def causes_of(links: Links, place: int, most: int | None = None) -> Places:
    """The cause of an event, the cause of that and so on, at most `most`; ends before anything comes twice."""
    parents, seen = links.parents, {place}
    found: list[int] = []
    at = int(parents[place])
    while at >= 0 and at not in seen and len(found) != most:
        found.append(at)
        seen.add(at)
        at = int(parents[at])
    return np.array(found, np.int64)


def effects_of(links: Links, place: int, most_generations: int | None = None) -> list[Places]:
    """What an event led to, generation by generation, each in commit order; the event itself is never among it."""
    seen = np.zeros(links.count, bool)
    seen[place] = True
    found: list[Places] = []
    last = np.array([place], np.int64)
    while len(last) and (most_generations is None or len(found) < most_generations):
        last = links.effects_of(last)
        last = last[~seen[last]]
        seen[last] = True
        if len(last):
            found.append(last)
    return found


def ending(links: Links, place: int) -> str:
    """Why the causes of an event end: a `root` names none, one is `dangling` where it is not there, or a `cycle`."""
    root = int(links.forest.root[place])
    if links.forest.in_cycle[root]:
        return "cycle"
    return "dangling" if links.parents[root] == DANGLING else "root"


def ancestors(view: Any, event_id: EventId, max_depth: int | None = None) -> tuple[pa.Table, str]:
    """Everything that led to an event, the oldest first, and why it ends; `distance` is in generations."""
    links = links_of(view)
    place = links.find(id_bytes(event_id))
    every = causes_of(links, place)
    found = every[: check_depth(max_depth)][::-1]
    table = event_table(links, found, distance=pa.array(np.arange(len(found), 0, -1), pa.uint32()))
    return table, "max_depth" if len(found) < len(every) else ending(links, place)


def descendants(view: Any, event_id: EventId, max_depth: int | None = None) -> pa.Table:
    """Everything that an event led to, generation by generation; `distance` counts them."""
    links = links_of(view)
    found = effects_of(links, links.find(id_bytes(event_id)), check_depth(max_depth))
    distance = np.repeat(np.arange(1, len(found) + 1), [len(one) for one in found])
    places = np.concatenate([np.zeros(0, np.int64), *found])
    return event_table(links, places, distance=pa.array(distance, pa.uint32()))


def common_causes(view: Any, first: EventId, second: EventId) -> pa.Table:
    """Everything that led to both events, the oldest first, with its distance from each."""
    links = links_of(view)
    one, other = (causes_of(links, links.find(id_bytes(event))) for event in (first, second))
    shared = one[np.isin(one, other)][::-1]
    far = [[int(np.flatnonzero(path == place)[0]) + 1 for place in shared] for path in (one, other)]
    return event_table(
        links, shared, distance_a=pa.array(far[0], pa.uint32()), distance_b=pa.array(far[1], pa.uint32())
    )


def critical_path(view: Any, correlation_id: EventId) -> pa.Table:
    """The way through a correlation that took longest, from its root on; of equals the one committed first."""
    links = links_of(view)
    members = links.of_correlation(id_bytes(correlation_id))
    group = np.zeros(links.count, np.int32)
    group[members] = 1
    parents = np.where(group == 1, links.parents, np.int32(-1))
    forest = inner_forest(parents, group)
    times = timestamps(links, members)
    elapsed, known = times.elapsed_ms(forest.root[members], members)
    path = [int(members[np.argmax(np.where(known, elapsed, -1.0))])]
    while path[-1] != forest.root[path[-1]]:
        path.append(int(parents[path[-1]]))
    places = np.array(path[::-1], np.int64)
    since, measured = times.elapsed_ms(places[0], places)
    causes = places[np.maximum(np.arange(len(places)) - 1, 0)]
    step, stepped = times.elapsed_ms(causes, places)
    stepped[0] = False
    return event_table(
        links,
        places,
        depth=pa.array(np.arange(len(places)), pa.uint32()),
        elapsed_ms=numbers(since, pa.float64(), measured),
        latency_ms=numbers(step, pa.float64(), stepped),
        timestamp=numbers(times.values[places], TIMESTAMP, times.known[places]),
    )


def check_depth(max_depth: Any, name: str = "max_depth") -> int | None:
    """`max_depth=`, or another, as a number of generations; None for all."""
    if max_depth is None:
        return None
    if isinstance(max_depth, bool) or not isinstance(max_depth, int | np.integer):
        raise TypeError(f"{name}={max_depth!r}: give an int or None.")
    if max_depth < 0:
        raise ValueError(f"{name}={max_depth!r}: give zero or more.")
    return int(max_depth)
