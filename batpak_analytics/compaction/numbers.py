"""The numbers of a plan, each counted and none estimated."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from batpak_analytics.compaction.effects import Effects
from batpak_analytics.compaction.markers import frames_between
from batpak_analytics.compaction.output import OutputLayout, lay_out
from batpak_analytics.compaction.plan import CompactionPlan, PlanSummary
from batpak_analytics.compaction.renumbering import Renumbering
from batpak_analytics.engine.filesystem import read_file
from batpak_analytics.errors import FormatError, FutureVersionError
from batpak_analytics.format.layout import IDEMPOTENCY_NAME, MARKER_KINDS
from batpak_analytics.format.sidecars import idempotency


def summarised(
    plan: CompactionPlan,
    segments: list[Any],
    marks: list[Any],
    effects: Effects,
    keys: Callable[[], Iterable[bytes]] | None,
) -> PlanSummary:
    """What the plan does; `marks` are the struck rows of each source."""
    view, events = effects.rows.view, int(effects.sealed.sum())
    struck = int(effects.struck.sum())
    layout = lay_out(plan.strategy, segments, marks)
    before = sum(one.size_bytes for one in view.segments)
    gross = sum(one.size_bytes for one in segments)
    after = before - gross + layout.size_bytes
    tombstoned = struck if plan.strategy == "tombstone" else 0
    moved = renumbering_of(layout, effects)
    return PlanSummary(
        events_kept=events - struck,
        events_dropped=struck - tombstoned,
        events_tombstoned=tombstoned,
        bytes_before=before,
        bytes_after=after,
        bytes_net=after - before,
        bytes_gross=gross,
        segments_before=len(view.segments),
        segments_after=len(view.segments) - len(segments) + 1,
        entities_emptied=len(effects.emptied),
        links_broken=len(effects.broken),
        links_ambiguous=len(effects.ambiguous),
        heads_dropped=len(effects.heads),
        dangling_causes=len(effects.dangling),
        correlations_torn=effects.torn,
        sequences_renumbered=moved.events,
        hidden_ranges_stale=moved.hidden_ranges(view.hidden),
        cursors_stale=moved.cursors(view.listing.directory),
        idempotency_keys_kept=effects.keys_kept(list(_keys(view) if keys is None else keys())),
        encrypted_unreadable=len(effects.encrypted_struck()) if tombstoned else 0,
        uncommitted_left_out=sum(map(_uncommitted, segments)),
        states_changed=None if effects.states is None else len(effects.states),
    )


def renumbering_of(layout: OutputLayout, effects: Effects) -> Renumbering:
    """Which numbers move: none where the output has a footer."""
    return Renumbering.none() if layout.footer else Renumbering.counted(effects)


def _keys(view: Any) -> list[bytes]:
    """The idempotency keys in use, as the store's file has them; a damaged file counts as none, as in the reference."""
    data = read_file(view.listing.directory / IDEMPOTENCY_NAME)
    try:
        return [] if data is None else [entry.key for entry in idempotency.decode(data)]
    except (FormatError, FutureVersionError):
        return []


def _uncommitted(segment: Any) -> int:
    """Items of batches that were never committed."""
    kinds = frames_between(segment).kinds
    if not len(kinds):
        return 0
    return int((~np.isin(kinds, sorted(MARKER_KINDS))).sum())
