"""How each event is linked to the one before it: by its neighbour in (entity, lane, clock), confirmed by its hash.

The neighbour is looked up by clock, because a lookup by hash may find an equal payload elsewhere (engine-read.md T-3).
The hash is BLAKE3 of the payload alone: a link that holds says that the payload before it is the one that was there,
and nothing of either header (segments.md 4).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from batpak_analytics.proof.rows import AllRows


class Link(IntEnum):
    """What is known of an event's link; the names in lower case are the values of the column `link`."""

    ROOT = 0  # the first of its chain, without a parent
    LINKED = 1  # the neighbour is there and has the hash
    PARENT_HIDDEN = 2  # the same, and a cancelled fence hides it
    PARENT_MISSING = 3  # the clock before this one is not there
    MISMATCH = 4  # the neighbour is there and has another hash, or there can be none and a hash is named
    FORKED = 5  # another event has the same parent and the same clock
    AMBIGUOUS = 6  # the clock before is not there, and another event of the entity has the hash


LINK_NAMES = tuple(link.name.lower() for link in Link)
NO_ROW = -1


@dataclass(frozen=True, eq=False)
class Links:
    """Of every row: its `state`, the row of its `parent` (`NO_ROW` where none is confirmed) and how many clocks are
    `missing` before it.
    """

    state: Any
    parent: Any
    missing: Any


def find_links(rows: AllRows) -> Links:
    """Judge every row of the view, hidden ones too."""
    count = len(rows)
    state, parent = np.empty(count, np.uint8), np.empty(count, np.int64)
    missing = np.empty(count, np.int64)
    if count:
        order = rows.order
        found = _in_order(rows, order)
        columns: tuple[Any, ...] = (state, parent, missing)
        for whole, part in zip(columns, found, strict=True):
            whole[order] = part
        _settle_missing(rows, state)
    return Links(state, parent, missing)


def _in_order(rows: AllRows, order: Any) -> tuple[Any, Any, Any]:
    """The three columns for rows in the order of their chains."""
    group, clock = rows.groups[0][order], rows.columns["clock"][order].astype(np.int64)
    prev, own = (rows.words(name).take(order, axis=0) for name in ("prev_hash", "event_hash"))
    starts_chain = np.empty(len(order), bool)
    starts_chain[0] = True
    np.not_equal(group[1:], group[:-1], out=starts_chain[1:])
    step = np.empty(len(order), np.int64)
    step[0] = 0
    np.subtract(clock[1:], clock[:-1], out=step[1:])
    step[starts_chain] = clock[starts_chain] + 1  # as if the chain had a clock of -1
    rootless = _all_zero(prev)
    same = np.zeros(len(order), bool)
    same[1:] = _all_zero(prev[1:] ^ own[:-1])
    beside = (step == 1) & ~starts_chain
    linked = beside & same & ~rootless
    hidden = np.zeros(len(order), bool)
    hidden[1:] = rows.excluded[order[:-1]]
    state = np.full(len(order), Link.MISMATCH, np.uint8)
    state[linked] = Link.LINKED
    state[linked & hidden] = Link.PARENT_HIDDEN
    state[(step > 1) & ~rootless] = Link.PARENT_MISSING
    state[(clock == 0) & rootless] = Link.ROOT
    parent = np.full(len(order), NO_ROW, np.int64)
    parent[1:][linked[1:]] = order[:-1][linked[1:]]
    missing = np.maximum(step - 1, 0)
    repeated = np.flatnonzero((step == 0) & ~starts_chain)
    if len(repeated):
        _settle_repeated(rows, order, repeated, (group, clock, starts_chain), (state, parent, missing))
    return state, parent, missing


def _all_zero(words: Any) -> Any:
    """Which rows of four words are zero throughout."""
    return (words[:, 0] | words[:, 1] | words[:, 2] | words[:, 3]) == 0


def _settle_repeated(
    rows: AllRows, order: Any, repeated: Any, sorted_keys: tuple[Any, Any, Any], out: tuple[Any, Any, Any]
) -> None:
    """Judge anew the rows of clocks that several events have, and those behind such a clock."""
    group, clock, starts_chain = sorted_keys
    begins = np.concatenate([[True], (group[1:] != group[:-1]) | (clock[1:] != clock[:-1])])
    edges = np.append(np.flatnonzero(begins), len(order))  # where each clock of each chain begins
    run = np.searchsorted(edges, repeated, side="right") - 1
    touched = np.unique(np.concatenate([run, run + 1]))
    for at in touched[touched < len(edges) - 1].tolist():
        low, high = int(edges[at]), int(edges[at + 1])
        before: list[int] = []
        gap = int(clock[low])
        if not starts_chain[low]:
            gap = int(clock[low] - clock[low - 1]) - 1
            before = order[int(edges[at - 1]) : low].tolist() if gap == 0 else []
        _settle_clock(rows, order[low:high].tolist(), before, gap, slice(low, high), out)


def _settle_clock(
    rows: AllRows, children: list[int], before: list[int], gap: int, place: slice, out: tuple[Any, Any, Any]
) -> None:
    """Judge the events of one clock by the events of the clock before."""
    state, parent, missing = out
    own, prev, ids = rows.columns["event_hash"], rows.columns["prev_hash"], rows.columns["event_id"]
    by_hash: dict[bytes, int] = {}
    for row in before:  # of several, one that is shown
        name = own[row].tobytes()
        if name not in by_hash or rows.excluded[by_hash[name]]:
            by_hash[name] = row
    siblings: defaultdict[bytes, set[bytes]] = defaultdict(set)
    for row in children:
        siblings[prev[row].tobytes()].add(ids[row].tobytes())
    missing[place] = gap
    for at, row in enumerate(children, place.start):
        named = prev[row].tobytes()
        found = by_hash.get(named, NO_ROW)
        rootless = not any(named)
        parent[at] = NO_ROW if rootless else found
        if rootless:
            state[at] = Link.ROOT if int(rows.columns["clock"][row]) == 0 else Link.MISMATCH
        elif found == NO_ROW:
            state[at] = Link.PARENT_MISSING if gap else Link.MISMATCH
        else:
            state[at] = Link.PARENT_HIDDEN if rows.excluded[found] else Link.LINKED
        if state[at] in (Link.ROOT, Link.LINKED, Link.PARENT_HIDDEN) and len(siblings[named]) > 1:
            state[at] = Link.FORKED


def _settle_missing(rows: AllRows, state: Any) -> None:
    """Of the rows whose parent is missing, find those whose hash another event of the entity has."""
    orphans = np.flatnonzero(state == Link.PARENT_MISSING)
    if not len(orphans):
        return
    entity, own, prev = rows.columns["entity"], rows.columns["event_hash"], rows.columns["prev_hash"]
    wanted = rows.words("prev_hash")[orphans, 0]
    maybe = np.flatnonzero(np.isin(rows.words("event_hash")[:, 0], wanted))
    holders: defaultdict[tuple[int, bytes], int] = defaultdict(int)
    for row in maybe.tolist():
        holders[int(entity[row]), own[row].tobytes()] += 1
    if not holders:
        return
    for row in orphans.tolist():
        named = prev[row].tobytes()
        elsewhere = holders.get((int(entity[row]), named), 0) - (own[row].tobytes() == named)
        if elsewhere > 0:
            state[row] = Link.AMBIGUOUS
