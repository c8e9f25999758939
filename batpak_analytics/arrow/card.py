"""The notebook card of a scan: what it is, and its first rows."""

from __future__ import annotations

from html import escape
from typing import Any

from batpak_analytics.arrow.schema import is_hash, is_id, is_kind

MAX_CELL = 80


def card(title: str, batch: Any) -> str:
    """`title`, which is HTML, above the rows of `batch` (None: there are none) as an HTML table."""
    if batch is None:
        return f"<div>{title}</div>"
    columns = {
        field.name: [_cell(field.name, field.type, value) for value in batch[field.name].to_pylist()]
        for field in batch.schema
    }
    titles = "".join(f"<th>{escape(name)}</th>" for name in columns)
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in zip(*columns.values(), strict=True))
    head = f"<thead><tr>{titles}</tr></thead>"
    return f"<div>{title}</div><table>{head}<tbody>{rows}</tbody></table>"


def _cell(name: str, kind: Any, value: Any) -> str:
    """Kinds in hex, ids and hashes by their last 8 digits: a UUIDv7 begins with the time, so its head says little."""
    if value is None:
        text = ""
    elif is_kind(name):
        text = f"0x{value:04x}"
    elif is_id(name, kind) or is_hash(name, kind):
        text = f"…{value.hex()[-8:]}"
    else:
        text = str(value)
    return f"<td>{escape(text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + '…')}</td>"
