"""What a rule keeps of a view. A rule may not know: then an event is kept.

So every rule gives two masks: what it surely keeps, and what it may keep. `not_` swaps their roles, and in the end all
is kept that may be. Unknown are events of which a payload is asked that is sealed or has no reading, as the
reference's retention keeps what was shredded (engine-read.md 13.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from batpak_analytics.compaction import rules
from batpak_analytics.compaction.payloads import judged_by_filter, judged_by_function
from batpak_analytics.compaction.rows import NOBODY, EventRows
from batpak_analytics.compaction.rules import Rule
from batpak_analytics.compaction.sample import judged_by_sample
from batpak_analytics.engine.region import in_namespace
from batpak_analytics.format.layout import U16_MAX

Mask = Any
Progress = Callable[[int, int], None]


class Kept(NamedTuple):
    """Masks over all rows: what a rule surely keeps, and what it may keep, which has all of that."""

    surely: Mask
    maybe: Mask


@dataclass(frozen=True, eq=False)
class Judging:
    """What rules are applied to: the events, those that stay whatever a rule says, and those asked for.

    Payloads are read of events in `asked` only, `sampled` if those are a sample, whose payloads the view then
    keeps. `counts` are those that `last_n_per_entity` counts.
    """

    rows: EventRows
    stays: Mask
    asked: Mask
    counts: Mask
    progress: Progress | None = None
    unknown: dict[str, Mask] = field(default_factory=dict)
    known: list[tuple[Rule, Kept]] = field(default_factory=list)
    sampled: bool = False

    def but(self, sample: Mask) -> Judging:
        """The same, with payloads read of a sample only, which the view keeps for the next estimate."""
        return replace(self, asked=self.asked & sample, sampled=True)

    def kept(self, rule: Rule) -> Mask:
        """Which rows stay: what may be kept by the rule, and what stays anyway."""
        kept: Mask = self.judge(rule).maybe | self.stays
        return kept

    def judge(self, rule: Rule) -> Kept:
        """What the rule keeps; a rule that was judged is not asked again."""
        for known, found in self.known:
            if known is rule:
                return found
        judge: Callable[[Judging, Any], Kept] = _JUDGES[type(rule)]
        found = judge(self, rule)
        self.known.append((rule, found))
        return found


def sealed_rows(rows: EventRows, segments: list[Any]) -> Any:
    """The rows in these segments, as a mask."""
    chosen = {id(one) for one in segments}
    counts = [one.count for one in rows.segments]
    return np.repeat(np.array([id(one) in chosen for one in rows.segments], bool), counts)


def judging_of(rows: EventRows, sealed: Any, *, system: bool, progress: Progress | None = None) -> Judging:
    """What rules are applied to: events outside of the sealed segments stay, and the store's own unless asked for."""
    exempt = np.zeros(rows.count, bool) if system else rows.own
    stays = ~sealed | exempt
    return Judging(rows, stays, ~stays, rows.visible & ~exempt, progress)


def struck_by(rule: Rule | None, judging: Judging, sealed: Any) -> Any:
    """The rows of the sealed segments that the rule does not keep.

    Where an event is stored twice, the copy that is not shown shares the fate of the one that is: else dropping that
    would show the other.
    """
    rows = judging.rows
    if rule is None:
        return np.zeros(rows.count, bool)
    kept = judging.kept(rule)
    twins = rows.twins
    shown = np.flatnonzero(twins != NOBODY)
    kept[shown] = kept[twins[shown]]
    struck: Any = sealed & ~kept
    return struck


def _known(mask: Mask) -> Kept:
    return Kept(mask, mask)


def _kinds(at: Judging, rule: rules.Kinds) -> Kept:
    table = np.zeros(U16_MAX + 1, bool)
    table[list(rule.kinds)] = True
    for category in rule.categories:
        table[category << 12 : (category + 1) << 12] = True
    return _known(table[at.rows.column("kind")])


def _newer_than(at: Judging, rule: rules.NewerThan) -> Kept:
    rows = at.rows
    if rule.sequence is not None:
        return _known(rows.sequence > np.uint64(rule.sequence))
    times = rows.column("wall_ms")
    moment = rule.wall_ms
    if rule.age_ms is not None:
        newest = times[rows.visible & ~rows.own]
        if rule.of_ms is None and not len(newest):
            return _known(np.ones(rows.count, bool))
        moment = (int(newest.max()) if rule.of_ms is None else rule.of_ms) - rule.age_ms
    assert moment is not None
    return _known(times > np.uint64(moment) if moment >= 0 else np.ones(rows.count, bool))


def _last_n(at: Judging, rule: rules.LastN) -> Kept:
    rows = at.rows
    order = rows.by_entity
    entity = rows.column("entity")[order]
    counted = np.cumsum(at.counts[order])
    last = np.append(entity[1:] != entity[:-1], True) if len(order) else np.zeros(0, bool)
    ends = np.flatnonzero(last)
    in_all = np.repeat(counted[ends], np.diff(ends, prepend=-1))
    kept = np.empty(rows.count, bool)
    kept[order] = in_all - counted < rule.count
    return _known(kept)


def _entities(at: Judging, rule: rules.Entities) -> Kept:
    wanted = partial(in_namespace, wanted=rule.names)
    table = np.fromiter(map(wanted, at.rows.names), bool, len(at.rows.names))
    return _known(table[at.rows.column("entity")] if len(table) else np.zeros(at.rows.count, bool))


def _chain_heads(at: Judging, _: rules.ChainHeads) -> Kept:
    kept = np.zeros(at.rows.count, bool)
    kept[at.rows.heads] = True
    return _known(kept)


def _whole_correlations(at: Judging, rule: rules.WholeCorrelations) -> Kept:
    group = at.rows.correlation

    def whole(mask: Mask) -> Mask:
        some = np.zeros(at.rows.count, bool)
        some[group[mask | at.stays]] = True
        return some[group]

    return Kept(*map(whole, at.judge(rule.of)))


def _with_causes(at: Judging, rule: rules.WithCauses) -> Kept:
    cause = at.rows.cause

    def caused(mask: Mask) -> Mask:
        found = mask | at.stays
        new = np.flatnonzero(found)
        while len(new):
            above = np.unique(cause[new])
            above = above[above != NOBODY]
            new = above[~found[above]]
            found[new] = True
        return found

    return Kept(*map(caused, at.judge(rule.of)))


def _not(at: Judging, rule: rules.Not) -> Kept:
    surely, maybe = at.judge(rule.of)
    return Kept(~maybe, ~surely)


def _all_of(at: Judging, rule: rules.AllOf) -> Kept:
    surely = maybe = np.ones(at.rows.count, bool)
    for one in rule.rules:
        found = at.judge(one)
        surely, maybe = surely & found.surely, maybe & found.maybe
    return Kept(surely, maybe)


def _any_of(at: Judging, rule: rules.AnyOf) -> Kept:
    surely = maybe = np.zeros(at.rows.count, bool)
    for one in rule.rules:
        found = at.judge(one)
        surely, maybe = surely | found.surely, maybe | found.maybe
    return Kept(surely, maybe)


def _where(at: Judging, rule: rules.Where | rules.Expression) -> Kept:
    filters = rule.filters if isinstance(rule, rules.Where) else rule.expression
    judge = judged_by_sample if at.sampled else judged_by_filter
    passed, unknown = judge(at.rows, at.asked, filters)
    return _with_unknown(at, passed, unknown)


def _function(at: Judging, rule: rules.Function) -> Kept:
    passed, unknown = judged_by_function(at.rows, at.asked, rule.function, at.progress)
    return _with_unknown(at, passed, unknown)


def _with_unknown(at: Judging, passed: Mask, unknown: dict[str, Mask]) -> Kept:
    surely, maybe = passed, passed
    for why, mask in unknown.items():
        at.unknown[why] = at.unknown.get(why, False) | mask
        surely, maybe = surely & ~mask, maybe | mask
    return Kept(surely, maybe)


_JUDGES: dict[type[Rule], Callable[[Judging, Any], Kept]] = {
    rules.Kinds: _kinds,
    rules.NewerThan: _newer_than,
    rules.LastN: _last_n,
    rules.Entities: _entities,
    rules.ChainHeads: _chain_heads,
    rules.WholeCorrelations: _whole_correlations,
    rules.WithCauses: _with_causes,
    rules.Not: _not,
    rules.AllOf: _all_of,
    rules.AnyOf: _any_of,
    rules.Where: _where,
    rules.Expression: _where,
    rules.Function: _function,
}
