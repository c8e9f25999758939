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

_MAX_DEPTH = 100
"""Most levels of lists, structs and maps in a given type. Arrow recurses into it, and far more end the process."""


def node_for_field(name: str, wanted: pa.DataType) -> Node:
    """The node that gives ``wanted`` for the field ``name``, or `ValueError` where no array of it can be built."""
    trouble = _trouble(wanted)
    if trouble is None:
        node = node_for_type(wanted)
        trouble = _conversion_trouble(node)
        if trouble is None:
            return node
    raise ValueError(
        f"payload_schema: the type of {name!r} {trouble}. "
        "Give it a type without that, or pa.json_() to read its values as JSON text."
    )


def _trouble(wanted: pa.DataType, depth: int = 0) -> str | None:
    """Why no array of ``wanted`` should be built from stored values, if so."""
    if depth > _MAX_DEPTH:
        return f"nests deeper than {_MAX_DEPTH} levels"
    if kinds.is_union(wanted):
        return "has a union in it, and no stored value says which of its types it is"
    if kinds.is_run_end_encoded(wanted):
        return "has a run-end encoded type in it, which is not built from single values"
    if kinds.is_struct(wanted) and len({field.name for field in wanted}) < wanted.num_fields:
        return "has a struct in it that names a field twice"
    inner = (_trouble(one, depth + 1) for one in _inner_types(wanted))
    return next((trouble for trouble in inner if trouble), None)


def _inner_types(wanted: pa.DataType) -> list[pa.DataType]:
    if isinstance(wanted, pa.BaseExtensionType):
        return [wanted.storage_type]
    if kinds.is_dictionary(wanted):
        return [wanted.value_type]
    if kinds.is_map(wanted):
        return [wanted.key_type, wanted.item_type]
    if kinds.is_struct(wanted):
        return [field.type for field in wanted]
    return [wanted.value_type] if kinds.is_nested(wanted) else []


def _conversion_trouble(node: Node) -> str | None:
    """Why pyarrow cannot convert single values to a type that is left to it, if so."""
    if node.kind == "python":
        try:
            pa.concat_arrays([pa.array([None], node.type)] * 2)
        except pa.ArrowException as error:
            return f"has {node.type} in it, which pyarrow does not build from single values ({error})"
    return next((trouble for child in node.children if (trouble := _conversion_trouble(child))), None)


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
