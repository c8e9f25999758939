"""One Python value as an Arrow array of a given type, through pyarrow's own conversion made safe.

pyarrow is not to be trusted with a stored value as it is. It ends the process (`MapArray` checks its children,
and dies where the check fails) at a list for a map type that holds nil, in any depth: ``pa.array([[None]],
pa.map_(pa.string(), pa.int64()))``. And it takes a string for the list of its characters, and an extension for
a pair. So it is never given a stored container, only containers built here in the shape of the type.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from batpak_analytics.format.values import Extension


def array_of_one(value: Any, wanted: pa.DataType) -> pa.Array:
    """An array of ``wanted`` that holds ``value`` alone, valid in full.

    Raises `ValueError`, `TypeError`, `OverflowError` or `pyarrow.ArrowException` where it does not fit. The
    type is one that `payload_schema.node_for_field` takes; how deep it nests bounds the recursion here.
    """
    made = pa.array([_shaped(value, wanted)], wanted)
    made.validate(full=True)  # dates and times of day out of range are found only here
    return made


def _shaped(value: Any, wanted: pa.DataType) -> Any:
    """``value`` with every list and map in it built anew as ``wanted`` has them; `ValueError` if it has not."""
    if value is None:
        return None
    if isinstance(wanted, pa.BaseExtensionType):
        return _shaped(value, wanted.storage_type)
    if kinds.is_map(wanted):
        return _map_entries(value, wanted)
    if kinds.is_struct(wanted):
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise ValueError("no map with string keys")
        return {field.name: _shaped(value.get(field.name), field.type) for field in wanted}
    if kinds.is_nested(wanted):
        if not isinstance(value, list):
            raise ValueError("no array")
        return [_shaped(item, wanted.value_type) for item in value]
    if isinstance(value, (list, dict, Extension)):
        raise ValueError("no scalar")
    return value


def _map_entries(value: Any, wanted: pa.DataType) -> list[tuple[Any, Any]]:
    """The entries of a map as pairs; it may be stored as a map, or as an array of maps of a key and a value."""
    pairs: Iterable[tuple[Any, Any]]
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
        names = wanted.key_field.name, wanted.item_field.name
        pairs = [(entry.get(names[0]), entry.get(names[1])) for entry in value]
    else:
        raise ValueError("no map, and no array of maps of a key and a value")
    shaped = [(_shaped(key, wanted.key_type), _shaped(item, wanted.item_type)) for key, item in pairs]
    if any(key is None for key, _ in shaped):
        raise ValueError("a map entry has no key")
    return shaped
