"""Columns -> one MessagePack value for each row: the payloads of a table's rows.

A column is what Arrow lays out, brought to few forms: numbers in their widest type, a byte for each value that says
whether it is there, offsets of 64 bits. Columns of maps and lists hold other columns, so a table is one column of maps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import msgpack
import numpy as np


class Form(IntEnum):
    """What the values of a column are, and so the dtype of `Column.values`."""

    NIL = 0
    BOOL = 1  # bool
    INT = 2  # int64
    UINT = 3  # uint64
    SINGLE = 4  # float32
    DOUBLE = 5  # float64
    TEXT = 6  # uint8: UTF-8, back to back
    LIST = 7  # no values, but one child
    MAP = 8  # no values, but a child for each key


DTYPES = {
    Form.BOOL: np.dtype(bool), Form.INT: np.dtype(np.int64), Form.UINT: np.dtype(np.uint64),
    Form.SINGLE: np.dtype(np.float32), Form.DOUBLE: np.dtype(np.float64), Form.TEXT: np.dtype(np.uint8),
}  # fmt: skip
MOST_SCALAR_BYTES = 9
MOST_HEAD_BYTES = 5


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """`count` values. `valid` is False where there is none, and None for all valid; `offsets` bound texts and lists."""

    form: Form
    count: int
    values: Any = None
    valid: Any = None
    offsets: Any = None
    children: tuple[Column, ...] = ()
    keys: tuple[str, ...] = ()


def pack_rows(column: Column) -> tuple[Any, Any]:
    """The MessagePack of each value, back to back as uint8, and the n + 1 offsets of them.

    Raises ValueError where the parts of a column do not fit together.
    """
    check_column(column)
    packed = list(_packed(column))
    offsets = np.cumsum([0, *map(len, packed)], dtype=np.int64)
    return np.frombuffer(b"".join(packed), np.uint8), offsets


def _packed(column: Column) -> Iterator[bytes]:
    """The value of each row; every value has its shortest form, as msgpack gives it."""
    children = [list(_packed(child)) for child in column.children]
    heads = [msgpack.packb(key) for key in column.keys]
    bounds = None if column.offsets is None else column.offsets.tolist()
    for row in range(column.count):
        if column.form == Form.NIL or (column.valid is not None and not column.valid[row]):
            yield b"\xc0"
        elif column.form == Form.MAP:
            items = [head + child[row] for head, child in zip(heads, children, strict=True)]
            yield _packer.pack_map_header(len(items)) + b"".join(items)
        elif bounds is None:
            yield _scalar(column.form, column.values[row].item())
        elif column.form == Form.TEXT:
            text: bytes = msgpack.packb(column.values[bounds[row] : bounds[row + 1]].tobytes().decode())
            yield text
        else:
            inner = children[0][bounds[row] : bounds[row + 1]]
            yield _packer.pack_array_header(len(inner)) + b"".join(inner)


_packer = msgpack.Packer(autoreset=True)
_SINGLE = struct.Struct(">Bf")


def _scalar(form: Form, value: Any) -> bytes:
    packed: bytes = _SINGLE.pack(0xCA, value) if form == Form.SINGLE else msgpack.packb(value)
    return packed


def check_column(column: Column) -> None:
    """ValueError unless every part is as long as it has to be, so that nothing reads outside of them."""
    wanted = DTYPES.get(column.form)
    has_offsets = column.form in (Form.TEXT, Form.LIST)
    sound = (
        (wanted is None or (column.values is not None and column.values.dtype == wanted))
        and (column.valid is None or (column.valid.dtype == bool and len(column.valid) == column.count))
        and (wanted is None or has_offsets or len(column.values) == column.count)
        and (column.form != Form.LIST or len(column.children) == 1)
        and (column.form != Form.MAP or len(column.keys) == len(column.children))
        and all(child.count == column.count for child in column.children if column.form == Form.MAP)
    )
    if sound and has_offsets:
        inside = len(column.values) if column.form == Form.TEXT else column.children[0].count
        sound = _ascend(column.offsets, column.count, inside)
    parts = (column.values, column.valid, column.offsets)
    if not sound or not all(part is None or part.flags.c_contiguous for part in parts):
        raise ValueError(f"The parts of a column of {column.form.name} do not fit together. Convert it anew.")
    for child in column.children:
        check_column(child)


def _ascend(offsets: Any, count: int, inside: int) -> bool:
    return bool(
        offsets is not None
        and offsets.dtype == np.int64
        and len(offsets) == count + 1
        and offsets[0] >= 0
        and offsets[-1] <= inside
        and (offsets[1:] >= offsets[:-1]).all()
    )


def most_bytes(column: Column) -> int:
    """At least what all values of the column take."""
    most = column.count * MOST_SCALAR_BYTES
    if column.form == Form.TEXT:
        most += len(column.values)
    keys = sum(MOST_HEAD_BYTES + len(key.encode()) for key in column.keys)
    return most + column.count * keys + sum(map(most_bytes, column.children))
