"""HTML that notebooks show: made of pieces that escape whatever is put into them.

Every name and payload in a store was written by somebody, and a notebook runs the script in what it shows. So text
becomes markup in one place, here: plain `str` is always escaped, and only `Html`, which these functions return, is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any

ID_DIGITS = 8
"""Ids are shown by their end: a UUIDv7 begins with the time, so its head says little."""
MOST_ROWS = 25
_UNPRINTABLE = "\ufffd"


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def text(value: Any) -> Html:
    """A value as markup."""
    return value if isinstance(value, Html) else Html(escape(printable(value), quote=False))


def printable(value: Any) -> str:
    """A value as text; what is not printable (controls, marks that turn the direction of writing) is replaced."""
    plain = str(value)
    if plain.isprintable():
        return plain
    return "".join(char if char.isprintable() or char == "\n" else _UNPRINTABLE for char in plain)


def one_line(value: Any) -> str:
    """A value as text of one line that a terminal shows as it stands: no break, no escape, no turned direction."""
    return printable(value).replace("\n", _UNPRINTABLE)


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """``1 event``, ``2 events``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {nouns or noun + 's'}"


def time_text(microseconds: int) -> str:
    """A time in microseconds since 1970 as ``2026-03-01 09:00:00.000000 UTC``; as a number where the calendar ends."""
    try:
        return f"{datetime(1970, 1, 1) + timedelta(microseconds=microseconds):%Y-%m-%d %H:%M:%S.%f} UTC"
    except OverflowError:
        return f"{microseconds} µs since 1970"


def duration_text(milliseconds: float) -> str:
    """A duration in the largest unit that keeps it at 1 or more: ``99 µs``, ``12.5 ms``, ``6.7 min``."""
    size, unit = abs(milliseconds) * 1000, "µs"
    for larger, count in (("ms", 1000), ("s", 1000), ("min", 60), ("h", 60), ("d", 24)):
        if size < count:
            break
        size, unit = size / count, larger
    return f"{'-' if milliseconds < 0 else ''}{size:,.{0 if size >= 100 or size == round(size) else 1}f} {unit}"


def size_text(size_bytes: int) -> str:
    """A size in the largest unit that keeps it at 1 or more: ``12.4 MiB``."""
    size, units = float(size_bytes), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while abs(size) >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size_bytes} bytes" if units[0] == "bytes" else f"{size:.1f} {units[0]}"


def element(name: str, *children: Any, **attributes: Any) -> Html:
    """`<name ...>children</name>`. `class_` is written `class`, `aria_label` `aria-label`; None leaves one out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(printable(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>{''.join(map(text, children))}</{name}>")


def joined(parts: Iterable[Any], between: str = "") -> Html:
    """Several pieces one after the other."""
    return Html(text(between).join(map(text, parts)))


def clip(value: Any, most: int) -> str:
    """A value as text whose markup takes at most `most` bytes; what is cut off becomes an ellipsis."""
    whole = str(value)
    if len(whole) <= most and len(text(whole).encode()) <= most:
        return whole
    left, kept = most - len("…".encode()), []
    for char in whole[:most]:
        left -= len(text(char).encode())
        if left < 0:
            break
        kept.append(char)
    return "".join(kept) + "…"


def short_id(event_id: bytes | str) -> str:
    """The last digits of an id or a hash, given as bytes or in hex."""
    digits = event_id.hex() if isinstance(event_id, bytes) else event_id
    return f"…{digits[-ID_DIGITS:]}"


def table(columns: Mapping[str, Sequence[Any]], caption: Any = None, numeric: Iterable[str] = ()) -> Html:
    """Columns as an HTML table; those of numbers, and named in `numeric`, stand to the right. None is an empty cell."""
    asked = set(numeric)
    right = {name: "text-align:right" if name in asked or _numbers(columns[name]) else None for name in columns}
    head = element("tr", *(element("th", name, scope="col", style=right[name]) for name in columns))
    rows = (
        element("tr", *(element("td", "" if value is None else value, style=_unbroken(value) or right[name])
                        for name, value in zip(columns, row, strict=True)))
        for row in zip(*columns.values(), strict=True)
    )  # fmt: skip
    told = "" if caption is None else element("caption", caption, style="text-align:left")
    return element("table", told, element("thead", head), element("tbody", *rows))


def _numbers(values: Sequence[Any]) -> bool:
    there = [value for value in values if value is not None]
    return bool(there) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in there)


def _unbroken(value: Any) -> str | None:
    # The end of an id stays with its ellipsis: a line is broken between them otherwise.
    return "white-space:nowrap" if isinstance(value, str) and value.startswith("…") else None


def facts(title: Any, pairs: Mapping[str, Any]) -> Html:
    """What is known of one thing: a heading, and a row for each fact that is not None."""
    rows = (
        element("tr", element("th", name, scope="row", style="text-align:left"),
                element("td", value, style="text-align:left"))
        for name, value in pairs.items()
        if value is not None
    )  # fmt: skip
    return element("div", element("div", title), element("table", element("tbody", *rows)))


def titled(name: str, path: Any, told: str) -> Html:
    """The heading of a card: what it is, of which store, and one thing more."""
    return joined([element("b", name), " of ", path, f": {told}" if told else ""])


def preformatted(value: Any) -> Html:
    """Text in lines, as it would be printed."""
    return element("pre", value)


def folded(summary: Any, *children: Any) -> Html:
    """Children that appear when the summary is clicked, or opened from the keyboard."""
    return element("details", element("summary", summary), *children)


def first_rows(columns: Mapping[str, Sequence[Any]], caption: Any = None, most: int = MOST_ROWS) -> Html:
    """A table of the first rows, and how many there are besides."""
    count = max((len(values) for values in columns.values()), default=0)
    shown = table({name: values[:most] for name, values in columns.items()}, caption)
    return shown if count <= most else joined([shown, element("div", f"and {count - most:,} more")])
