"""`Surroundings`: one event with the causes and effects nearest to it, as values to show."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from batpak_analytics.engine.point_read import EventId, id_bytes
from batpak_analytics.graph.clocks import Times, timestamps
from batpak_analytics.graph.links import DANGLING, Links, Places, links_of
from batpak_analytics.graph.walks import causes_of, check_depth, effects_of, ending, event_arrays
from batpak_analytics.markup import plural, short_id

CAUSES, EFFECTS, MOST_EVENTS = 10, 3, 40


class Nearby(NamedTuple):
    """An event among the surroundings of another.

    `distance` is in generations: negative for causes, 0 for the event itself. `cause` is the number of its cause among
    the events shown, None where that is not shown. `latency_ms` is the time since its cause, None where it has none or
    a timestamp cannot be read. `more_effects` counts its effects that are not shown.
    """

    event_id: bytes
    global_sequence: int
    kind: int
    entity: str
    scope: str
    timestamp_us: int | None
    distance: int
    cause: int | None
    latency_ms: float | None
    more_effects: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What `Reader.surroundings` answers: events in the order in which a tree of them reads.

    Causes come first, the oldest of them on top; then the event, `events[at]`; then its effects, each followed by its
    own. `more_causes` and `more_effects` count what is left out on either side. `ends` says where the causes end:
    `root`, `dangling` (then `missing` is the id that the last of them names) or `cycle`.
    """

    path: str
    events: tuple[Nearby, ...]
    at: int
    more_causes: int
    more_effects: int
    ends: str
    root_id: bytes
    missing: bytes | None

    @property
    def event(self) -> Nearby:
        """The event in the middle."""
        return self.events[self.at]

    def __repr__(self) -> str:
        one, below = self.event, len(self.events) - self.at - 1
        causes = f"{self.at} of {plural(self.at + self.more_causes, 'cause')}"
        effects = f"{below} of {plural(below + self.more_effects, 'effect')}"
        about = f"{short_id(one.event_id)}, {one.entity!r}, kind=0x{one.kind:04X}"
        return f"Surroundings({about}: {causes}, {effects}, ends={self.ends!r})"

    def to_arrow(self) -> pa.Table:
        """One row for each event, with the attributes of `Nearby` as columns; `cause` is a row number."""
        named = {name: [getattr(one, name) for one in self.events] for name in Nearby._fields}
        named["timestamp"] = named.pop("timestamp_us")
        return pa.table({name: pa.array(values, _TYPES[name]) for name, values in named.items()})

    def to_pandas(self) -> Any:
        """The same as a `pandas.DataFrame`."""
        # The one door upwards: DataFrames belong to the layer above, which builds on this one.
        return import_module("batpak_analytics.frames.pandas").table_to_frame(self.to_arrow())


_TYPES = {
    "event_id": pa.binary(16),
    "global_sequence": pa.uint64(),
    "kind": pa.uint16(),
    "entity": pa.string(),
    "scope": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "distance": pa.int32(),
    "cause": pa.uint32(),
    "latency_ms": pa.float64(),
    "more_effects": pa.uint32(),
}


class _Chosen(NamedTuple):
    """Causes, nearest first, and generations of effects; and how many there are besides."""

    causes: Places
    effects: list[Places]
    more_causes: int
    more_effects: int


def surroundings(
    view: Any, event_id: EventId, causes: int = CAUSES, effects: int = EFFECTS, max_events: int = MOST_EVENTS
) -> Surroundings:
    """See `Reader.surroundings`."""
    if isinstance(max_events, bool) or not isinstance(max_events, int) or max_events < 1:
        raise ValueError(f"max_events={max_events!r}: give a positive int.")
    links = links_of(view)
    place = links.find(id_bytes(event_id))
    back, on = check_depth(causes, "causes") or 0, check_depth(effects, "effects") or 0
    chosen = _chosen(links, place, back, on, max_events - 1)
    places, distances = _in_order(links, place, chosen)
    root = int(links.forest.root[place])
    top, ends = int(places[0]), ending(links, place)
    dangling = links.parents[top] == DANGLING
    # On a cycle an effect may follow from what counts as a cause, and then it hangs under nothing that is shown.
    unplaced = 1 + len(chosen.causes) + sum(map(len, chosen.effects)) - len(places)
    ids = links.gather(("event_id", "causation_id"), np.array([root, top], np.int64))
    return Surroundings(
        links.view.path, tuple(_nearby(links, places, distances)), len(chosen.causes), chosen.more_causes,
        chosen.more_effects + unplaced, ends, ids["event_id"][0].tobytes(),
        ids["causation_id"][1].tobytes() if dangling else None,
    )  # fmt: skip


def _chosen(links: Links, place: int, causes: int, effects: int, room: int) -> _Chosen:
    """The nearest of both sides; each gets half of the room, or what the other leaves.

    How many there are in all is known of every event, so that a cause of a million effects costs no more than those
    shown, except on a cycle, where everything is cause and effect of everything.
    """
    forest = links.forest
    if forest.in_cycle[forest.root[place]]:
        every = causes_of(links, place)
        below = [one[~np.isin(one, every)] for one in effects_of(links, place)]
        all_causes, all_effects = len(every), sum(map(len, below))
        below = [one for one in below[:effects] if len(one)]
    else:
        every = causes_of(links, place, causes)
        below = effects_of(links, place, effects)
        all_causes, all_effects = int(forest.depth[place]), int(forest.descendants[place])
    nearby = sum(map(len, below))
    above = min(len(every), causes, max(room - nearby, room // 2))
    shown, left = [], room - above
    for generation in below:
        shown.append(generation[:left])
        left -= len(shown[-1])
    taken = sum(map(len, shown))
    return _Chosen(every[:above], shown, all_causes - above, all_effects - taken)


def _in_order(links: Links, place: int, chosen: _Chosen) -> tuple[Places, list[int]]:
    """The places as a tree reads, and how far each is away."""
    children: dict[int, list[int]] = {}
    for generation in chosen.effects:
        for effect in generation.tolist():
            children.setdefault(int(links.parents[effect]), []).append(effect)
    found = [(cause, -distance) for distance, cause in enumerate(chosen.causes.tolist(), 1)][::-1]
    waiting = [(place, 0)]
    while waiting:
        one, distance = waiting.pop()
        found.append((one, distance))
        waiting += [(effect, distance + 1) for effect in reversed(children.get(one, []))]
    return np.array([one for one, _ in found], np.int64), [distance for _, distance in found]


def _nearby(links: Links, places: Places, distances: list[int]) -> list[Nearby]:
    parents, effects = links.parents[places].tolist(), links.forest.effects[places].tolist()
    numbers = {place: number for number, place in enumerate(places.tolist())}
    causes = [numbers.get(parent) for parent in parents]
    shown = [causes.count(number) for number in range(len(places))]
    times = timestamps(links, np.unique(np.concatenate([places, links.parents[places[:1]].clip(0)])))
    columns = {name: array.to_pylist() for name, array in event_arrays(links, places).items()}
    columns |= {
        "timestamp_us": [_time(times, place) for place in places],
        "distance": distances,
        "cause": causes,
        "latency_ms": [_latency(times, cause, place) for cause, place in zip(parents, places, strict=True)],
        "more_effects": [there - here for there, here in zip(effects, shown, strict=True)],
    }
    return [Nearby(*row) for row in zip(*(columns[name] for name in Nearby._fields), strict=True)]


def _time(times: Times, place: int) -> int | None:
    return int(times.values[place]) if times.known[place] else None


def _latency(times: Times, cause: int, effect: int) -> float | None:
    if cause < 0:
        return None
    elapsed, known = times.elapsed_ms([cause], [effect])
    return float(elapsed[0]) if known[0] else None
