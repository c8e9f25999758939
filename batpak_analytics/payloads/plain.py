"""Python values as the payload bytes that batpak 0.9.0 stores for the same value."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import msgpack

from batpak_analytics.errors import AppendRefusedError
from batpak_analytics.format.layout import I64_MIN, MAX_PAYLOAD_DEPTH, U64_MAX
from batpak_analytics.kernels import pack_plain


def encode_payload(value: Any) -> bytes:
    """The MessagePack of `value`: dict keys ascending by their UTF-8 bytes, dataclasses as maps in field order.

    Takes None, bool, int, float, str, list, tuple, dict and dataclass instances; raises `AppendRefusedError` for
    anything else, naming the place. NaN and infinities stay what they are (0.9.0 reads them as null).
    """
    packed = pack_plain(value)
    return pack(plain(value, "payload", 0)) if packed is None else packed


def pack(value: Any) -> bytes:
    """The MessagePack of what `plain` gave."""
    try:
        packed: bytes = msgpack.packb(value, use_bin_type=True)
    except UnicodeEncodeError as error:
        raise AppendRefusedError(
            f"A text in the payload is not valid Unicode ({error.reason}). Replace its lone surrogates."
        ) from error
    return packed


def plain(value: Any, place: str, depth: int) -> Any:
    """`value` with keys in their order and nothing in it that has no MessagePack form; `place` is for the error."""
    kind = type(value)
    if value is None or kind in (bool, float, str):
        return value
    if kind is int:
        return checked_int(value, place)
    check_depth(place, depth)
    if kind is dict:
        return {key: plain(value[key], f"{place}.{key}", depth + 1) for key in sorted_keys(value, place)}
    if kind in (list, tuple):
        return [plain(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(value)]
    if is_dataclass(value) and not isinstance(value, type):
        named = {field.name: getattr(value, field.name) for field in fields(value)}
        return {name: plain(item, f"{place}.{name}", depth + 1) for name, item in named.items()}
    raise _refusal(value, place)


def checked_int(value: int, place: str) -> int:
    """`value`, if MessagePack has a form for it."""
    if not I64_MIN <= value <= U64_MAX:
        raise AppendRefusedError(f"{place} is {value}, which needs more than 64 bits. Store it as text.")
    return value


def check_depth(place: str, depth: int) -> None:
    """Raise for a container that is too deep inside others."""
    if depth == MAX_PAYLOAD_DEPTH:
        raise AppendRefusedError(f"{place[:80]} is more than {MAX_PAYLOAD_DEPTH} containers deep. Flatten the payload.")


def sorted_keys(value: dict[Any, Any], place: str) -> list[str]:
    """The keys of a dict in the order they are stored in; raises for one that is no text."""
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
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    convert = ".item() or .tolist() gives" if kind.__module__ == "numpy" else "Convert it to"
    return AppendRefusedError(
        f"{place} is of type {name}, which has no MessagePack form here. "
        f"{convert} None, bool, int, float, str, list or dict."
    )
