"""What could be kept besides, with its price: each suggestion is a plan that was made, not a promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from batpak_analytics.compaction import keep
from batpak_analytics.compaction.plan import CompactionPlan
from batpak_analytics.compaction.planning import planned_instead
from batpak_analytics.compaction.rules import Rule
from batpak_analytics.errors import CompactionPlanError


@dataclass(frozen=True, slots=True, repr=False)
class Suggestion:
    """A rule that keeps a little more, the plan that it makes, and what it costs compared with the plan it is for.

    `cures` is the name of the number in the summary that falls to `left`, from `was`. `events` and `bytes` are how many
    more events and bytes stay.
    """

    what: str
    rule: Rule
    plan: CompactionPlan
    cures: str
    was: int
    left: int
    events: int
    bytes: int

    def __repr__(self) -> str:
        return (
            f"{self.what}: {self.events:+,} events, {self.bytes:+,} bytes, {self.left:,} {self.cures} "
            f"instead of {self.was:,}"
        )


def suggestions(plan: CompactionPlan) -> list[Suggestion]:
    """What `CompactionPlan.suggestions` gives."""
    if plan.strategy == "merge" or plan.outcome == "skipped" or plan.sampled is not None:
        return []
    if plan.rule is None:
        raise CompactionPlanError(
            "This plan was loaded, and no file holds its rule, a function or an expression. Plan again with it."
        )
    found = []
    for what, cures, rule in _ideas(plan, plan.rule):
        other = planned_instead(plan, rule)
        was, left = getattr(plan.numbers, cures), getattr(other.numbers, cures)
        if left < was:
            events = other.numbers.events_kept - plan.numbers.events_kept
            more = other.numbers.bytes_after - plan.numbers.bytes_after
            found.append(Suggestion(what, rule, other, cures, was, left, events, more))
    return found


def _ideas(plan: CompactionPlan, rule: Rule) -> Iterator[tuple[str, str, Rule]]:
    """(what to do, the number that it lowers, the rule) for what is not zero."""
    numbers: Any = plan.numbers
    if numbers.encrypted_unreadable:
        sealed = keep.where([("disposition", "in", ["encrypted", "shredded"])])
        yield "leave encrypted events as they are", "encrypted_unreadable", keep.any_of(rule, sealed)
    if numbers.dangling_causes:
        yield "keep the causes too", "dangling_causes", keep.with_causes(rule)
    if numbers.correlations_torn:
        yield "keep whole correlations", "correlations_torn", keep.whole_correlations(rule)
    if numbers.heads_dropped:
        yield "keep the heads of chains", "heads_dropped", keep.any_of(rule, keep.chain_heads())
    if numbers.entities_emptied:
        yield "keep the last event of each entity", "entities_emptied", keep.any_of(rule, keep.last_n_per_entity(1))
