"""Kinds by name: what a person gave, or their four hex digits."""

from __future__ import annotations

from collections.abc import Mapping

from batpak_analytics.markup import clip, one_line

Names = Mapping[int, str]
LONGEST_NAME = 34
"""Bytes that a name takes in a line."""


def name_text(name: str) -> str:
    """A name from a store, in a line, a list or a title: what could break out of it is replaced."""
    return clip(one_line(name), LONGEST_NAME)


def kind_label(kind: int, names: Names) -> str:
    """The name of a kind, or its four hex digits."""
    return name_text(names.get(kind, f"0x{kind:04X}"))


def kind_number(text: str, names: Names) -> int | None:
    """The kind of this name or number, None for no text; raises `ValueError` for another."""
    given = text.strip()
    named = [kind for kind, name in names.items() if name == given]
    if named or not given:
        return named[0] if named else None
    try:
        return int(given, 0)
    except ValueError:
        raise ValueError(f"{given!r} is no kind. Give its name, or a number such as 0x1001.") from None
