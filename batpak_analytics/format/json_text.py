"""Payloads as JSON, the way the reference gives them (spec segments 3.2).

Text is what serde_json 1.0.150 prints: keys sorted, no spaces, text outside ASCII as is, and floats in the
shortest digits that read back the same.
"""

from __future__ import annotations

import math
from json.encoder import encode_basestring
from typing import Any

import msgpack

from batpak_analytics.format.cursor import Cursor, as_bytes
from batpak_analytics.format.values import read_value


def payload_to_json_value(payload: Any) -> Any:
    """The first MessagePack value of a payload as None, bool, int, float, str, list or dict, keys as they are stored.

    NaN and infinities give None, of equal keys the last wins, bytes after the value are ignored. Raises
    FormatError where the reference fails: ``bin``, extensions, keys that are not strings, invalid UTF-8,
    truncated or empty input, more than 1023 levels.
    """
    data = as_bytes(payload)
    try:
        value = msgpack.unpackb(data)
        if _is_plain_json(value, _SHALLOW):
            return value
    except (ValueError, msgpack.UnpackException):
        pass
    return read_value(Cursor(data), json=True)


_SHALLOW = 32
"""Levels of a value that are looked at by recursion."""


def _is_plain_json(value: Any, levels: int) -> bool:
    """Whether a value holds nothing but finite JSON, at most so many levels deep."""
    kind = type(value)
    if kind is dict:
        return levels > 0 and all(type(key) is str and _is_plain_json(value[key], levels - 1) for key in value)
    if kind is list:
        return levels > 0 and all(_is_plain_json(item, levels - 1) for item in value)
    if kind is float:
        return math.isfinite(value)
    return kind is str or kind is int or kind is bool or value is None


def json_text(value: Any) -> str:
    """The value as compact JSON; NaN and infinities give null. Deep nesting needs no recursion."""
    parts: list[str] = []
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, _Raw):
            parts.append(item)
        elif isinstance(item, dict):
            stack.append(_Raw("}"))
            _push_pairs(stack, item)
            parts.append("{")
        elif isinstance(item, (list, tuple)):
            stack.append(_Raw("]"))
            _push_items(stack, item)
            parts.append("[")
        else:
            parts.append(_scalar_text(item))
    return "".join(parts)


class _Raw(str):
    """Text to print as it is, among values still to be printed."""

    __slots__ = ()


def _push_pairs(stack: list[Any], item: dict[str, Any]) -> None:
    """The pairs, last first, because the stack hands them out in reverse."""
    # Code point order of Python strings is the byte order of their UTF-8, which is how Rust sorts.
    last = len(item) - 1
    for index, key in enumerate(sorted(item, reverse=True)):
        stack.append(item[key])
        comma = "" if index == last else ","
        stack.append(_Raw(f"{comma}{encode_basestring(key)}:"))


def _push_items(stack: list[Any], item: list[Any] | tuple[Any, ...]) -> None:
    for index in range(len(item) - 1, -1, -1):
        stack.append(item[index])
        if index:
            stack.append(_Raw(","))


def _scalar_text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float_text(value)
    raise TypeError(f"{type(value).__name__} has no JSON form. Pass values that payload_to_json_value gives.")


def float_text(value: float) -> str:
    """A float as serde_json prints it: 1.0, 0.00001, 1e-7, 1e+16, 1.5e+300; null for NaN and infinities."""
    if not math.isfinite(value):
        return "null"
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if value == 0:
        return f"{sign}0.0"
    digits, point = _shortest(abs(value))
    if 0 < point <= 16:
        whole = digits[:point].ljust(point, "0")
        return f"{sign}{whole}.{digits[point:] or '0'}"
    if -5 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{'+' if point > 0 else ''}{point - 1}"


def _shortest(value: float) -> tuple[str, int]:
    """The shortest digits that read back as ``value`` > 0, and where the decimal point lies among them."""
    mantissa, _, exponent = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(digits) - len(fraction) if whole.lstrip("0") == "" else len(whole)
    return digits.rstrip("0"), point + int(exponent or 0)
