"""Rules and their effects once more, event by event and as slowly as they are easily read."""

from __future__ import annotations

from collections.abc import Callable

from batpak_analytics.compaction import rules
from batpak_analytics.compaction.rules import Rule
from tests.compaction.stores import Row

ZERO = bytes(16)


def keeps(rule: Rule, rows: list[Row]) -> list[bool]:
    """Which rows a rule on the index keeps, before what stays anyway."""
    if isinstance(rule, rules.AllOf):
        return _combined(all, rule.rules, rows)
    if isinstance(rule, rules.AnyOf):
        return _combined(any, rule.rules, rows)
    if isinstance(rule, rules.Not):
        return [not one for one in keeps(rule.of, rows)]
    if isinstance(rule, rules.WholeCorrelations):
        kept = stay(keeps(rule.of, rows), rows)
        whole = {row.correlation for row, one in zip(rows, kept, strict=True) if one}
        return [row.correlation in whole for row in rows]
    if isinstance(rule, rules.WithCauses):
        return _with_causes(stay(keeps(rule.of, rows), rows), rows)
    return [_keeps_one(rule, row, rows) for row in rows]


def _combined(how: Callable[[list[bool]], bool], parts: tuple[Rule, ...], rows: list[Row]) -> list[bool]:
    judged = [keeps(part, rows) for part in parts]
    return [how([one[at] for one in judged]) for at in range(len(rows))]


def stay(kept: list[bool], rows: list[Row]) -> list[bool]:
    """With what stays anyway."""
    return [one or row.stays_anyway for one, row in zip(kept, rows, strict=True)]


def _with_causes(kept: list[bool], rows: list[Row]) -> list[bool]:
    found = list(kept)
    while True:
        wanted = {row.cause for row, one in zip(rows, found, strict=True) if one and row.cause != ZERO}
        more = [at for at, row in enumerate(rows) if row.visible and not found[at] and row.id in wanted]
        if not more:
            return found
        for at in more:
            found[at] = True


def _keeps_one(rule: Rule, row: Row, rows: list[Row]) -> bool:
    if isinstance(rule, rules.Kinds):
        return row.kind in rule.kinds or row.kind >> 12 in rule.categories
    if isinstance(rule, rules.Entities):
        return any(row.entity == name or row.entity.startswith(name + ":") for name in rule.names)
    if isinstance(rule, rules.NewerThan):
        return _newer(rule, row, rows)
    if isinstance(rule, rules.LastN):
        later = [
            one
            for one in rows
            if one.visible and not one.own and one.entity == row.entity and one.sequence > row.sequence
        ]
        return len(later) < rule.count
    assert isinstance(rule, rules.ChainHeads)
    chain = [one for one in rows if (one.entity, one.lane) == (row.entity, row.lane)]
    return max(chain, key=lambda one: (one.clock, one.sequence)) is row


def _newer(rule: rules.NewerThan, row: Row, rows: list[Row]) -> bool:
    if rule.sequence is not None:
        return row.sequence > rule.sequence
    if rule.wall_ms is not None:
        return row.wall_ms > rule.wall_ms
    assert rule.age_ms is not None
    moment = rule.of_ms
    if moment is None:
        moment = max((one.wall_ms for one in rows if one.visible and not one.own), default=None)
    return moment is None or row.wall_ms > moment - rule.age_ms


def effects(rows: list[Row], dropped: list[bool]) -> dict[str, int]:
    """The counts of a summary that follow from what goes."""
    stays = [row for row, gone in zip(rows, dropped, strict=True) if not gone]
    goes = [row for row, gone in zip(rows, dropped, strict=True) if gone]
    shown, lost = [row for row in stays if row.visible], {row.id for row in goes if row.visible}
    by_place = {(row.entity, row.lane, row.clock): row for row in goes}
    hashes = {row.event_hash for row in shown}
    unlinked = []
    for row in shown:
        parent = by_place.get((row.entity, row.lane, row.clock - 1))
        if parent is not None and parent.event_hash == row.prev_hash:
            unlinked.append(row)
    chains = {(row.entity, row.lane) for row in rows}
    heads = [max((r for r in rows if (r.entity, r.lane) == chain), key=lambda r: r.clock) for chain in chains]
    gone = {row.id for row in goes}
    before, after = ({row.entity for row in some if row.visible} for some in (rows, stays))
    parts = {row.correlation for row in goes if row.visible} & {row.correlation for row in shown}
    return {
        "links_broken": sum(row.prev_hash not in hashes for row in unlinked),
        "links_ambiguous": sum(row.prev_hash in hashes for row in unlinked),
        "heads_dropped": sum(row.id in gone for row in heads),
        "dangling_causes": sum(row.cause in lost for row in shown),
        "entities_emptied": len(before - after),
        "correlations_torn": len(parts),
    }
