"""Rules of what to keep, as data: frozen values with one stable JSON form each. `judge` applies them.

A rule says of every event whether it is kept. What is kept anyway (the active segment, the store's own events) is not
asked for; an event that cannot be judged, because its payload is sealed or has no reading, is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from batpak_analytics.compaction import values
from batpak_analytics.format.layout import CATEGORY_MAX, U16_MAX, U64_MAX

JsonForm = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of what to keep, made by the functions of `bp.keep`. ``&``, ``|`` and ``~`` combine rules."""

    name: ClassVar[str] = ""
    portable: ClassVar[bool] = True
    """Whether its JSON form says all of it: that of a function does not."""

    def __and__(self, other: Rule) -> Rule:
        return AllOf((self, other)) if isinstance(other, Rule) else NotImplemented

    def __or__(self, other: Rule) -> Rule:
        return AnyOf((self, other)) if isinstance(other, Rule) else NotImplemented

    def __invert__(self) -> Rule:
        return Not(self)

    def __bool__(self) -> bool:
        # `a and b` would be b alone, without a word: more would go than was said.
        raise TypeError(f"{self!r} is a rule, neither true nor false. Combine rules with &, | and ~, not in words.")

    @property
    def parts(self) -> tuple[Rule, ...]:
        """The rules that it is made of."""
        return ()

    @property
    def is_portable(self) -> bool:
        """Whether it can be read back from its JSON form, with all its parts."""
        return self.portable and all(part.is_portable for part in self.parts)

    def to_json(self) -> JsonForm:
        """Its stable form: a dict of what JSON knows, with its name under ``rule``."""
        return {"rule": self.name} | {one.name: _json(getattr(self, one.name)) for one in fields(self)}

    def __repr__(self) -> str:
        return f"keep.{self.name}({self._arguments()})"

    def _arguments(self) -> str:
        return ", ".join(map(repr, self.parts))


@dataclass(frozen=True, slots=True, repr=False)
class Kinds(Rule):
    """Events of these kinds, or of these categories."""

    name: ClassVar[str] = "kinds"
    kinds: tuple[int, ...] = ()
    categories: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check_numbers(self.kinds, U16_MAX, "kinds")
        _check_numbers(self.categories, CATEGORY_MAX, "categories")

    def _arguments(self) -> str:
        return ", ".join([*(f"0x{one:04X}" for one in self.kinds), *(f"category({one})" for one in self.categories)])


@dataclass(frozen=True, slots=True, repr=False)
class NewerThan(Rule):
    """Events after a moment, after a sequence, or younger than an age at a moment (None: at the newest event)."""

    name: ClassVar[str] = "newer_than"
    wall_ms: int | None = None
    sequence: int | None = None
    age_ms: int | None = None
    of_ms: int | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("wall_ms", "sequence", "age_ms") if getattr(self, name) is not None]
        if len(given) != 1 or (self.of_ms is not None and self.age_ms is None):
            raise ValueError("newer_than takes one of a time, a sequence and an age; only an age has a moment.")
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise TypeError(f"{one.name}={value!r}: give an int.")
            if value is not None and abs(value) > U64_MAX:
                raise ValueError(f"{one.name}={value!r} is out of range. Give an int of at most 64 bits.")
        if self.sequence is not None and not 0 <= self.sequence <= U64_MAX:
            raise ValueError(f"sequence={self.sequence}: give an int from 0 to 2**64 - 1.")
        if self.age_ms is not None and self.age_ms < 0:
            raise ValueError(f"age_ms={self.age_ms}: an age is not negative.")

    def _arguments(self) -> str:
        return ", ".join(
            f"{one.name}={getattr(self, one.name)}" for one in fields(self) if getattr(self, one.name) is not None
        )


@dataclass(frozen=True, slots=True, repr=False)
class LastN(Rule):
    """The last `count` events of each entity."""

    name: ClassVar[str] = "last_n_per_entity"
    count: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int):
            raise TypeError(f"last_n_per_entity({self.count!r}): give an int.")
        if not 0 <= self.count <= U64_MAX:
            raise ValueError(f"last_n_per_entity({self.count}): give an int from 0 on.")

    def _arguments(self) -> str:
        return str(self.count)


@dataclass(frozen=True, slots=True, repr=False)
class Entities(Rule):
    """Events of these entities and of those below them."""

    name: ClassVar[str] = "entities"
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(isinstance(one, str) for one in self.names):
            given = ", ".join(map(repr, self.names))
            raise TypeError(f'entities({given}): give texts, one by one, as in entities("order", "user:7").')

    def _arguments(self) -> str:
        return ", ".join(map(repr, self.names))


@dataclass(frozen=True, slots=True, repr=False)
class ChainHeads(Rule):
    """The last event of each (entity, lane), hidden ones counted: the one that the next append links to."""

    name: ClassVar[str] = "chain_heads"


@dataclass(frozen=True, slots=True, repr=False)
class _Of(Rule):
    """A rule of one other rule."""

    of: Rule

    def __post_init__(self) -> None:
        _check_rules((self.of,))

    @property
    def parts(self) -> tuple[Rule, ...]:
        return (self.of,)


@dataclass(frozen=True, slots=True, repr=False)
class WholeCorrelations(_Of):
    """What `of` keeps, and every event of a correlation of which any event stays."""

    name: ClassVar[str] = "whole_correlations"


@dataclass(frozen=True, slots=True, repr=False)
class WithCauses(_Of):
    """What `of` keeps, and the causes of every event that stays, back to their roots."""

    name: ClassVar[str] = "with_causes"


@dataclass(frozen=True, slots=True, repr=False)
class Not(_Of):
    """What `of` does not keep."""

    name: ClassVar[str] = "not_"


@dataclass(frozen=True, slots=True, repr=False)
class _Several(Rule):
    """A rule of others."""

    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        _check_rules(self.rules)

    @property
    def parts(self) -> tuple[Rule, ...]:
        return self.rules


@dataclass(frozen=True, slots=True, repr=False)
class AllOf(_Several):
    """What every one of the rules keeps; of none, everything."""

    name: ClassVar[str] = "all_of"


@dataclass(frozen=True, slots=True, repr=False)
class AnyOf(_Several):
    """What any of the rules keeps; of none, nothing."""

    name: ClassVar[str] = "any_of"


@dataclass(frozen=True, slots=True, repr=False)
class Where(Rule):
    """Events that pass a filter in its list form, OR of ANDs of (column, operator, value)."""

    name: ClassVar[str] = "where"
    groups: tuple[tuple[tuple[str, str, Any], ...], ...] = ()

    def to_json(self) -> JsonForm:
        """As of any rule; values that JSON does not know under the name of their type."""
        groups = [
            [[column, operator, values.to_json(value)] for column, operator, value in group] for group in self.groups
        ]
        return {"rule": self.name, "groups": groups}

    @property
    def filters(self) -> list[list[tuple[str, str, Any]]]:
        """As `events(filters=)` takes it."""
        return [list(group) for group in self.groups]

    def _arguments(self) -> str:
        return repr(self.filters[0] if len(self.groups) == 1 else self.filters)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Expression(Rule):
    """Events that pass a pyarrow expression; only its text can be written down."""

    name: ClassVar[str] = "expression"
    portable: ClassVar[bool] = False
    expression: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and bool(self.expression.equals(other.expression))

    def __hash__(self) -> int:
        return hash(str(self.expression))

    def to_json(self) -> JsonForm:
        """Its name and its text, which nothing reads back."""
        return {"rule": self.name, "text": str(self.expression)}

    def _arguments(self) -> str:
        return str(self.expression)


@dataclass(frozen=True, slots=True, repr=False)
class Function(Rule):
    """Events for which a function returns true; only its name can be written down."""

    name: ClassVar[str] = "function"
    portable: ClassVar[bool] = False
    function: Any = None

    def to_json(self) -> JsonForm:
        """Its name and that of the function."""
        return {"rule": self.name, "text": self._arguments()}

    def _arguments(self) -> str:
        made = self.function
        return f"{getattr(made, '__module__', '')}.{getattr(made, '__qualname__', type(made).__qualname__)}"


PORTABLE: dict[str, type[Rule]] = {
    one.name: one
    for one in (Kinds, NewerThan, LastN, Entities, ChainHeads, WholeCorrelations, WithCauses, Not, AllOf, AnyOf, Where)
}


def rule_from_json(form: Mapping[str, Any]) -> Rule:
    """The rule of a JSON form; `ValueError` for one that is none, or is that of a function or an expression."""
    if not isinstance(form, Mapping) or not isinstance(form.get("rule"), str) or form["rule"] not in PORTABLE:
        raise ValueError(f"{str(form)[:80]} is no rule that can be read back. Give the rule itself.")
    kind = PORTABLE[form["rule"]]
    given = {name: value for name, value in form.items() if name != "rule"}
    if set(given) != {one.name for one in fields(kind)}:
        raise ValueError(
            f"The rule {kind.name} has the fields {[one.name for one in fields(kind)]}, not {list(given)}."
        )
    if kind is Where:
        return _where_from(given["groups"])
    return kind(**{name: _from_json(name, value) for name, value in given.items()})


def _where_from(groups: Any) -> Where:
    made = tuple(
        tuple((column, operator, values.from_json(value)) for column, operator, value in group) for group in groups
    )
    if not all(isinstance(text, str) for group in made for condition in group for text in condition[:2]):
        raise TypeError(f"{str(groups)[:80]}: columns and operators are texts.")
    return Where(made)


def says_all(form: Any) -> bool:
    """Whether no function and no expression is in the form of a rule."""
    if isinstance(form, list):
        return all(map(says_all, form))
    if not isinstance(form, dict):
        return True
    return form.get("rule") not in (Function.name, Expression.name) and all(map(says_all, form.values()))


def rule_text(rule: Rule) -> str:
    """Its JSON form as the one text that a plan has of it."""
    return json.dumps(rule.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _json(value: Any) -> Any:
    if isinstance(value, Rule):
        return value.to_json()
    return [_json(one) for one in value] if isinstance(value, tuple) else value


def _from_json(name: str, value: Any) -> Any:
    if name == "of":
        return rule_from_json(value)
    if name == "rules":
        return tuple(map(rule_from_json, value))
    return tuple(value) if isinstance(value, list) else value


def _check_numbers(given: Iterable[Any], top: int, name: str) -> None:
    for one in given:
        if isinstance(one, bool) or not isinstance(one, int):
            raise TypeError(f"{name} has {one!r}: give ints.")
        if not 0 <= one <= top:
            raise ValueError(f"{name} has {one}: give ints from 0 to {top}.")


def _check_rules(rules: Iterable[Any]) -> None:
    for one in rules:
        if not isinstance(one, Rule):
            raise TypeError(f"{one!r} is no rule. Give one of bp.keep, or a filter through keep.where().")
