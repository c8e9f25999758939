"""``why``: what led to an event and what it led to, as a tree."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.text import Text
from rich.tree import Tree

import batpak_analytics as bp
from batpak_analytics.cli import tables
from batpak_analytics.cli.selection import say_what_was_skipped
from batpak_analytics.cli.text import json_lines
from batpak_analytics.engine.point_read import id_bytes
from batpak_analytics.graph.clocks import latencies
from batpak_analytics.graph.links import Links, Places, links_of
from batpak_analytics.graph.walks import causes_of, effects_of, ending, event_table


@dataclass(frozen=True, slots=True)
class Story:
    """An event, its causes up to a depth (the oldest first), its effects, and what is left out of both."""

    links: Links
    place: int
    causes: Places
    effects: Places
    more_causes: int
    more_effects: int
    ends: str


def why(arguments: argparse.Namespace) -> int:
    """Print the causes of an event, the event and its effects."""
    with bp.open_reader(arguments.path) as reader:
        links = links_of(reader.view)
        story = _story(links, _place(links, arguments.event_id), arguments.depth, arguments.limit)
        if arguments.json:
            print(json.dumps(_as_json(story), indent=2, ensure_ascii=False))
        else:
            tables.console().print(_tree(story))
        say_what_was_skipped(reader, arguments.path)
    return 0


def _place(links: Links, text: str) -> int:
    """The event with this id, or with an id that ends in these digits, as tables show them."""
    if re.fullmatch(rf"[0-9a-fA-F]{{{tables.TAIL_DIGITS},31}}", text):
        return links.find_ending(text)
    try:
        key = id_bytes(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not an event id. Give 32 hexadecimal digits, or its last {tables.TAIL_DIGITS} or more, as "
            f"tables show them."
        ) from None
    return links.find(key)


def _story(links: Links, place: int, depth: int, limit: int) -> Story:
    causes = causes_of(links, place)
    generations = effects_of(links, place)
    every = np.concatenate([np.zeros(0, np.int64), *generations])
    near = np.concatenate([np.zeros(0, np.int64), *generations[:depth]])
    near = near[~np.isin(near, causes[:depth])][:limit]  # on a cycle they are both
    every = every[~np.isin(every, causes[:depth])]
    return Story(
        links, place, causes[:depth][::-1], near, len(causes[depth:]), len(every) - len(near), ending(links, place)
    )


def _rows(story: Story, places: Places) -> pa.Table:
    """Events with the milliseconds since their causes, null where there is none or no time."""
    parents = story.links.parents[places]
    there = parents >= 0
    waits, known = np.zeros(len(places)), np.zeros(len(places), bool)
    waits[there], known[there] = latencies(story.links, parents[there].astype(np.int64), places[there])
    return event_table(story.links, places).append_column("latency_ms", pa.array(waits, mask=~known))


def _tree(story: Story) -> Tree:
    """Causes above, the event in bold, effects below."""
    lines = _lines(story)
    tree = Tree(Text(_beginning(story), style="dim"), highlight=False)
    node, nodes = tree, {}
    for place in story.causes.tolist():
        node = nodes[place] = node.add(Text(lines[place]))
    nodes[story.place] = node.add(Text(lines[story.place], style="bold"))
    for place in story.effects.tolist():
        nodes[place] = nodes[int(story.links.parents[place])].add(Text(lines[place]))
    if story.more_effects:
        nodes[story.place].add(Text(f"… {tables.plural(story.more_effects, 'more effect')}", style="dim"))
    return tree


def _beginning(story: Story) -> str:
    if story.more_causes:
        return f"… {tables.plural(story.more_causes, 'earlier cause')}"
    first = int(story.causes[0]) if len(story.causes) else story.place
    if story.ends == "dangling":
        name = story.links.gather(("causation_id",), np.array([first]))["causation_id"].tobytes()
        return f"a cause that is not there: {name.hex()}"
    if story.ends == "cycle":
        return "a cycle: the first event below names one of the others as its cause"
    return "no earlier cause"


def _lines(story: Story) -> dict[int, str]:
    """What is said of each event, by its place: kind, entity, sequence, time, wait, the end of its id."""
    places = np.concatenate([story.causes, [story.place], story.effects]).astype(np.int64)
    table = _rows(story, places)
    times = pc.strftime(table["wall_time"], "%Y-%m-%d %H:%M:%S").to_pylist()
    columns = [table[name].to_pylist() for name in ("kind", "entity", "global_sequence", "latency_ms", "event_id")]
    said = {}
    for place, time, kind, entity, sequence, wait, name in zip(places.tolist(), times, *columns, strict=True):
        waited = "" if wait is None else f"  {wait:+,.3f} ms"
        who = tables.shortened(tables.printable(entity))
        said[place] = f"{tables.kind_text(kind)} {who}  #{sequence}  {time}{waited}  …{tables.tail(name)}"
    return said


def _as_json(story: Story) -> dict[str, Any]:
    (event,) = _objects(story, np.array([story.place]))
    return {
        "event": event,
        "causes": list(_objects(story, story.causes)),
        "effects": list(_objects(story, story.effects)),
        "more_causes": story.more_causes,
        "more_effects": story.more_effects,
        "ends": "depth" if story.more_causes else story.ends,
    }


def _objects(story: Story, places: Places) -> Iterator[Any]:
    for batch in _rows(story, places).to_batches():
        yield from map(json.loads, json_lines(batch, payload_is_json=False))
