"""Events worth starting from, in a causal graph: the latest ones, the roots, those whose cause is not there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from batpak_analytics.engine.point_read import HEX_ID
from batpak_analytics.graph.links import DANGLING, Links, Places
from batpak_analytics.graph.nodes import CausalNodes
from batpak_analytics.graph.walks import event_arrays

_SOME_DIGITS: Final = re.compile(r"[0-9a-fA-F]{4,31}")


class Pick(NamedTuple):
    """One event of a page, as `Picks.page` gives it."""

    event_id: bytes
    global_sequence: int
    kind: int
    entity: str
    effects: int


def _latest(_: Links, places: Places) -> Places:
    return places[::-1]


def _roots(links: Links, places: Places) -> Places:
    began: Places = places[(links.parents[places] < 0) & (links.forest.effects[places] > 0)]
    return began[::-1]


def _dangling(links: Links, places: Places) -> Places:
    missing: Places = places[links.parents[places] == DANGLING]
    return missing[::-1]


def _most_effects(links: Links, places: Places) -> Places:
    led = places[links.forest.descendants[places] > 0]
    order = np.argsort(-links.forest.descendants[led].astype(np.int64), kind="stable")
    return led.take(order)


WAYS: Final[dict[str, Callable[[Links, Places], Places]]] = {
    "latest": _latest,
    "roots": _roots,
    "dangling": _dangling,
    "most_effects": _most_effects,
}
"""Newest first each: all events; those that began something; those whose cause is not there; by what they led to."""


class Picks:
    """The rows of a table of nodes in one of the `WAYS`, page by page."""

    def __init__(self, nodes: CausalNodes, way: str) -> None:
        self._links = nodes.links
        self._places = WAYS[way](self._links, nodes.rows)

    def __len__(self) -> int:
        return len(self._places)

    def page(self, first: int, count: int) -> list[Pick]:
        """Up to `count` events from number `first` on."""
        places = self._places[first : first + count]
        columns = {name: array.to_pylist() for name, array in event_arrays(self._links, places).items()}
        names = ("event_id", "global_sequence", "kind", "entity")
        led = self._links.forest.descendants[places].tolist()
        return [Pick(*row) for row in zip(*(columns[name] for name in names), led, strict=True)]


def whole_id(nodes: CausalNodes, digits: str) -> bytes:
    """The id that ends in these hexadecimal digits, as tables show it; all 32 need not be there.

    Raises `ValueError` for what is no such text and where several events are meant, `EventNotFoundError` for none.
    """
    if HEX_ID.fullmatch(digits):
        return bytes.fromhex(digits)
    if not _SOME_DIGITS.fullmatch(digits):
        raise ValueError(f"{digits!r} is not the end of an event id. Give its last hexadecimal digits, 4 or more.")
    place = nodes.links.find_ending(digits)
    found: bytes = nodes.links.gather(("event_id",), np.array([place]))["event_id"].tobytes()
    return found
