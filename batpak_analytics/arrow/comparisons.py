"""One DNF condition as an Arrow expression, exact for every type: no integer passes through a float.

A null never passes `=`, `<` and the like, nor `!=`; it passes `not in`, as in pyarrow. `= None` asks for
null and `!= None` for a value.
"""

from __future__ import annotations

import math
import sys
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batpak_analytics.arrow.times import nanoseconds

OPERATORS = ("=", "==", "!=", "<", "<=", ">", ">=", "in", "not in")
_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_INFINITY = 1 << 130  # beyond every integer type

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": lambda field, value: field == value,
    "!=": lambda field, value: field != value,
    "<": lambda field, value: field < value,
    "<=": lambda field, value: field <= value,
    ">": lambda field, value: field > value,
    ">=": lambda field, value: field >= value,
}


def comparison(name: str, operator: str, value: Any, kind: Any) -> Any:
    """The expression for `name operator value` over a column of type `kind`.

    Raises `TypeError` or `ValueError` for a value that a column of that type cannot be compared with.
    """
    field = pc.field(name)
    operator = "=" if operator == "==" else operator
    if operator == "in":
        return _member(name, field, value, kind)
    if operator == "not in":
        return ~_member(name, field, value, kind)
    if value is None:
        if operator not in ("=", "!="):
            raise TypeError(f"filters= compares {name!r} {operator} None: None goes with = and != only.")
        return field.is_null() if operator == "=" else field.is_valid()
    if pa.types.is_null(kind):
        return _never(field)
    if _integer_limits(kind) is not None:
        return _compare_integers(field, operator, exact_number(name, value, kind), kind)
    if _is_float(kind) and _is_exact(value):
        return _compare_floats(field, operator, _fraction(value))
    return _COMPARE[operator](field, _scalar(name, value, kind))


def _never(field: Any) -> Any:
    return field.is_null() & field.is_valid()


def _member(name: str, field: Any, values: Sequence[Any], kind: Any) -> Any:
    given = [value for value in values if value is not None]
    found = _never(field)
    if given and not pa.types.is_null(kind):
        found = field.isin(_value_set(name, given, kind))
    return found | field.is_null() if len(given) < len(values) else found


def _value_set(name: str, values: Sequence[Any], kind: Any) -> Any:
    limits = _integer_limits(kind)
    if _is_float(kind):
        values = [one for value in values for one in _floats_equal_to(value)]
    if limits is None:
        return pa.array([_scalar(name, value, kind).as_py() for value in values], kind)
    exact = [exact_number(name, value, kind) for value in values]
    fitting = [int(v) for v in exact if v is not None and v.denominator == 1 and limits[0] <= v <= limits[1]]
    if pa.types.is_timestamp(kind):
        return pa.array(fitting, pa.int64()).cast(kind)
    return pa.array(fitting, kind)


def _integer_limits(kind: Any) -> tuple[int, int] | None:
    """Smallest and largest value of an integer or timestamp type; None for every other type."""
    if pa.types.is_timestamp(kind):
        return -(1 << 63), (1 << 63) - 1
    if not pa.types.is_integer(kind):
        return None
    bits = kind.bit_width
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if pa.types.is_signed_integer(kind) else (0, (1 << bits) - 1)


def exact_number(name: str, value: Any, kind: Any) -> Fraction | None:
    """`value` as an exact number in the column's unit; None for NaN, which equals nothing."""
    if pa.types.is_timestamp(kind):
        return Fraction(nanoseconds(value, f"filters= on {name}"), _UNIT_NS[kind.unit])
    item: Any = value.item() if hasattr(value, "item") else value  # numpy scalars
    if isinstance(item, bool) or not isinstance(item, int | float | Fraction | Decimal):
        raise TypeError(f"filters= compares {name!r} ({kind}) with {value!r}. Give a number.")
    if not _is_finite(item):
        return None if math.isnan(item) else Fraction(_INFINITY if item > 0 else -_INFINITY)
    return Fraction(item)


def _compare_integers(field: Any, operator: str, value: Fraction | None, kind: Any) -> Any:
    """Compare whole numbers with any number: move the bound to the next whole one instead of casting the
    column.
    """
    limits = _integer_limits(kind)
    assert limits is not None
    if value is None:
        return field.is_valid() if operator == "!=" else _never(field)
    if operator in ("=", "!=") and value.denominator != 1:
        return field.is_valid() if operator == "!=" else _never(field)
    bound = math.ceil(value) if operator in ("<", ">=") else math.floor(value)
    if limits[0] <= bound <= limits[1]:
        scalar = pa.scalar(bound, pa.int64() if pa.types.is_timestamp(kind) else kind)
        return _COMPARE[operator](field, scalar.cast(kind))
    holds = {"=": False, "!=": True, "<": bound > 0, "<=": bound > 0, ">": bound < 0, ">=": bound < 0}[operator]
    return field.is_valid() if holds else _never(field)


def _is_finite(item: Any) -> bool:
    """Of an int, a float, a `Fraction` or a `Decimal`, however large."""
    if isinstance(item, Decimal):
        return item.is_finite()
    return not isinstance(item, float) or math.isfinite(item)


def _is_float(kind: Any) -> bool:
    return bool(pa.types.is_float64(kind) or pa.types.is_float32(kind))


def _is_exact(value: Any) -> bool:
    """Whether it is a number that may have more digits than a float."""
    exact = isinstance(value, int | np.integer | Fraction | Decimal) and not isinstance(value, bool)
    return exact and _is_finite(value)


def _fraction(value: Any) -> Fraction:
    """The number itself, of a value that `_is_exact`."""
    return Fraction(value.item() if isinstance(value, np.integer) else value)


def _floats_equal_to(value: Any) -> list[Any]:
    """The values for a column of floats that equal this one: none, one, or both zeros, which Arrow tells apart."""
    if _is_exact(value):
        exact = _fraction(value)
        value = _nearest(exact)
        if Fraction(value) != exact:
            return []
    return [0.0, -0.0] if isinstance(value, float | np.floating) and value == 0 else [value]


def _nearest(value: Fraction) -> float:
    """The float next to a number; the greatest where there is none."""
    try:
        return float(value)
    except OverflowError:
        return sys.float_info.max if value > 0 else -sys.float_info.max


def _compare_floats(field: Any, operator: str, value: Fraction) -> Any:
    """Compare floats with an exact number: where no float equals it, with the nearest one on the side that is asked."""
    bound = _nearest(value)
    if Fraction(bound) != value:
        if operator in ("=", "!="):
            return field.is_valid() if operator == "!=" else _never(field)
        less = operator in ("<", "<=")
        operator = "<=" if less else ">="
        if (Fraction(bound) < value) is not less:
            bound = math.nextafter(bound, -math.inf if less else math.inf)
    return _COMPARE[operator](field, pa.scalar(bound, pa.float64()))


def _scalar(name: str, value: Any, kind: Any) -> Any:
    """`value` as an Arrow scalar of the column's type."""
    if pa.types.is_fixed_size_binary(kind):
        return pa.scalar(fixed_bytes(value, kind.byte_width, name), kind)
    if pa.types.is_nested(kind):
        raise TypeError(f"filters= compares {name!r}, which holds {kind}. Filter on a scalar column.")
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if text and not isinstance(value, str):
        raise TypeError(f"filters= compares {name!r}, which is text here, with {value!r}. Give a str.")
    try:
        return pa.scalar(value, kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise TypeError(f"filters= compares {name!r} ({kind}) with {value!r}: {error}.") from error


def fixed_bytes(value: Any, size: int, name: str) -> bytes:
    """An id (16 bytes) or hash (32 bytes) from bytes, a hex string with or without dashes, or a
    `uuid.UUID`.
    """
    if isinstance(value, uuid.UUID):
        value = value.bytes
    elif isinstance(value, str):
        try:
            value = bytes.fromhex(value.replace("-", ""))
        except ValueError:
            raise ValueError(f"{name}={value!r} is not hexadecimal. Give {2 * size} hex digits.") from None
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"{name}={value!r}: give {2 * size} hex digits, {size} bytes or a uuid.UUID.")
    if len(value) != size:
        raise ValueError(f"{name} has {len(value)} bytes. Give {2 * size} hex digits or {size} bytes.")
    return bytes(value)
