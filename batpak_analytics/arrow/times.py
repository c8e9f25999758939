"""Points in time as exact integers: no float, no time zone guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(value: Any, name: str) -> int:
    """Nanoseconds since 1970-01-01 UTC of an aware `datetime`, `pandas.Timestamp` or ISO 8601 text with its zone.

    A naive one raises `ValueError`: batpak stores UTC, and a guess at the zone would select wrong rows in
    silence.
    """
    if isinstance(value, str):
        value = _parse(value, name)
    if not isinstance(value, datetime):
        raise TypeError(f"{name}={value!r} is not a datetime. Give an aware datetime or pandas.Timestamp.")
    if value != value:  # NaT, the only datetime that differs from itself
        raise ValueError(f"{name} is NaT (not a time). Give an aware datetime or pandas.Timestamp.")
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError(
            f"{name}={value!s} has no time zone. Give value.replace(tzinfo=datetime.UTC), or a text that ends in Z."
        )
    utc = value.astimezone(UTC)
    # pandas.Timestamp is a datetime with nanoseconds beside its microseconds; rebuilding keeps arithmetic
    # exact.
    plain = datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, tzinfo=UTC)
    return (plain - _EPOCH) // timedelta(microseconds=1) * 1000 + int(getattr(utc, "nanosecond", 0))


def _parse(text: str, name: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{name}={text!r} is not a time. Write it as in '2026-03-01T00:00:00Z'.") from error


def milliseconds(value: Any, name: str) -> Fraction:
    """The same in milliseconds, the unit of `wall_time`, without rounding."""
    return Fraction(nanoseconds(value, name), 1_000_000)


def microseconds(value: Any, name: str) -> Fraction:
    """The same in microseconds, the unit of `timestamp`, without rounding."""
    return Fraction(nanoseconds(value, name), 1000)
