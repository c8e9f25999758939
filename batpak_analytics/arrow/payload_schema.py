"""Nodes for types that the caller gives instead of having them inferred (``payload_schema=``)."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.types as kinds

from batpak_analytics.arrow.inference import JSON_TEXT
from batpak_analytics.arrow.payload_arrays import Node

_SCALARS: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (kinds.is_null, "null"),
    (kinds.is_boolean, "bool"),
    (kinds.is_signed_integer, "int"),
    (kinds.is_unsigned_integer, "uint"),
    (kinds.is_floating, "number"),
    (kinds.is_string, "string"),
    (kinds.is_binary, "binary"),
    (kinds.is_fixed_size_binary, "fixed"),
)
_STRINGS = (kinds.is_large_string, kinds.is_string_view)
_BINARIES = (kinds.is_large_binary, kinds.is_binary_view)
# 64-bit counts of a unit since the epoch or since midnight; the application stored that count as an integer
_COUNTS = (kinds.is_timestamp, kinds.is_duration, kinds.is_time64)


def node_for_type(wanted: pa.DataType) -> Node:
    """The node that gives ``wanted``.

    Lists and structs nest; timestamps and durations read integers in their unit; ``pa.json_()`` reads any
    value as JSON text; every other type goes through pyarrow's own conversion, value by value.
    """
    for matches, kind in _SCALARS:
        if matches(wanted):
            return Node(kind, wanted)
    if kinds.is_list(wanted) or kinds.is_large_list(wanted):
        return Node("list", wanted, (node_for_type(wanted.value_type),))
    if kinds.is_struct(wanted):
        fields = list(wanted)
        names = tuple(field.name.encode() for field in fields)
        return Node("struct", wanted, tuple(node_for_type(field.type) for field in fields), names)
    return _converted(wanted)


def _converted(wanted: pa.DataType) -> Node:
    if getattr(wanted, "extension_name", None) == "arrow.json":
        return Node("convert", wanted, (JSON_TEXT,))
    if any(matches(wanted) for matches in _STRINGS):
        return Node("convert", wanted, (Node("string", pa.string()),))
    if any(matches(wanted) for matches in _BINARIES):
        return Node("convert", wanted, (Node("binary", pa.binary()),))
    if any(matches(wanted) for matches in _COUNTS):
        return Node("convert", wanted, (Node("int", pa.int64()),))
    return Node("python", wanted)
