"""Values of filters in JSON: numbers, texts and null as they are, everything else under a name that says its type."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

_NAMED: dict[str, tuple[type, Callable[[Any], str], Callable[[str], Any]]] = {
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "time": (datetime, lambda value: value.isoformat(), datetime.fromisoformat),
    "date": (date, lambda value: value.isoformat(), date.fromisoformat),
    "uuid": (uuid.UUID, str, uuid.UUID),
    "decimal": (Decimal, str, Decimal),
    "us": (
        timedelta,
        lambda value: str(value // timedelta(microseconds=1)),
        lambda text: timedelta(microseconds=int(text)),
    ),
}


def plain(value: Any) -> Any:
    """A value as it is kept in a rule: NumPy's scalars as Python's, lists and sets as tuples.

    Raises `TypeError` for what cannot be written down without loss.
    """
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(plain(one) for one in value)
    if getattr(value, "nanosecond", 0):
        raise TypeError(f"{value!r} has nanoseconds, which no store has. Round it to microseconds.")
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime()
    elif hasattr(value, "item") and hasattr(value, "dtype"):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str | bytes | date | timedelta | uuid.UUID | Decimal):
        return value
    raise TypeError(f"{value!r} cannot be written down in a plan. Give a number, text, bytes, time, date or UUID.")


def to_json(value: Any) -> Any:
    """The JSON form of a plain value."""
    if isinstance(value, tuple):
        return [to_json(one) for one in value]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, float):
        return {"float": repr(value)}
    for name, (kind, written, _) in _NAMED.items():
        if isinstance(value, kind):
            return {name: written(value)}
    raise TypeError(f"{value!r} has no JSON form.")


def from_json(form: Any) -> Any:
    """The value of a JSON form; raises `ValueError` where it is none."""
    if isinstance(form, list):
        return tuple(from_json(one) for one in form)
    if not isinstance(form, dict):
        return form
    if len(form) == 1:
        ((name, text),) = form.items()
        if isinstance(text, str) and (name == "float" or name in _NAMED):
            try:
                return float(text) if name == "float" else _NAMED[name][2](text)
            except (ArithmeticError, ValueError) as error:
                raise ValueError(f"{form!r} is no value of a filter: {error}") from error
    raise ValueError(f"{form!r} is no value of a filter.")
