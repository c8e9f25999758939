"""Which events a projection is made of, in the order in which the reference replays them (engine-read 8.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from blake3 import blake3

from batpak_analytics.engine.entries import Entries
from batpak_analytics.engine.select import stream_entries
from batpak_analytics.engine.snapshot import Snapshot
from batpak_analytics.evidence.projection_run import InputFrontier, Visible
from batpak_analytics.format.layout import ID_SIZE
from batpak_analytics.format.sidecars.keyset import Keyset

_INPUT = np.dtype([("event_id", f"V{ID_SIZE}"), ("kind", "<u2"), ("global_sequence", "<u8")])
"""What of an event its place in a replay is known by; a compaction may change all but the first."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The visible events of exactly one entity, of some kinds or all, by (wall_ms, clock, id), all lanes together.

    `every` has those as well that are not visible: the reference reports how far they go.
    """

    entries: Entries
    every: Entries
    keyset: Keyset | None

    @classmethod
    def of(cls, snapshot: Snapshot, entity: str, kinds: frozenset[int] | None = None) -> Plan:
        """What is in `snapshot`. Cost: a pass over the rows of the index, two where events are hidden."""
        found = stream_entries(snapshot, entity, None)
        every = stream_entries(snapshot, entity, None, hidden=True) if snapshot.hides_rows else found
        for lane in snapshot.hidden.lane_ranges:  # each event is judged by the view of its own lane too
            hidden = snapshot.hidden.hides_in_lane(lane, found.global_sequences)
            found = found.taken(np.flatnonzero((found.column("lane") != lane) | ~hidden))
        return cls(found, every, snapshot.keyset).only(kinds)

    def only(self, kinds: frozenset[int] | None) -> Plan:
        """Of these kinds; None for all."""
        if kinds is None:
            return self
        return Plan(_of_kinds(self.entries, kinds), _of_kinds(self.every, kinds), self.keyset)

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def _inputs(self) -> Any:
        inputs = np.empty(len(self), _INPUT)
        inputs["event_id"], inputs["kind"] = self.entries.column("event_id"), self.entries.column("kind")
        inputs["global_sequence"] = self.entries.global_sequences
        return inputs

    def digest(self, count: int | None = None) -> str:
        """Of the first `count` events: equal exactly where they are the same, under the same kinds and sequences."""
        return blake3(self._inputs[:count].tobytes()).hexdigest(length=16)

    def watermark(self, count: int) -> int:
        """The greatest global sequence among the first `count` events, at least one."""
        return int(self._inputs["global_sequence"][:count].max())

    def frontier(self, count: int) -> InputFrontier | None:
        """The last of the first `count` events, on one lane the latest; after all, the last that is not visible counts.

        So the reference reports it.
        """
        last = self.every[-1:] if count == len(self) else self.entries[:count][-1:]
        for one in last:
            return InputFrontier(Visible(), one.position.wall_ms, one.global_sequence)
        return None


def _of_kinds(entries: Entries, kinds: frozenset[int]) -> Entries:
    wanted = np.isin(entries.column("kind"), np.array(sorted(kinds), np.uint16))
    return entries.taken(np.flatnonzero(wanted))
