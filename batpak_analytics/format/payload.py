"""Payload bytes of many events -> where each field is, what it holds, and its values, one row at a time.

A payload is any MessagePack value, written by the application and not checked by the store. What the
reference's JSON decoding makes of it is in spec segments 3.2. These functions are the readable twin and the
oracle of the compiled ones in ``kernels``; call them through ``batpak_analytics.kernels``.

Rows are ``data[offsets[i]:offsets[i + 1]]``. Nothing here raises for bytes: a row gets a status instead.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from batpak_analytics.format.layout import I64_MAX, I64_MIN, MAX_NESTING

ROOT_MAP: Final = 1  # a map whose keys are all strings
ROOT_VALUE: Final = 2  # any other well-formed value
NOT_JSON: Final = 16  # well-formed, but the reference's JSON decoding fails on it
MALFORMED: Final = 32  # empty, truncated, the unused tag c1, or nested too deep
SKIPPED: Final = 64  # the caller said that there is nothing in this row

MISSING: Final = -1  # a position that is not there

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
Count = int  # ColumnStats has fields named int and bool, which hide the types of those names
Truth = bool


class FieldTable:
    """The field names met so far, in the order they were first seen; positions are looked up by it.

    ``overflow`` becomes true when a name had to be left out because ``max_fields`` were known already.
    """

    __slots__ = ("index", "max_fields", "names", "overflow")

    def __init__(self, max_fields: int = 1000) -> None:
        self.max_fields = max_fields
        self.names: list[bytes] = []
        self.index: dict[bytes, int] = {}
        self.overflow = False

    def slot(self, name: bytes) -> int:
        """The row of ``Located.pos`` for this name, a new one if there is room, else MISSING."""
        found = self.index.get(name, MISSING)
        if found == MISSING:
            if len(self.names) >= self.max_fields:
                self.overflow = True
                return MISSING
            found = self.index[name] = len(self.names)
            self.names.append(name)
        return found


class Located(NamedTuple):
    """``root``: the ROOT_* and error bits of each row. ``pos[f, i]``: where in the data the value starts."""

    root: Bytes
    pos: Positions


@dataclass(frozen=True, slots=True)
class ColumnStats:
    """What one column holds: how many values of each type, and the range of its integers.

    ``int_min`` and ``int_max`` are None without integers. ``ints_exact`` says that every integer is a
    float64 too. Strings that are not UTF-8 are in ``str`` and again in ``bad_utf8``.
    """

    missing: Count = 0
    nil: Count = 0
    bool: Count = 0
    int: Count = 0
    float: Count = 0
    str: Count = 0
    bin: Count = 0
    ext: Count = 0
    array: Count = 0
    map: Count = 0
    int_min: Count | None = None
    int_max: Count | None = None
    ints_exact: Truth = True
    bad_utf8: Count = 0


class Head(NamedTuple):
    """The first bytes of a value: its type, a scalar's value, and where and how big the rest is.

    ``size`` counts bytes for str, bin and ext, items for array, and keys plus values for map.
    """

    type: str
    value: Any
    start: int
    size: int

    @property
    def end(self) -> int:
        """Where the next value starts, for everything but a container that has items."""
        return self.start if self.type in ("array", "map") else self.start + self.size


_SCALARS: Final[dict[int, tuple[str, struct.Struct]]] = {
    0xCA: ("float", struct.Struct(">f")),
    0xCB: ("float", struct.Struct(">d")),
    0xCC: ("int", struct.Struct(">B")),
    0xCD: ("int", struct.Struct(">H")),
    0xCE: ("int", struct.Struct(">I")),
    0xCF: ("int", struct.Struct(">Q")),
    0xD0: ("int", struct.Struct(">b")),
    0xD1: ("int", struct.Struct(">h")),
    0xD2: ("int", struct.Struct(">i")),
    0xD3: ("int", struct.Struct(">q")),
}
# tag: type, bytes of the length field, bytes between it and the contents (the type of an ext)
_SIZED: Final[dict[int, tuple[str, int, int]]] = {
    0xC4: ("bin", 1, 0),
    0xC5: ("bin", 2, 0),
    0xC6: ("bin", 4, 0),
    0xC7: ("ext", 1, 1),
    0xC8: ("ext", 2, 1),
    0xC9: ("ext", 4, 1),
    0xD9: ("str", 1, 0),
    0xDA: ("str", 2, 0),
    0xDB: ("str", 4, 0),
    0xDC: ("array", 2, 0),
    0xDD: ("array", 4, 0),
    0xDE: ("map", 2, 0),
    0xDF: ("map", 4, 0),
}
_FIXED_EXT: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_SINGLES: Final = {0xC0: ("nil", None), 0xC2: ("bool", False), 0xC3: ("bool", True)}


def _small_head(tag: int, at: int) -> Head | None:
    """The head of a value whose tag says everything; None for tags that need more bytes (and for c1)."""
    if tag <= 0x7F:
        return Head("int", tag, at + 1, 0)
    if tag >= 0xE0:
        return Head("int", tag - 256, at + 1, 0)
    if tag <= 0x8F:
        return Head("map", None, at + 1, 2 * (tag & 0x0F))
    if tag <= 0x9F:
        return Head("array", None, at + 1, tag & 0x0F)
    if tag <= 0xBF:
        return Head("str", None, at + 1, tag & 0x1F)
    if tag in _SINGLES:
        return Head(*_SINGLES[tag], at + 1, 0)
    if tag in _FIXED_EXT:
        return Head("ext", None, at + 2, _FIXED_EXT[tag])
    return None


def read_head(data: memoryview, at: int, end: int) -> Head | None:
    """The head of the value at ``at``; None where it is truncated before ``end`` or its tag is c1.

    The contents of str, bin and ext are known to be there; the items of arrays and maps are not.
    """
    if not 0 <= at < end:
        return None
    tag = data[at]
    head = _small_head(tag, at)
    if head is None and tag in _SCALARS:
        type_name, layout = _SCALARS[tag]
        if at + 1 + layout.size > end:
            return None
        head = Head(type_name, layout.unpack_from(data, at + 1)[0], at + 1 + layout.size, 0)
    elif head is None and tag in _SIZED:
        type_name, width, gap = _SIZED[tag]
        start = at + 1 + width
        if start > end:
            return None
        size = int.from_bytes(data[at + 1 : start], "big")
        head = Head(type_name, None, start + gap, 2 * size if type_name == "map" else size)
    return head if head is not None and head.end <= end else None


def _is_utf8(data: memoryview, head: Head) -> bool:
    try:
        str(data[head.start : head.end], "utf-8")
    except UnicodeDecodeError:
        return False
    return True


class Entry(NamedTuple):
    """One entry of a top-level map: the key's head and where its value starts."""

    key: Head
    value: int


class _Walk:
    """One pass over a value and everything inside it, without recursion: hostile nesting costs no stack."""

    def __init__(self, data: memoryview, start: int, end: int) -> None:
        self.data, self.at, self.end = data, start, end
        self.json = True
        self.is_map = False
        self.string_keys = True
        self.entries: list[Entry] = []

    def run(self) -> bool:
        """Whether the value is well-formed; ``at`` is then its end and the other attributes hold."""
        left, keyed = [1], [False]
        key: Head | None = None
        while left:
            if left[-1] == 0:
                left.pop()
                keyed.pop()
                continue
            left[-1] -= 1
            head = read_head(self.data, self.at, self.end)
            if head is None:
                return False
            depth, is_key = len(left), keyed[-1] and left[-1] % 2 == 1
            if depth == 2 and keyed[-1] and not is_key and key is not None:
                self.entries.append(Entry(key, self.at))
            if is_key and depth == 2:
                key = head
            self._judge(head, is_key, depth)
            if head.type in ("array", "map"):
                if depth > MAX_NESTING:
                    return False
                left.append(head.size)
                keyed.append(head.type == "map")
            self.at = head.end
        return True

    def _judge(self, head: Head, is_key: bool, depth: int) -> None:
        if depth == 1:
            self.is_map = head.type == "map"
        if is_key and head.type != "str":
            self.json = False
            self.string_keys = self.string_keys and depth != 2
        if head.type in ("bin", "ext") or (head.type == "str" and not _is_utf8(self.data, head)):
            self.json = False

    @property
    def bits(self) -> int:
        root = ROOT_MAP if self.is_map and self.string_keys else ROOT_VALUE
        return root if self.json else root | NOT_JSON


def as_view(buffer: Any) -> memoryview:
    """Any buffer as flat unsigned bytes, without a copy."""
    return np.frombuffer(buffer, np.uint8).data


def _rows(data: memoryview, offsets: Any, ends: Any) -> Iterator[tuple[int, int]]:
    """Start and end of each row; an impossible row is (0, 0), which is empty."""
    bounds = np.asarray(offsets, np.int64)
    starts = bounds[:-1] if ends is None else bounds
    stops = bounds[1:] if ends is None else np.asarray(ends, np.int64)
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        yield (start, stop) if 0 <= start <= stop <= len(data) else (0, 0)


def locate_fields(data: Any, offsets: Any, table: FieldTable, present: Any = None, ends: Any = None) -> Located:
    """Validate every row and find its top-level fields, adding new names to ``table``.

    A name twice in a row: the last one counts. Bytes after the value are ignored. A key that is not UTF-8
    cannot name a field: the row gets NOT_JSON and that key no position. Only ROOT_MAP rows have positions.
    With ``ends`` the rows are ``data[offsets[i]:ends[i]]``, for values inside values.
    """
    view = as_view(data)
    wanted = None if present is None else np.asarray(present).tolist()
    roots: list[int] = []
    found: list[dict[int, int]] = []
    for row, (start, end) in enumerate(_rows(view, offsets, ends)):
        places: dict[int, int] = {}
        walk = _Walk(view, start, end)
        if wanted is not None and not wanted[row]:
            roots.append(SKIPPED)
        elif not walk.run():
            roots.append(MALFORMED)
        else:
            roots.append(walk.bits)
            if walk.bits & ROOT_MAP:
                places = _place(view, walk.entries, table)
        found.append(places)
    pos = np.full((len(table.names), len(roots)), MISSING, np.int64)
    for row, places in enumerate(found):
        for slot, at in places.items():
            pos[slot, row] = at
    return Located(np.array(roots, np.uint8), pos)


def _place(data: memoryview, entries: Iterable[Entry], table: FieldTable) -> dict[int, int]:
    places = {}
    for key, value in entries:
        if _is_utf8(data, key):
            slot = table.slot(bytes(data[key.start : key.end]))
            if slot != MISSING:
                places[slot] = value
    return places


def _heads(data: memoryview, pos_row: Any) -> Iterator[Head | None]:
    for at in np.asarray(pos_row, np.int64).tolist():
        yield read_head(data, at, len(data))


def column_stats(data: Any, pos_row: Any, clean: bool = False) -> ColumnStats:
    """Count what one column holds, to choose its type. Containers are counted by their head alone.

    ``clean`` says that every string is known to be UTF-8, as in rows that `locate_fields` does not call NOT_JSON.
    """
    view = as_view(data)
    counts: dict[str, int] = {}
    ints: list[int] = []
    bad_utf8 = 0
    for head in _heads(view, pos_row):
        type_name = "missing" if head is None else head.type
        counts[type_name] = counts.get(type_name, 0) + 1
        if head is not None and head.type == "int":
            ints.append(head.value)
        if head is not None and head.type == "str":
            bad_utf8 += not (clean or _is_utf8(view, head))
    return ColumnStats(
        **counts,
        int_min=min(ints, default=None),
        int_max=max(ints, default=None),
        ints_exact=all(int(float(value)) == value for value in ints),
        bad_utf8=bad_utf8,
    )


def _take(data: Any, pos_row: Any, dtype: Any, accept: dict[str, Any]) -> tuple[npt.NDArray[Any], Bytes]:
    """Values of the types in ``accept`` (type -> test of the value) as ``dtype``; the rest is invalid."""
    at = np.asarray(pos_row, np.int64)
    values, valid = np.zeros(len(at), dtype), np.zeros(len(at), np.uint8)
    for row, head in enumerate(_heads(as_view(data), at)):
        if head is not None and head.type in accept and accept[head.type](head.value):
            values[row], valid[row] = head.value, 1
    return values, valid


def _always(_value: Any) -> bool:
    return True


def take_bool(data: Any, pos_row: Any) -> tuple[npt.NDArray[np.bool_], Bytes]:
    """Booleans and which rows have one."""
    return _take(data, pos_row, np.bool_, {"bool": _always})


def take_int64(data: Any, pos_row: Any) -> tuple[npt.NDArray[np.int64], Bytes]:
    """Integers that fit, and which rows have one."""
    return _take(data, pos_row, np.int64, {"int": lambda value: I64_MIN <= value <= I64_MAX})


def take_uint64(data: Any, pos_row: Any) -> tuple[npt.NDArray[np.uint64], Bytes]:
    """Integers from 0, and which rows have one."""
    return _take(data, pos_row, np.uint64, {"int": lambda value: value >= 0})


def take_float64(data: Any, pos_row: Any) -> tuple[npt.NDArray[np.float64], Bytes]:
    """Floats, and integers rounded to the nearest float; which rows have one."""
    return _take(data, pos_row, np.float64, {"float": _always, "int": _always})


def _take_sized(data: Any, pos_row: Any, type_name: str, clean: bool) -> tuple[Positions, Bytes, Bytes]:
    view = as_view(data)
    taken = bytearray()
    offsets, valid = [0], []
    for head in _heads(view, pos_row):
        good = head is not None and head.type == type_name and (clean or _is_utf8(view, head))
        if good and head is not None:
            taken += view[head.start : head.end]
        offsets.append(len(taken))
        valid.append(good)
    return np.array(offsets, np.int64), np.frombuffer(bytes(taken), np.uint8), np.array(valid, np.uint8)


def take_string(data: Any, pos_row: Any, clean: bool = False) -> tuple[Positions, Bytes, Bytes]:
    """Offsets, UTF-8 bytes and validity of the strings; one that is not UTF-8 is invalid.

    ``clean`` as in `column_stats`.
    """
    return _take_sized(data, pos_row, "str", clean)


def take_binary(data: Any, pos_row: Any) -> tuple[Positions, Bytes, Bytes]:
    """Offsets, bytes and validity of the ``bin`` values."""
    return _take_sized(data, pos_row, "bin", True)


def take_spans(data: Any, pos_row: Any) -> tuple[Positions, Positions]:
    """Where each whole value starts and ends; (-1, -1) when missing or malformed."""
    view = as_view(data)
    starts, ends = [], []
    for at in np.asarray(pos_row, np.int64).tolist():
        walk = _Walk(view, at, len(view))
        good = walk.run()
        starts.append(at if good else MISSING)
        ends.append(walk.at if good else MISSING)
    return np.array(starts, np.int64), np.array(ends, np.int64)
