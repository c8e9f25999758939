"""`filters=` and `bp.category`: conditions on any column, as DNF tuples or as a pyarrow expression.

Conditions are evaluated by Arrow over a table in which entity, scope and the other dictionary columns are
plain strings, so every string function works on them. What needs only the index is evaluated before any
frame is read.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batpak_analytics.arrow.comparisons import OPERATORS, comparison
from batpak_analytics.arrow.schema import (
    FIELD_PREFIX,
    FRAME_SCHEMA,
    INDEX_SCHEMA,
    PAYLOAD,
    Tier,
    base_field,
    base_names,
    is_field,
    tier_of,
    unknown_column,
)
from batpak_analytics.errors import UnknownColumnError

_SHAPE = 'filters=[("kind", "=", 1), ("payload.amount", ">", 10)]'


@dataclass(frozen=True, slots=True)
class Category:
    """All event kinds of one category; made by `category(n)` and given as `kind=`."""

    number: int

    def kinds(self) -> range:
        """The 4 096 kinds of the category."""
        return range(self.number << 12, (self.number + 1) << 12)


def category(number: int) -> Category:
    """Every event kind whose top four bits are `number`, for `kind=`.

    Raises `ValueError` unless `0 <= number <= 15`. Costs nothing: kinds come from the index tier.

    >>> import batpak_analytics as bp
    >>> len(bp.read_batpak(bp.demo_store(), kind=bp.category(0xF)))
    4
    """
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"category({number!r}): give an int from 0 to 15.")
    if not 0 <= number <= 15:
        raise ValueError(f"category({number}): a category is four bits. Give an int from 0 to 15.")
    return Category(number)


@dataclass(frozen=True, slots=True)
class Predicate:
    """One condition `column op value` of a DNF filter."""

    column: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class RowFilter:
    """A condition bound to types: which columns it reads, and the expression over them."""

    names: tuple[str, ...]
    expression: Any

    def positions(self, columns: Mapping[str, Any], count: int) -> npt.NDArray[np.int64]:
        """Which of `count` rows pass, ascending; `columns` holds at least the arrays of `names`."""
        arrays = {name: plain(columns[name]) for name in self.names}
        rows = pa.array(np.arange(count))
        table = pa.table([*arrays.values(), rows], names=[*arrays, _ROW])
        try:
            passed = table.filter(self.expression)[_ROW].to_numpy()
        except pa.ArrowException as error:
            raise ValueError(_unusable(error)) from error
        found: npt.NDArray[np.int64] = np.sort(passed)
        return found


_ROW = "\0row"


def plain_type(kind: Any) -> Any:
    """The type a column has inside a filter: dictionaries are their values."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def plain(array: Any) -> Any:
    """`array` as filters see it."""
    return array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array


@dataclass(frozen=True, slots=True)
class TupleFilters:
    """OR of ANDs of predicates (disjunctive normal form)."""

    groups: tuple[tuple[Predicate, ...], ...]

    def index_part(self) -> RowFilter | None:
        """The condition on index columns that every passing row meets, or None where there is none."""
        indexed = [[p for p in group if tier_of(p.column) == Tier.INDEX] for group in self.groups]
        return _any_of(indexed, {}) if all(indexed) else None

    def rest(self, fields: Mapping[str, Any]) -> RowFilter | None:
        """What is left to check on decoded rows; `fields` gives the Arrow type of each payload column."""
        if self.tier == Tier.INDEX:
            return None
        if len(self.groups) > 1:
            return _any_of(self.groups, fields)
        # A single AND: its index predicates have been checked already.
        return _any_of([[p for p in self.groups[0] if tier_of(p.column) != Tier.INDEX]], fields)

    @property
    def tier(self) -> Tier:
        """The dearest tier that a column of the condition comes from."""
        return max(tier_of(p.column) for group in self.groups for p in group)

    @property
    def key(self) -> tuple[Any, ...]:
        """A hashable form, for caches."""
        return tuple(tuple((p.column, p.operator, repr(p.value)) for p in group) for group in self.groups)

    def __str__(self) -> str:
        ands = [" and ".join(f"{p.column} {p.operator} {p.value!r}" for p in group) for group in self.groups]
        return ands[0] if len(ands) == 1 else " or ".join(f"({text})" for text in ands)


@dataclass(frozen=True, slots=True)
class ExpressionFilters:
    """A pyarrow expression. Its columns are found by binding it to empty tables; Arrow offers no other
    way.
    """

    expression: Any
    tier: Tier

    def index_part(self) -> RowFilter | None:
        """The whole condition where the index answers it, else None: an expression cannot be taken apart."""
        if self.tier != Tier.INDEX:
            return None
        return RowFilter(_columns_of(self.expression, _plain_schema(INDEX_SCHEMA)), self.expression)

    def rest(self, fields: Mapping[str, Any]) -> RowFilter | None:
        """What is left to check on decoded rows; `fields` gives the Arrow type of each payload column."""
        if self.tier == Tier.INDEX:
            return None
        schema = pa.schema([*_BASE_PLAIN, *(pa.field(name, plain_type(t)) for name, t in fields.items())])
        missing = _missing_column(self.expression, schema)
        if missing is not None:
            raise unknown_column(missing, [*base_names(), *fields], where="filters=")
        return RowFilter(_columns_of(self.expression, schema), self.expression)

    @property
    def key(self) -> tuple[Any, ...]:
        """A hashable form, for caches."""
        return (pickle.dumps(self.expression),)  # its text leaves out the middle of long value lists

    def __str__(self) -> str:
        return str(self.expression)


Filters = TupleFilters | ExpressionFilters


def _any_of(groups: Iterable[Sequence[Predicate]], fields: Mapping[str, Any]) -> RowFilter:
    names: dict[str, None] = {}
    either = None
    for group in groups:
        every = None
        for predicate in group:
            names[predicate.column] = None
            kind = _type_of(predicate.column, fields)
            term = comparison(predicate.column, predicate.operator, predicate.value, kind)
            every = term if every is None else every & term
        either = every if either is None else either | every
    return RowFilter(tuple(names), either)


def _type_of(name: str, fields: Mapping[str, Any]) -> Any:
    if tier_of(name) != Tier.PAYLOAD:
        return plain_type(base_field(name).type)
    if name not in fields:
        raise unknown_column(name, [*base_names(), *fields], where="filters=")
    return plain_type(fields[name])


def parse_filters(filters: Any) -> Filters | None:
    """Check the shape, the operators and the index and frame names of `filters=`; None where there is
    nothing.
    """
    if filters is None:
        return None
    if isinstance(filters, pc.Expression):
        return _parse_expression(filters)
    if not isinstance(filters, list | tuple):
        raise TypeError(f"filters={filters!r}: give a list of tuples or a pyarrow expression, as {_SHAPE}.")
    if not filters:
        return None
    nested = all(isinstance(group, list) for group in filters)
    groups = [list(group) for group in filters] if nested else [list(filters)]
    if not all(groups):
        return None  # an empty AND is true, and so is an OR with one
    parsed = TupleFilters(tuple(tuple(_parse_predicate(item) for item in group) for group in groups))
    # Values of the index and frame columns are checked now, payload fields once their types are known.
    known = {p.column: pa.null() for group in parsed.groups for p in group if tier_of(p.column) == Tier.PAYLOAD}
    _any_of(parsed.groups, known)
    return parsed


def _parse_predicate(item: Any) -> Predicate:
    if not isinstance(item, tuple | list) or len(item) != 3:
        raise ValueError(f"filters= holds {item!r}, which is not (column, operator, value), as in {_SHAPE}.")
    column, operator, value = item
    if not isinstance(column, str) or not isinstance(operator, str):
        raise TypeError(f"filters= holds {item!r}: column and operator are strings, as in {_SHAPE}.")
    operator = "=" if operator == "==" else operator
    if operator not in OPERATORS:
        raise ValueError(f"filters= has the operator {operator!r}. Use one of {', '.join(OPERATORS)}.")
    if column not in base_names() and not is_field(column):
        raise _no_such(column)
    if operator in ("in", "not in"):
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise TypeError(f"filters= has {column!r} {operator} {value!r}: give a list of values.")
        value = tuple(value)
    return Predicate(column, operator, value)


def _parse_expression(expression: Any) -> ExpressionFilters:
    if _missing_column(expression, _plain_schema(INDEX_SCHEMA)) is None:
        return ExpressionFilters(expression, Tier.INDEX)
    missing = _missing_column(expression, pa.schema(_BASE_PLAIN))
    if missing is None:
        return ExpressionFilters(expression, Tier.FRAME)
    if missing != PAYLOAD and not is_field(missing):
        raise _no_such(missing)
    return ExpressionFilters(expression, Tier.PAYLOAD)


def _no_such(name: str) -> UnknownColumnError:
    error = unknown_column(name, base_names(), where="filters=")
    if error.suggestions:
        return error
    # No payload was looked at yet; a bare field name is the likeliest mistake.
    return UnknownColumnError(f"{error} A payload field is named {FIELD_PREFIX + name!r}.", actual=name)


def _plain_schema(schema: Any) -> Any:
    return pa.schema([pa.field(field.name, plain_type(field.type)) for field in schema])


_BASE_PLAIN = [*_plain_schema(INDEX_SCHEMA), *_plain_schema(FRAME_SCHEMA)]
_MISSING = re.compile(r"No match for FieldRef\.(?:Nested\(FieldRef\.)?Name\((.*?)\)[ )]*(?:FieldRef|in )", re.DOTALL)


def _missing_column(expression: Any, schema: Any) -> str | None:
    """The name of one column that `expression` reads and `schema` lacks, or None where it binds."""
    try:
        schema.empty_table().filter(expression)
    except pa.ArrowInvalid as error:
        found = _MISSING.search(str(error))
        if found is None:
            raise ValueError(_unusable(error)) from error
        return found.group(1)
    except pa.ArrowException as error:
        raise ValueError(_unusable(error)) from error
    return None


def _columns_of(expression: Any, schema: Any) -> tuple[str, ...]:
    """The columns that `expression` reads: those without which it does not bind."""
    return tuple(
        field.name
        for position, field in enumerate(schema)
        if _missing_column(expression, schema.remove(position)) is not None
    )


def _unusable(error: Exception) -> str:
    return (
        f"filters= cannot be applied: {error}. Compare ids and hashes with bytes, times with aware datetimes "
        f"and numbers with numbers, or use tuples, which convert: {_SHAPE}."
    )
