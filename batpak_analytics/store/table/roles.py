"""What each part of an event is taken from: a column of the table, or one value for all rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batpak_analytics.errors import AppendRefusedError, UnknownColumnError

_MOST_NAMES = 20  # in an error


@dataclass(frozen=True, slots=True)
class FromColumn:
    """The value of each row."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    """The same value for all rows."""

    value: Any


def column(name: str) -> FromColumn:
    """A column of the table, for any argument of `Store.append_frame` that says what a part of an event is.

    >>> import batpak_analytics as bp
    >>> bp.column("region")
    FromColumn(name='region')
    """
    return FromColumn(name)


def literal(value: Any) -> Literal:
    """One value for all rows, for any argument of `Store.append_frame` that says what a part of an event is.

    >>> import batpak_analytics as bp
    >>> bp.literal("order:1")
    Literal(value='order:1')
    """
    return Literal(value)


@dataclass(frozen=True, slots=True)
class Roles:
    """Where the parts of each event come from."""

    entity: FromColumn | Literal
    scope: FromColumn | Literal
    kind: FromColumn | Literal
    correlation_id: FromColumn | Literal
    causation_id: FromColumn | Literal
    payload: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """Every column that is read."""
        return list(dict.fromkeys([*self.payload, *(one.name for one in self._parts() if isinstance(one, FromColumn))]))

    def _parts(self) -> tuple[FromColumn | Literal, ...]:
        return self.entity, self.scope, self.kind, self.correlation_id, self.causation_id


def roles_of(
    names: Sequence[str],
    *,
    entity: Any,
    scope: Any,
    kind: Any,
    correlation_id: Any,
    causation_id: Any,
    payload: Sequence[str] | None,
) -> Roles:
    """Plain text names a column, except for `scope`; anything else is a value for all rows.

    Raises `UnknownColumnError` for a column that is not there, with the nearest, and `AppendRefusedError` for one that
    is there twice.
    """
    if isinstance(payload, str) or not all(isinstance(name, str) for name in payload or ()):
        raise TypeError("payload is not a list of names. Pass the columns that the payloads are made of, or None.")
    parts = {
        "entity": _column_first(entity),
        "scope": scope if isinstance(scope, FromColumn | Literal) else Literal(scope),
        "kind": _column_first(kind),
        "correlation_id": _column_first(correlation_id),
        "causation_id": _column_first(causation_id),
    }
    used = {part.name for part in parts.values() if isinstance(part, FromColumn)}
    rest = [name for name in names if name not in used] if payload is None else list(payload)
    roles = Roles(**parts, payload=tuple(rest))
    for name in roles.columns:
        if name not in names:
            raise _no_column(name, names, parts)
    twice = sorted({name for name in rest if rest.count(name) > 1} | {one for one in used if names.count(one) > 1})
    if twice:
        raise AppendRefusedError(f"The column {twice[0]!r} is there twice, and a payload has a key once. Rename one.")
    return roles


def _no_column(name: str, names: Sequence[str], parts: Mapping[str, FromColumn | Literal]) -> UnknownColumnError:
    error = UnknownColumnError.for_name(name, names)
    role = next((role for role, part in parts.items() if isinstance(part, FromColumn) and part.name == name), None)
    if error.suggestions or role is None:
        return error
    shown = ", ".join(map(repr, names[:_MOST_NAMES])) + (", ..." if len(names) > _MOST_NAMES else "")
    return UnknownColumnError(
        f"{role}={name!r} names a column, and the table has {shown or 'none'} (an index is no column: reset_index()). "
        f"Give one of these, or {'an int' if role == 'kind' else f'bp.literal({name!r})'} for all rows.",
        actual=name,
    )


def _column_first(given: Any) -> FromColumn | Literal:
    if isinstance(given, FromColumn | Literal):
        return given
    return FromColumn(given) if isinstance(given, str) else Literal(given)
