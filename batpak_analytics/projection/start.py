"""What `reader.replay` and `store.replay` do: choose the events, read them, and hand them to the right replay."""

from __future__ import annotations

from typing import Any

from batpak_analytics.projection.protocol import fold_of
from batpak_analytics.projection.replay import Replay
from batpak_analytics.projection.snapshots import DEFAULT_MEMORY
from batpak_analytics.projection.source import Selected, read_events
from batpak_analytics.projection.vectorised import Vectorised, VectorReplay


def replay(
    view: Any,
    projection: Any,
    *,
    entity: str | None = None,
    filters: Any = None,
    as_of: Any = None,
    system: bool = False,
    memory: int = DEFAULT_MEMORY,
) -> Any:
    """See `Reader.replay`."""
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < 0:
        raise ValueError(f"memory={memory!r}: give bytes, from 0 on.")
    if isinstance(projection, Vectorised):
        return VectorReplay(Selected.of(view, projection, entity, filters, as_of, system), projection)
    fold = fold_of(projection)
    selected = Selected.of(view, fold, entity, filters, as_of, system)
    return Replay(selected, read_events(selected, fold), fold, memory)
