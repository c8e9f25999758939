"""The rows of a batch put behind the latest events of their entities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from batpak_analytics.errors import AppendRefusedError
from batpak_analytics.format import layout
from batpak_analytics.format.framing import EventColumns, Lanes
from batpak_analytics.store.recovered import Head

LANE = 0
"""The lane of every event of a table."""
_NONE = Head(0, -1, layout.ZERO_HASH)


def lanes_of(events: EventColumns, heads: Mapping[tuple[str, int], Head]) -> Lanes:
    """The latest event of each entity. Raises `AppendRefusedError` where the batch would use up its clocks."""
    count = len(events.entity_names)
    latest = [heads.get((entity, LANE), _NONE) for entity in events.entity_names]
    hashes = bytearray().join([head.event_hash for head in latest])
    lanes = Lanes(
        np.array([head.clock for head in latest], np.int64),
        np.array([head.wall_ms for head in latest], np.uint64),
        np.frombuffer(hashes, np.uint8).reshape(count, layout.HASH_SIZE),
    )
    last = lanes.clocks + np.bincount(events.entities, minlength=count)
    if count and int(last.max()) > layout.U32_MAX:
        entity = events.entity_names[int(last.argmax())]
        raise AppendRefusedError(f"{entity!r} has used every clock of lane {LANE}. Use another lane.")
    return lanes


def string_numbers(events: EventColumns, strings: dict[str, int]) -> tuple[Any, Any]:
    """The numbers of entities and scopes; new ones in the order in which single appends would meet them."""
    if not strings.keys() >= {*events.entity_names, *events.scope_names}:  # seldom, after the first batch
        _add_new(events, strings)
    numbers = ([strings.get(name, 0) for name in names] for names in (events.entity_names, events.scope_names))
    first, second = (np.array(one, np.uint32) for one in numbers)
    return first, second


def _add_new(events: EventColumns, strings: dict[str, int]) -> None:
    entities, scopes = _first_rows(events.entities), _first_rows(events.scopes)
    order = [(row, 0, events.entity_names[code]) for code, row in entities]
    order += [(row, 1, events.scope_names[code]) for code, row in scopes]
    for _, _, name in sorted(order):
        strings.setdefault(name, len(strings))


def _first_rows(codes: Any) -> list[tuple[int, int]]:
    """Each code that is used, and the first row that has it."""
    used = _used(codes)
    rows = np.empty(len(codes) and int(codes.max()) + 1, np.int64)
    rows[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # the last to be written is the first row
    return list(zip(used.tolist(), rows[used].tolist(), strict=True))


def _used(codes: Any) -> Any:
    return np.flatnonzero(np.bincount(codes))


def heads_after(events: EventColumns, lanes: Lanes) -> dict[tuple[str, int], Head]:
    """The heads that the batch leaves."""
    used = _used(events.entities)
    walls, clocks = lanes.wall_ms[used].tolist(), lanes.clocks[used].tolist()
    hashes, size = lanes.hashes[used].tobytes(), layout.HASH_SIZE
    return {
        (events.entity_names[code], LANE): Head(wall_ms, clock, hashes[place * size : place * size + size])
        for place, (code, wall_ms, clock) in enumerate(zip(used.tolist(), walls, clocks, strict=True))
    }
