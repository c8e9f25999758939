"""Plain Python values -> the MessagePack that batpak stores for the same JSON values."""

from __future__ import annotations

from typing import Any

import msgpack

from batpak_analytics.format.layout import I64_MIN, MAX_PAYLOAD_DEPTH, U64_MAX


def pack_plain(value: Any) -> bytes | None:
    """The bytes of None, bool, int, float, str, and of lists, tuples and dicts of them; dict keys ascend.

    None where something in it is of another type, needs more than 64 bits, is text that is no Unicode, is a key that
    is no text, or stands more than MAX_PAYLOAD_DEPTH containers deep.
    """
    try:
        packed: bytes = msgpack.packb(_plain(value, 0), use_bin_type=True)
    except (_Unusual, UnicodeEncodeError):
        return None
    return packed


class _Unusual(Exception):
    """There is something that is not plain."""


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if value is None or kind in (bool, float, str) or (kind is int and I64_MIN <= value <= U64_MAX):
        return value
    if depth < MAX_PAYLOAD_DEPTH:
        if kind is dict and all(type(key) is str for key in value):
            # By code point is by UTF-8 byte.
            return {key: _plain(value[key], depth + 1) for key in sorted(value)}
        if kind in (list, tuple):
            return [_plain(item, depth + 1) for item in value]
    raise _Unusual
