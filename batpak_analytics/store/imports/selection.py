"""Which events of a source an import looks at, and which of them it wants."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np

from batpak_analytics.engine.entries import Entries
from batpak_analytics.engine.point_read import read_event
from batpak_analytics.engine.region import Region
from batpak_analytics.engine.select import region_entries
from batpak_analytics.engine.snapshot import Snapshot
from batpak_analytics.format.provenance import of_extensions
from batpak_analytics.model import Event, IndexEntry
from batpak_analytics.store.imports.report import Progress

Keep = Callable[[IndexEntry], bool]


@dataclass(frozen=True, slots=True)
class Selector:
    """The events after a sequence, in a region, of some kinds: those that are looked at, and counted."""

    region: Region | None
    kinds: Collection[int] | None
    after: int | None

    def of(self, snapshot: Snapshot) -> Entries:
        """In commit order. The source as it is now is the ceiling, so that an import into itself ends (spec 16)."""
        found = region_entries(snapshot, self.region or Region())
        if self.after is not None:
            found = found[int(np.searchsorted(found.global_sequences, self.after, side="right")) :]
        if self.kinds is not None:
            found = found.taken(np.flatnonzero(np.isin(found.column("kind"), list(self.kinds))))
        return found


def wanted(
    entries: Entries, keep: Keep | None, namespace: str, progress: Progress
) -> Iterator[tuple[IndexEntry, Event]]:
    """The entries to be imported with their frames; the others are counted, in the reference's order of reasons."""
    for entry, place in zip(entries, entries.places(), strict=True):
        progress.see(entry.global_sequence)
        if entry.kind.is_reserved:
            progress.counts["skipped_reserved"] += 1
        elif keep is not None and not keep(entry):
            progress.counts["skipped_filtered"] += 1
        else:
            event = read_event(place)
            origin = of_extensions(event.extensions)
            if origin is not None and origin.source_namespace == namespace:
                progress.counts["skipped_reimported"] += 1
            else:
                yield entry, event
