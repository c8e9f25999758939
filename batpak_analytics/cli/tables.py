"""Rows as text: kinds in hex, ids by their last 8 digits, and nothing that a terminal would obey."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from io import TextIOWrapper
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from batpak_analytics.markup import plural as plural
from batpak_analytics.markup import size_text as size_text

ID_COLUMNS = frozenset({"event_id", "correlation_id", "causation_id", "parent_id", "related_id"})
HASH_COLUMNS = frozenset({"prev_hash", "event_hash", "content_hash"})
TAIL_DIGITS = 8  # ids are UUIDv7: they begin with the time, and the end tells them apart
LONGEST_CELL = 80
NARROWEST_LAST = 16  # the last column, which is the payload, may be cut down to this
GAP = 2
OFF_TERMINAL_WIDTH = 10_000  # a pipe has no width: never cut a row that a program will read


def _spelled_out(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that the terminal's encoding has no bytes for."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join("..." if char == "…" else char.encode("unicode_escape").decode() for char in lost), error.end


_SPELLED_OUT = "batpak-spelled-out"
codecs.register_error(_SPELLED_OUT, _spelled_out)


class _Screen(Console):
    """A console that leaves a closed pipe to ``main``; rich would exit with 1, which here means findings."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console() -> Console:
    """A console on standard output that folds to a terminal, and folds nothing in a pipe."""
    width = None if sys.stdout.isatty() else OFF_TERMINAL_WIDTH
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors=_SPELLED_OUT)
    return _Screen(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def heading(text: str) -> Text:
    """A line above a table."""
    return Text(text, style="bold")


def print_rows(
    screen: Console, columns: Mapping[str, Sequence[Any]], *, numeric: Iterable[str] = (), wrap: str = ""
) -> None:
    """Print a table of the columns, one line a row; what the screen is too narrow for is named below it.

    ``numeric`` columns stand to the right, as do those that hold numbers only. The column ``wrap`` is given in full, on
    as many lines as it takes.
    """
    cells = {name: [cell(name, value, whole=name == wrap) for value in values] for name, values in columns.items()}
    widths = {name: max(map(cell_len, [printable(name), *texts])) for name, texts in cells.items()}
    shown, left_out = _fitting(widths, screen.width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name, width in shown.items():
        right = name in numeric or all(_is_number(value) for value in columns[name] if not _is_missing(value))
        justify: Any = "right" if right and cells[name] else "left"
        if name == wrap:
            table.add_column(Text(printable(name)), overflow="fold")
        else:
            table.add_column(Text(printable(name)), justify=justify, no_wrap=True, max_width=width)
    for row in zip(*(cells[name] for name in shown), strict=True):
        table.add_row(*map(Text, row))
    screen.print(table)
    if left_out:
        screen.print(f"too narrow for: {', '.join(map(printable, left_out))}", style="dim")


def _fitting(widths: Mapping[str, int], room: int) -> tuple[dict[str, int], list[str]]:
    """The columns that fit beside each other with their widths, and the names of those that do not.

    The last column is kept, cut if need be, and the others from the left: events end in their payload.
    """
    *others, last = widths
    kept_for_last = min(widths[last], NARROWEST_LAST) + GAP
    shown: dict[str, int] = {}
    for name in others:
        if widths[name] + kept_for_last > room:
            break
        shown[name] = widths[name]
        room -= widths[name] + GAP
    shown[last] = max(min(widths[last], room), 1)
    return shown, others[len(shown) - 1 :]


def cell(column: str, value: Any, *, whole: bool = False) -> str:
    """One value as the text of a cell; cut where it is long, unless the ``whole`` is wanted."""
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
    text = printable(str(value))
    return text if whole else shortened(text)


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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_missing(value: object) -> bool:
    # NaN and pandas' NaT differ from themselves; pandas' NA tells by its name without importing pandas.
    return value is None or type(value).__name__ == "NAType" or bool(value != value)
