"""What goes with the events that a plan drops: links, causes, heads of chains, entities, numbers, retries.

All of it is seen from the events that are shown: a hidden event that loses its parent is nobody's loss. A link is
broken when its parent goes and no event that stays has the hash it names; it is ambiguous when one has, as events with
equal payloads do: a check by hash then finds nothing missing (engine-read.md T-3).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.compaction.rows import NOBODY, EventRows
from batpak_analytics.compaction.states import StateChange
from batpak_analytics.compaction.tombstone import encrypted_rows
from batpak_analytics.proof.chains import ChainIndex

WORD = np.dtype("<u8")


@dataclass(frozen=True, eq=False)
class Effects:
    """Of striking the rows of the mask `struck`, of those in `sealed`; `strategy` says what becomes of them."""

    rows: EventRows
    sealed: Any
    struck: Any
    strategy: str
    states: tuple[StateChange, ...] | None = None
    unknown: dict[str, Any] = field(default_factory=dict)
    judged: Any = None
    """What the plan's rule keeps, so that it is not asked again."""

    def but(self, **fields: Any) -> Effects:
        """The same with some fields changed."""
        return replace(self, **fields)

    @cached_property
    def dropped(self) -> Any:
        """The rows that go: none of a merge or a tombstone."""
        return self.struck if self.strategy == "retention" else np.zeros(self.rows.count, bool)

    @cached_property
    def stays(self) -> Any:
        """The visible rows that stay, in the active segment too."""
        return self.rows.visible & ~self.dropped

    @property
    def parents(self) -> Any:
        """The row of the event before each in its chain, `NOBODY` where none is confirmed."""
        return ChainIndex.of(self.rows.view).links.parent

    @cached_property
    def _unlinked(self) -> Any:
        """Visible rows that stay and lose their parent, ascending."""
        if not self.dropped.any():
            return np.empty(0, np.int64)
        parent = self.parents
        return np.flatnonzero(self.stays & (parent != NOBODY) & self.dropped[parent])

    @cached_property
    def _found_elsewhere(self) -> Any:
        """Of each of them, whether another event that stays has the hash of its parent."""
        wanted, stays = self._unlinked, np.flatnonzero(self.stays)
        if not len(wanted):
            return np.zeros(0, bool)
        prev = self._words("prev_hash")[wanted]
        own = self._words("event_hash")[stays]
        halves = [np.ascontiguousarray(words[:, :2]) for words in (own, prev)]
        at = kernels.join_ids(*halves, last=True)
        return (at >= 0) & (own[at, 2:] == prev[:, 2:]).all(axis=1)

    def _words(self, name: str) -> Any:
        return self.rows.column(name).view(np.uint8).view(WORD).reshape(-1, 4)

    @property
    def broken(self) -> Any:
        """Rows whose parent goes, and nothing that stays has its hash."""
        return self._unlinked[~self._found_elsewhere]

    @property
    def ambiguous(self) -> Any:
        """Rows whose parent goes, and another event that stays has its hash."""
        return self._unlinked[self._found_elsewhere]

    @cached_property
    def heads(self) -> Any:
        """Rows that are the last of their chain, and go."""
        if not self.dropped.any():
            return np.empty(0, np.int64)
        heads = self.rows.heads
        return np.sort(heads[self.dropped[heads]])

    @cached_property
    def dangling(self) -> Any:
        """Rows that stay and name a cause that goes, and of which no second copy stays."""
        cause = self.rows.cause
        lost = np.flatnonzero(self.stays & (cause != NOBODY) & self.dropped[cause])
        if not len(lost):
            return lost
        ids = self.rows.column("event_id")[self.stays]
        return lost[kernels.join_ids(ids, self.rows.column("causation_id")[lost], last=True) < 0]

    @cached_property
    def torn(self) -> int:
        """How many correlations lose some of their visible events and not all."""
        if not self.dropped.any():
            return 0
        group, shown = self.rows.correlation, self.rows.visible
        some, left = np.zeros(self.rows.count, bool), np.zeros(self.rows.count, bool)
        some[group[shown & self.dropped]] = True
        left[group[self.stays]] = True
        return int((some & left).sum())

    def encrypted_struck(self) -> Any:
        """The struck rows that are encrypted. Cost: the head of each of their frames."""
        found = [np.empty(0, np.int64)]
        for segment, mask, start in zip(
            self.rows.segments, self.rows.masks(self.struck), self.rows.starts, strict=False
        ):
            at = np.flatnonzero(mask)
            if len(at):
                found.append(at[encrypted_rows(segment, at)] + start)
        return np.concatenate(found)

    @cached_property
    def entity_counts(self) -> tuple[Any, Any]:
        """Visible events of each entity code, before and after."""
        entity, size = self.rows.column("entity"), len(self.rows.names)
        before = np.bincount(entity[self.rows.visible], minlength=size)
        return before, before - np.bincount(entity[self.rows.visible & self.dropped], minlength=size)

    @property
    def emptied(self) -> Any:
        """Codes of the entities of which nothing is left."""
        before, after = self.entity_counts
        return np.flatnonzero((before > 0) & (after == 0))

    def keys_kept(self, keys: Any) -> int:
        """How many of these idempotency keys (ids, 16 bytes each) name an event that goes."""
        if not len(keys) or not self.dropped.any():
            return 0
        known = np.frombuffer(b"".join(keys), np.uint64).reshape(-1, 2)
        gone = self.rows.column("event_id")[self.dropped]
        return int((kernels.join_ids(gone, known, last=True) >= 0).sum())

    @property
    def event_numbers(self) -> Any:
        """The struck rows, in commit order."""
        at = np.flatnonzero(self.struck)
        return at[np.argsort(self.rows.sequence[at], kind="stable")]
