"""The rows of a batch put behind the latest events of their entities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.errors import AppendRefusedError
from batpak_analytics.format import layout
from batpak_analytics.format.framing import EventColumns, Lanes, Start
from batpak_analytics.store.recovered import Head

LANE = 0
"""The lane of every event of a table."""


def lanes_of(events: EventColumns, heads: Mapping[tuple[str, int], Head]) -> Lanes:
    """The latest event of each entity. Raises `AppendRefusedError` where the batch would use up its clocks."""
    count = len(events.entity_names)
    lanes = Lanes(np.full(count, -1, np.int64), np.zeros(count, np.uint64), np.zeros((count, layout.HASH_SIZE), "u1"))
    for code, entity in enumerate(events.entity_names):
        head = heads.get((entity, LANE))
        if head is not None:
            lanes.clocks[code], lanes.wall_ms[code] = head.clock, head.wall_ms
            lanes.hashes[code] = np.frombuffer(head.event_hash, np.uint8)
    last = lanes.clocks + np.bincount(events.entities, minlength=count)
    if count and int(last.max()) > layout.U32_MAX:
        entity = events.entity_names[int(last.argmax())]
        raise AppendRefusedError(f"{entity!r} has used every clock of lane {LANE}. Use another lane.")
    return lanes


def place_rows(
    frames: bytearray,
    rows: bytearray,
    events: EventColumns,
    lanes: Lanes,
    strings: dict[str, int],
    *,
    now_us: int,
    offset: int,
    sequence: int,
) -> None:
    """Append the frames and footer rows of the events; `lanes` are moved on, and new names get a place in `strings`."""
    start = Start(now_us, offset, sequence, *_numbers(events, strings))
    kernels.put_frames(frames, rows, events, lanes, start)


def _numbers(events: EventColumns, strings: dict[str, int]) -> tuple[Any, Any]:
    """The numbers of entities and scopes; new ones in the order in which single appends would meet them."""
    entity_firsts, scope_firsts = _first_rows(events.entities), _first_rows(events.scopes)
    order = [(row, 0, events.entity_names[code]) for code, row in entity_firsts]
    order += [(row, 1, events.scope_names[code]) for code, row in scope_firsts]
    for _, _, name in sorted(order):
        strings.setdefault(name, len(strings))
    entities = np.array([strings.get(name, 0) for name in events.entity_names], np.uint32)
    return entities, np.array([strings.get(name, 0) for name in events.scope_names], np.uint32)


def _first_rows(codes: Any) -> list[tuple[int, int]]:
    """Each code that is used, and the first row that has it."""
    used, rows = np.unique(codes, return_index=True)
    return list(zip(used.tolist(), rows.tolist(), strict=True))


def heads_after(events: EventColumns, lanes: Lanes) -> dict[tuple[str, int], Head]:
    """The heads that the batch leaves."""
    used = np.unique(events.entities)
    walls, clocks = lanes.wall_ms[used].tolist(), lanes.clocks[used].tolist()
    return {
        (events.entity_names[code], LANE): Head(wall_ms, clock, lanes.hashes[code].tobytes())
        for code, wall_ms, clock in zip(used.tolist(), walls, clocks, strict=True)
    }
