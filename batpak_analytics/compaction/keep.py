"""`bp.keep`: rules of what a compaction keeps, by name.

Each gives a `Rule`, which is data: it can be compared, combined with ``&``, ``|`` and ``~``, and saved in a plan.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from fractions import Fraction
from importlib import import_module
from typing import Any

from batpak_analytics.compaction import rules, values
from batpak_analytics.compaction.rules import Rule

__all__ = [
    "all_of",
    "any_of",
    "chain_heads",
    "entities",
    "kinds",
    "last_n_per_entity",
    "newer_than",
    "not_",
    "where",
    "whole_correlations",
    "with_causes",
]


def kinds(*kinds: Any) -> Rule:
    """Events of these kinds: ints from 0 to 0xFFFF, and categories as `bp.category` gives them.

    >>> import batpak_analytics as bp
    >>> bp.keep.kinds(0xF001, bp.category(2))
    keep.kinds(0xF001, category(2))
    """
    numbers, categories = set(), set()
    for one in kinds:
        if hasattr(one, "kinds") and hasattr(one, "number"):
            categories.add(int(one.number))
        elif isinstance(one, list | tuple | set | frozenset | range):
            raise TypeError(f"kinds({one!r}): give them one by one, as in kinds(0x1001, 0x1002), or with a star.")
        else:
            numbers.add(one if isinstance(one, bool) or not hasattr(one, "__index__") else one.__index__())
    return rules.Kinds(tuple(sorted(numbers)), tuple(sorted(categories)))


def newer_than(when: datetime | str | timedelta | int, *, of: datetime | str | None = None) -> Rule:
    """Events after a moment, a sequence, or of less than an age.

    An aware `datetime` (or its text, ending in Z) keeps what is later by `wall_time`; an int keeps what has a greater
    global sequence. A `timedelta` is an age: it keeps what is younger than that at the moment `of`, and without one at
    the store's newest event that is not its own. So a plan made of an idle store a year later keeps the same.

    >>> import batpak_analytics as bp
    >>> from datetime import timedelta
    >>> bp.keep.newer_than(timedelta(days=30))
    keep.newer_than(age_ms=2592000000)
    """
    moment = None if of is None else math.floor(_milliseconds(of, "of"))
    if isinstance(when, timedelta):
        age = Fraction(when // timedelta(microseconds=1), 1000)
        return rules.NewerThan(age_ms=math.ceil(age), of_ms=moment)
    if of is not None:
        raise TypeError("of= is the moment at which an age is taken: give it with a timedelta.")
    if isinstance(when, str | datetime):
        return rules.NewerThan(wall_ms=math.floor(_milliseconds(when, "when")))
    if isinstance(when, bool) or not hasattr(when, "__index__"):
        raise TypeError(f"newer_than({when!r}): give an aware datetime, a timedelta or a sequence number.")
    return rules.NewerThan(sequence=when.__index__())


def _milliseconds(value: Any, name: str) -> Fraction:
    found: Fraction = import_module("batpak_analytics.arrow.times").milliseconds(value, name)
    return found


def last_n_per_entity(count: int) -> Rule:
    """The last `count` events of each entity, over all its lanes, by global sequence.

    The store's own events (denials are on the entity that they deny) are not counted.
    """
    return rules.LastN(count)


def entities(*names: str) -> Rule:
    """Events of these entities and of those below them: ``order`` is also ``order:7``, as in `events(entity=)`."""
    return rules.Entities(tuple(names))


def chain_heads() -> Rule:
    """The last event of each (entity, lane), which the next append links to and counts its clock from."""
    return rules.ChainHeads()


def whole_correlations(rule: Any) -> Rule:
    """What `rule` keeps, and with any event that stays all events of its correlation: none is torn.

    Events of the active segment stay, so their correlations stay whole too.
    """
    return rules.WholeCorrelations(as_rule(rule))


def with_causes(rule: Any) -> Rule:
    """What `rule` keeps, and the causes of every event that stays, back to their roots: no cause is left dangling."""
    return rules.WithCauses(as_rule(rule))


def all_of(*given: Any) -> Rule:
    """What every one of these rules keeps."""
    return rules.AllOf(tuple(map(as_rule, given)))


def any_of(*given: Any) -> Rule:
    """What any of these rules keeps."""
    return rules.AnyOf(tuple(map(as_rule, given)))


def not_(rule: Any) -> Rule:
    """What `rule` does not keep; what it cannot judge is kept nevertheless."""
    return rules.Not(as_rule(rule))


def where(filters: Any) -> Rule:
    """Events that pass a filter, given as `events(filters=)` takes it: a list of tuples, or a pyarrow expression.

    An event whose payload is sealed or has no reading is kept where the filter asks for payload fields.

    >>> import batpak_analytics as bp
    >>> bp.keep.where([("payload.hp", ">", 80)]) | bp.keep.kinds(0xF002)
    keep.any_of(keep.where([('payload.hp', '>', 80)]), keep.kinds(0xF002))
    """
    parsed = import_module("batpak_analytics.arrow.filters").parse_filters(filters)
    if parsed is None:
        return rules.AllOf(())
    if not hasattr(parsed, "groups"):
        return rules.Expression(filters)
    return rules.Where(
        tuple(tuple((one.column, one.operator, values.plain(one.value)) for one in group) for group in parsed.groups)
    )


def as_rule(given: Any) -> Rule:
    """What `keep=` takes, as a rule: a rule, a filter in either form, or a function of an event."""
    if isinstance(given, Rule):
        return given
    if isinstance(given, list | tuple):
        return where(list(given))
    if type(given).__module__.startswith("pyarrow"):
        return where(given)
    if callable(given):
        return rules.Function(given)
    raise TypeError(
        f"keep={given!r}: give a rule of bp.keep, a filter as events(filters=) takes it, or a function of an event "
        f"that returns true for those to keep."
    )
