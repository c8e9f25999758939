"""Values of any type: what a user stored as a payload, or a field nobody declared."""

from __future__ import annotations

import math
import struct
from typing import Any, Final, NamedTuple

from batpak_analytics.format.cursor import (
    FALSE_TAG,
    NIL_TAG,
    TRUE_TAG,
    Buffer,
    Cursor,
    array_count,
    as_bytes,
    bin_size,
    decode_utf8,
    ext_size,
    map_count,
    raw_int,
    str_size,
)

_F32: Final = struct.Struct(">f")
_F64: Final = struct.Struct(">d")


class Extension(NamedTuple):
    """A MessagePack extension value, which batpak never writes but a payload may hold."""

    code: int
    data: bytes


class _ListSink:
    __slots__ = ("left", "value")

    def __init__(self, count: int) -> None:
        self.value: list[Any] = []
        self.left = count

    def add(self, cur: Cursor, item: Any) -> bool:
        self.value.append(item)
        self.left -= 1
        return not self.left


class _DictSink:
    __slots__ = ("json", "key", "left", "value", "wants_key")

    def __init__(self, pairs: int, json: bool) -> None:
        self.value: dict[Any, Any] = {}
        self.left = pairs
        self.json = json
        self.wants_key = True
        self.key: Any = None

    def add(self, cur: Cursor, item: Any) -> bool:
        if self.wants_key:
            if isinstance(item, (list, dict)) or (self.json and not isinstance(item, str)):
                raise cur.fail("a map key is not a string" if self.json else "a map key is a container")
            self.key = item
            self.wants_key = False
            return False
        self.value[self.key] = item
        self.wants_key = True
        self.left -= 1
        return not self.left


def read_value(cur: Cursor, *, json: bool = False) -> Any:
    """One value of any type as Python objects, without recursion.

    With ``json`` the rules are those of the reference's JSON reading (spec segments 3.2): NaN and infinities
    become None; ``bin``, extensions and keys that are not strings are errors.
    """
    depth = cur.depth
    stack: list[_ListSink | _DictSink] = []
    while True:
        tag = cur.byte()
        value: Any
        sink = _open(cur, tag, json)
        if sink is None:
            value = _scalar(cur, tag, json)
        elif sink.left:
            stack.append(sink)
            continue
        else:
            cur.leave()
            value = sink.value
        while stack and stack[-1].add(cur, value):
            value = stack.pop().value
            cur.leave()
        if not stack:
            cur.depth = depth
            return value


def _open(cur: Cursor, tag: int, json: bool) -> _ListSink | _DictSink | None:
    count = array_count(cur, tag)
    if count is not None:
        return _ListSink(cur.enter(count, 1))
    pairs = map_count(cur, tag)
    return None if pairs is None else _DictSink(cur.enter(pairs, 2), json)


def _scalar(cur: Cursor, tag: int, json: bool) -> Any:
    number = raw_int(cur, tag)
    if number is not None:
        return number
    if tag in (NIL_TAG, FALSE_TAG, TRUE_TAG):
        return None if tag == NIL_TAG else tag == TRUE_TAG
    if tag in (0xCA, 0xCB):
        value: float = (_F32 if tag == 0xCA else _F64).unpack(cur.take(4 if tag == 0xCA else 8))[0]
        return None if json and not math.isfinite(value) else value
    size = str_size(cur, tag)
    if size is not None:
        at = cur.pos
        return decode_utf8(cur, cur.take(size, "a string"), at)
    if json:
        cur.pos -= 1
        raise cur.fail("a byte string, an extension or the tag c1 has no JSON form")
    size = bin_size(cur, tag)
    if size is not None:
        return cur.take(size, "a byte string")
    raw = cur.take(ext_size(cur, tag), "an extension")
    return Extension(int.from_bytes(raw[:1], "big", signed=True), raw[1:])


def decode_value(buf: Buffer, start: int = 0) -> tuple[Any, int]:
    """(value, index after it) of the MessagePack value at ``start``; ``bin`` gives bytes."""
    cur = Cursor(as_bytes(buf), start)
    return read_value(cur), cur.pos
