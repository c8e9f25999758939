"""Python values as the payload bytes that batpak 0.9.0 stores for the same value."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import msgpack

from batpak_analytics.errors import AppendRefusedError
from batpak_analytics.format.layout import I64_MIN, U64_MAX

MAX_DEPTH = 256


def encode_payload(value: Any) -> bytes:
    """The MessagePack of `value`: dict keys ascending by their UTF-8 bytes, dataclasses as maps in field order.

    Takes None, bool, int, float, str, list, tuple, dict and dataclass instances; raises `AppendRefusedError` for
    anything else, naming the place. NaN and infinities stay what they are (0.9.0 reads them as null).
    """
    try:
        packed: bytes = msgpack.packb(_plain(value, "payload", 0), use_bin_type=True)
    except UnicodeEncodeError as error:
        raise AppendRefusedError(
            f"A text in the payload is not valid Unicode ({error.reason}). Replace its lone surrogates."
        ) from error
    return packed


def _plain(value: Any, place: str, depth: int) -> Any:
    kind = type(value)
    if value is None or kind in (bool, float, str):
        return value
    if kind is int:
        if not I64_MIN <= value <= U64_MAX:
            raise AppendRefusedError(f"{place} is {value}, which needs more than 64 bits. Store it as text.")
        return value
    if depth == MAX_DEPTH:
        raise AppendRefusedError(f"{place[:80]} is more than {MAX_DEPTH} containers deep. Flatten the payload.")
    if kind is dict:
        return {key: _plain(value[key], f"{place}.{key}", depth + 1) for key in _sorted_keys(value, place)}
    if kind in (list, tuple):
        return [_plain(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(value)]
    if is_dataclass(value) and not isinstance(value, type):
        named = {field.name: getattr(value, field.name) for field in fields(value)}
        return {name: _plain(item, f"{place}.{name}", depth + 1) for name, item in named.items()}
    raise _refusal(value, place)


def _sorted_keys(value: dict[Any, Any], place: str) -> list[str]:
    for key in value:
        if type(key) is not str:
            raise AppendRefusedError(f"{place} has the key {key!r}, and keys are text. Convert it with str().")
    # By code point is by UTF-8 byte.
    return sorted(value)


def _refusal(value: Any, place: str) -> AppendRefusedError:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return AppendRefusedError(
            f"{place} is bytes, which have no JSON form: no reader of 0.9.0 could decode the payload. "
            f"Store them as text (base64), or pass a whole payload that is encoded already as raw=."
        )
    return AppendRefusedError(
        f"{place} is a {type(value).__name__}, which has no MessagePack form here. "
        f"Convert it to None, bool, int, float, str, list or dict."
    )
