"""The notebook card of a lazy table: what it is, and its first rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from batpak_analytics.arrow.schema import is_hash, is_id, is_kind
from batpak_analytics.markup import Html, clip, element, joined, short_id, table, titled

MAX_CELL = 80


def card(name: str, path: str, told: str, batch: Any) -> Html:
    """What it is, above the rows of `batch` (None: there are none) as an HTML table."""
    title = element("div", titled(name, path, told))
    if batch is None:
        return title
    columns = {
        field.name: [_cell(field.name, field.type, value) for value in _values(batch[field.name])]
        for field in batch.schema
    }
    return joined([title, table(columns)])


def _values(column: Any) -> list[Any]:
    """The values of a column; of times beyond Python's calendar, which a store may hold, the numbers."""
    kind = column.type
    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError):
        if not pa.types.is_temporal(kind):
            raise
        return list(column.view(pa.int64() if kind.bit_width == 64 else pa.int32()).to_pylist())


def _cell(name: str, kind: Any, value: Any) -> Any:
    """Kinds in hex, ids and hashes by their last 8 digits."""
    if value is None:
        return None
    if is_kind(name):
        return f"0x{value:04X}"
    if is_id(name, kind) or is_hash(name, kind):
        return short_id(value)
    return clip(value, MAX_CELL)
