"""An event with its causes and effects as text that draws itself: Mermaid and Graphviz.

Every name in it comes from the store, where anyone may have written it. Labels are therefore encoded character by
character: what is not plainly text becomes a number, and nothing can end the label it stands in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from batpak_analytics.arrow.options import check_frame_options
from batpak_analytics.engine.point_read import EventId, id_bytes
from batpak_analytics.graph.links import DANGLING, Links, Places, links_of
from batpak_analytics.graph.walks import causes_of, effects_of, event_arrays

LONGEST_NAME = 60
ID_DIGITS = 8  # a UUIDv7 begins with the time: its end tells events apart
_PLAIN = frozenset(" -_.:,/+@")


class Neighbourhood(NamedTuple):
    """Events to draw: the one in the middle first, those that led to it, those it led to; and how many are left out."""

    places: Places
    causes_left_out: int
    effects_left_out: int


def neighbourhood(links: Links, place: int, most: int) -> Neighbourhood:
    """At most `most` events around one, nearer ones first. Each side gets half of them, or what the other leaves."""
    causes = causes_of(links, place)
    effects = np.concatenate([np.zeros(0, np.int64), *effects_of(links, place)])
    effects = effects[~np.isin(effects, causes)]  # on a cycle they are both
    room = most - 1
    above = min(len(causes), max(room - len(effects), room // 2))
    below = min(len(effects), room - above)
    places = np.concatenate([[place], causes[:above], effects[:below]]).astype(np.int64)
    return Neighbourhood(places, len(causes) - above, len(effects) - below)


class Drawing(NamedTuple):
    """Labels of nodes by their names, edges between names, and the name of the event in the middle."""

    labels: dict[str, str]
    edges: list[tuple[str, str]]
    middle: str
    dashed: list[str]


def to_mermaid(view: Any, event_id: EventId, max_nodes: int, kind_names: Mapping[int, str] | None) -> str:
    """See `Reader.to_mermaid`."""
    drawing = _drawing(view, event_id, max_nodes, kind_names)
    lines = ["flowchart TD"]
    lines += [f'    {name}["{_encoded(label, _mermaid_code)}"]' for name, label in drawing.labels.items()]
    lines += [f"    {cause} --> {effect}" for cause, effect in drawing.edges]
    lines += [f"    style {drawing.middle} stroke-width:3px"]
    lines += [f"    style {name} stroke-dasharray:4" for name in drawing.dashed]
    return "\n".join(lines) + "\n"


def to_dot(view: Any, event_id: EventId, max_nodes: int, kind_names: Mapping[int, str] | None) -> str:
    """See `Reader.to_dot`."""
    drawing = _drawing(view, event_id, max_nodes, kind_names)
    lines = ["digraph causes {", "    node [shape=box];"]
    for name, label in drawing.labels.items():
        style = "bold" if name == drawing.middle else "dashed" if name in drawing.dashed else "solid"
        lines.append(f'    {name} [label="{_encoded(label, _dot_code)}", style={style}];')
    lines += [f"    {cause} -> {effect};" for cause, effect in drawing.edges]
    return "\n".join([*lines, "}"]) + "\n"


def _encoded(label: str, code: Callable[[str], str]) -> str:
    """Letters and digits of any script as they are, and little else."""
    return "".join(char if char.isalnum() or char in _PLAIN else code(char) for char in label)


def _mermaid_code(char: str) -> str:
    return f"#{ord(char)};"


def _dot_code(char: str) -> str:
    """HTML's number for it, which Graphviz reads; it has none for what is not to be printed."""
    return f"&#{ord(char)};" if char.isprintable() else "?"


def _drawing(view: Any, event_id: EventId, max_nodes: int, kind_names: Mapping[int, str] | None) -> Drawing:
    if isinstance(max_nodes, bool) or not isinstance(max_nodes, int) or max_nodes < 1:
        raise ValueError(f"max_nodes={max_nodes!r}: give a positive int.")
    check_frame_options("hex", kind_names, None)
    links = links_of(view)
    found = neighbourhood(links, links.find(id_bytes(event_id)), max_nodes)
    names = {place: f"n{number}" for number, place in enumerate(found.places.tolist())}
    labels = dict(zip(names.values(), _labels(links, found.places, kind_names or {}), strict=True))
    edges, dashed = [], []
    for place, name in names.items():
        cause = int(links.parents[place])
        if cause in names:
            edges.append((names[cause], name))
        elif cause == DANGLING:
            labels["missing"] = "a cause that is not there"
            edges.append(("missing", name))
            dashed.append("missing")
        elif cause >= 0:
            labels["earlier"] = f"{found.causes_left_out} earlier causes"
            edges.append(("earlier", name))
            dashed.append("earlier")
    if found.effects_left_out:
        labels["more"] = f"{found.effects_left_out} more effects"
        dashed.append("more")
        edges += [(name, "more") for place, name in names.items() if _has_others(links, place, names)]
    return Drawing(labels, edges, names[int(found.places[0])], dashed)


def _has_others(links: Links, place: int, drawn: Mapping[int, str]) -> bool:
    """Whether an event has effects that are not drawn."""
    return any(effect not in drawn for effect in links.effects_of(np.array([place])).tolist())


def _labels(links: Links, places: Places, kind_names: Mapping[int, str]) -> list[str]:
    columns = {name: array.to_pylist() for name, array in event_arrays(links, places).items()}
    rows = zip(*(columns[name] for name in ("kind", "entity", "global_sequence", "event_id")), strict=True)
    return [
        f"{_short(kind_names.get(kind, f'0x{kind:04X}'))} {_short(entity)} {sequence} {event_id.hex()[-ID_DIGITS:]}"
        for kind, entity, sequence, event_id in rows
    ]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"
