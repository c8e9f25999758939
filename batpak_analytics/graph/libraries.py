"""The causal graph for graph libraries. They are imported when asked for, and nothing else here needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from batpak_analytics.errors import MissingExtraError
from batpak_analytics.graph.clocks import latencies
from batpak_analytics.graph.links import NONE, Links
from batpak_analytics.graph.nodes import CausalNodes
from batpak_analytics.graph.walks import event_arrays

_ATTRIBUTES = {"global_sequence": "sequence", "kind": "kind", "entity": "entity", "scope": "scope"}


class Exported(NamedTuple):
    """Nodes by id, and edges: cause, effect, latency in milliseconds or None."""

    nodes: dict[str, dict[str, Any]]
    edges: list[tuple[str, str, float | None]]


def to_networkx(view: Any, **filters: Any) -> Any:
    """See `Reader.to_networkx`."""
    networkx = _library("networkx")
    graph, exported = networkx.DiGraph(), _exported(view, filters)
    graph.add_nodes_from(exported.nodes.items())
    graph.add_edges_from((cause, effect, {"latency_ms": latency}) for cause, effect, latency in exported.edges)
    return graph


def to_rustworkx(view: Any, **filters: Any) -> Any:
    """See `Reader.to_rustworkx`."""
    rustworkx = _library("rustworkx")
    graph, exported = rustworkx.PyDiGraph(multigraph=False), _exported(view, filters)
    places = graph.add_nodes_from([{"event_id": name, **data} for name, data in exported.nodes.items()])
    number = dict(zip(exported.nodes, places, strict=True))
    graph.add_edges_from([(number[cause], number[effect], latency) for cause, effect, latency in exported.edges])
    return graph


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"{name} is not installed. Install it with: pip install 'batpak-analytics[graph]'."
        ) from error


def _exported(view: Any, filters: dict[str, Any]) -> Exported:
    """The chosen events, their causes wherever those are, and the ids of causes that are not there.

    Two events of one id are one node, which has the attributes of the later one.
    """
    chosen = CausalNodes(view, **filters)
    links, effects = chosen.links, chosen.rows[chosen.links.parents[chosen.rows] != NONE]
    parents = links.parents[effects]
    there = parents >= 0
    places = np.unique(np.concatenate([chosen.rows, parents[there]]))
    nodes = _nodes(links, places)
    columns = links.gather(("event_id", "causation_id"), effects)
    names, causes = ([value.tobytes().hex() for value in columns[name]] for name in ("event_id", "causation_id"))
    for place in np.flatnonzero(~there).tolist():
        nodes.setdefault(causes[place], {"missing": True})
    waits: list[float | None] = [None] * len(effects)
    found, known = latencies(links, parents[there].astype(np.int64), effects[there])
    for place, wait in zip(np.flatnonzero(there)[known].tolist(), found[known].tolist(), strict=True):
        waits[place] = wait
    return Exported(nodes, list(zip(causes, names, waits, strict=True)))


def _nodes(links: Links, places: Any) -> dict[str, dict[str, Any]]:
    columns = {name: array.to_pylist() for name, array in event_arrays(links, places).items()}
    nodes: dict[str, dict[str, Any]] = {}
    for at, (name, group) in enumerate(zip(columns["event_id"], columns["correlation_id"], strict=True)):
        data = {attribute: columns[column][at] for column, attribute in _ATTRIBUTES.items()}
        nodes[name.hex()] = data | {"correlation_id": group.hex(), "missing": False}
    return nodes
