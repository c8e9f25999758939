"""The events that the hash chain of an event leads to (engine-read 6.1).

A hash covers a payload and nothing else, so equal payloads have equal hashes. The reference takes the first event of
the entity with the hash for the parent, which may be another one, even a later one (trap T-3). Here the parent is the
event on the same lane whose clock is one less, as every writer links, and its hash must agree.
"""

from __future__ import annotations

import numpy as np

from batpak_analytics.engine.entries import Entries
from batpak_analytics.format.layout import ZERO_HASH
from batpak_analytics.model import AncestorWalk, AncestryEnd, IndexEntry


def walk(anchor: IndexEntry, lane: Entries, limit: int | None) -> AncestorWalk:
    """From `anchor` back; `lane` are the visible events of its (entity, lane). Sequences fall at every step."""
    clocks = lane.column("clock")
    order = np.argsort(clocks, kind="stable")
    lane, clocks = lane.taken(order), clocks[order]
    found: list[IndexEntry] = []
    following: IndexEntry | None = anchor
    while following is not None:
        if limit is not None and len(found) >= limit:
            return AncestorWalk(tuple(found), "limit")
        found.append(following)
        following = _parent(following, lane, clocks)
    end: AncestryEnd = "genesis" if found[-1].hash_chain.prev_hash == ZERO_HASH else "missing-parent"
    return AncestorWalk(tuple(found), end)


def _parent(child: IndexEntry, lane: Entries, clocks: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> IndexEntry | None:
    """The event that `child` links to; the latest before it where a clock was given twice."""
    if child.hash_chain.prev_hash == ZERO_HASH or not child.position.clock:
        return None
    low, high = (int(clocks.searchsorted(np.uint32(child.position.clock - 1), side)) for side in ("left", "right"))
    parents = [
        one
        for one in lane[low:high]
        if one.hash_chain.event_hash == child.hash_chain.prev_hash and one.global_sequence < child.global_sequence
    ]
    return max(parents, key=lambda one: one.global_sequence, default=None)
