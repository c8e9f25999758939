"""An estimate of a plan from some of its events, marked as one wherever it is shown.

Whole correlations are looked at, chosen by their id: whatever a rule asks of an event's neighbours in its correlation
is then exact. A rule on the index alone looks at the whole index, which costs little; still the sources are not read,
so that the result is an estimate too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from batpak_analytics.arrow.schema import Tier, tier_of
from batpak_analytics.compaction.judge import judging_of, sealed_rows
from batpak_analytics.compaction.plan import CompactionPlan, PlanSummary
from batpak_analytics.compaction.rows import EventRows
from batpak_analytics.compaction.rules import Expression, Function, Rule, Where
from batpak_analytics.format.layout import FOOTER_CRC_SIZE, FOOTER_ENTRY_SIZE, FOOTER_TRAILER_SIZE, U64_MAX

MIX = np.uint64(0x9E3779B97F4A7C15)


def sampled_rows(rows: EventRows, share: float) -> Any:
    """The rows of about that share of the correlations, the same ones each time."""
    ids = rows.column("correlation_id")
    folds = (ids[:, 0] ^ (ids[:, 1] >> np.uint64(29))) * MIX
    folds = (folds ^ (folds >> np.uint64(32)) ^ ids[:, 1]) * MIX
    return folds < np.uint64(min(int(share * U64_MAX), U64_MAX))


def estimated(
    plan: CompactionPlan, rows: EventRows, share: float, progress: Callable[[int, int], None] | None
) -> CompactionPlan:
    """The plan with numbers scaled up from a sample; its sources are not frozen, so that it cannot be applied."""
    view = rows.view
    mine = {source.segment_id for source in plan.sources}
    segments = [one for one in view.segments if one.segment_id in mine]
    sealed = sealed_rows(rows, segments)
    by_payload = plan.rule is not None and _asks_for_payloads(plan.rule)
    sample = sealed & sampled_rows(rows, share) if by_payload else sealed
    judging = judging_of(rows, sealed, system=plan.system, progress=progress).but(sample)
    struck = np.zeros(rows.count, bool) if plan.rule is None else sample & ~judging.kept(plan.rule)
    events, looked = int(sealed.sum()), int(sample.sum())
    seen = looked / events if events else 1.0
    lengths = rows.column("length")
    count = round(struck.sum() / seen) if looked else 0
    size = round(int(lengths[struck].sum()) / seen) if looked else 0
    before, gross = sum(one.size_bytes for one in view.segments), sum(one.size_bytes for one in segments)
    after = before - gross + _output_size(plan, rows, segments, sealed, count, size)
    tombstoned = count if plan.strategy == "tombstone" else 0
    numbers = PlanSummary(
        events_kept=events - count, events_dropped=count - tombstoned, events_tombstoned=tombstoned,
        bytes_before=before, bytes_after=after, bytes_net=after - before, bytes_gross=gross,
        segments_before=len(view.segments), segments_after=len(view.segments) - len(segments) + 1,
        entities_emptied=None, links_broken=None, links_ambiguous=None, heads_dropped=None, dangling_causes=None,
        correlations_torn=None,
        sequences_renumbered=None, hidden_ranges_stale=None, cursors_stale=None, idempotency_keys_kept=None,
        encrypted_unreadable=None, uncommitted_left_out=None, states_changed=None, estimated_from=seen,
    )  # fmt: skip
    return plan.but(numbers=numbers, sampled=seen)


def _output_size(
    plan: CompactionPlan, rows: EventRows, segments: list[Any], sealed: Any, struck: int, struck_bytes: int
) -> int:
    """About how long the output is: header, frames, markers where they stay, and the footer."""
    frames = int(rows.column("length")[sealed].sum())
    events = int(sealed.sum())
    header: int = segments[0].frames_start
    if plan.strategy == "merge":
        frames = sum(max(one.frames_end - one.frames_start, 0) for one in segments)
    if plan.strategy == "retention":
        frames, events = frames - struck_bytes, events - struck
    names = sum(3 + len(text.encode()) for text in rows.names)
    return header + frames + events * FOOTER_ENTRY_SIZE + names + FOOTER_CRC_SIZE + FOOTER_TRAILER_SIZE


def _asks_for_payloads(rule: Rule) -> bool:
    """Whether frames have to be read to apply the rule."""
    if isinstance(rule, Where):
        return any(tier_of(column) != Tier.INDEX for group in rule.groups for column, _, _ in group)
    if isinstance(rule, Function | Expression):
        return True
    return any(map(_asks_for_payloads, rule.parts))
