"""Rows as text: kinds in hex, ids by their last 8 digits, and nothing that a terminal would obey."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

ID_COLUMNS = frozenset({"event_id", "correlation_id", "causation_id"})
HASH_COLUMNS = frozenset({"prev_hash", "event_hash", "content_hash"})
TAIL_DIGITS = 8  # ids are UUIDv7: they begin with the time, and the end tells them apart
LONGEST_CELL = 80
OFF_TERMINAL_WIDTH = 10_000  # a pipe has no width: never cut a row that a program will read


def console() -> Console:
    """A console on standard output that folds to a terminal, and folds nothing in a pipe."""
    width = None if sys.stdout.isatty() else OFF_TERMINAL_WIDTH
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def heading(text: str) -> Text:
    """A line above a table."""
    return Text(text, style="bold")


def grid(columns: Mapping[str, Sequence[Any]], *, numeric: Iterable[str] = ()) -> Table:
    """A table of the columns, each cell formatted by what its column holds."""
    right = frozenset(numeric)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    cells = []
    for name, values in columns.items():
        is_number = name in right or all(_is_number(value) for value in values if value is not None)
        table.add_column(Text(printable(name)), justify="right" if is_number and values else "left")
        cells.append([Text(cell(name, value)) for value in values])
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    return table


def cell(column: str, value: Any) -> str:
    """One value as the text of a cell."""
    if _is_missing(value):
        return ""
    if column == "kind" and isinstance(value, int):
        return kind_text(value)
    if column in ID_COLUMNS or column in HASH_COLUMNS:
        return tail(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
    if isinstance(value, bytes):
        value = value.hex()
    return shortened(printable(str(value)))


def kind_text(kind: int) -> str:
    """A kind as its four hex digits."""
    return f"0x{kind:04X}"


def tail(identity: bytes | str | object) -> str:
    """The last 8 hex digits of an id or a hash."""
    text = identity.hex() if isinstance(identity, bytes) else str(identity).replace("-", "")
    return text[-TAIL_DIGITS:]


def printable(text: str) -> str:
    """The text with every control character spelled out, so that stored data cannot drive the terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shortened(text: str) -> str:
    """The text, or its beginning and an ellipsis where it would fill the screen."""
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"


def size_text(size_bytes: int) -> str:
    """A size in the largest unit that keeps it at 1 or more: ``12.4 MiB``."""
    size, units = float(size_bytes), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size_bytes} bytes" if units[0] == "bytes" else f"{size:.1f} {units[0]}"


def plural(count: int, noun: str) -> str:
    """``1 event``, ``2 events``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_missing(value: object) -> bool:
    # NaN and pandas' NaT differ from themselves; pandas' NA tells by its name without importing pandas.
    return value is None or type(value).__name__ == "NAType" or bool(value != value)
