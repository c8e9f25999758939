"""What differs between two states, as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from html import escape
from numbers import Number
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from batpak_analytics.projection.parts import MISSING, Keys, named_parts, path_text, same

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 20
MAX_TEXT = 60
DEEPEST = 200
"""Levels that are looked into; what is below is compared as a whole."""


@dataclass(frozen=True, slots=True)
class Change:
    """One part of a state that differs.

    `path` is how one writes where it is, `keys` the same as a tuple, which `Replay.changes` takes. `change` is
    "changed", "added" (then `old` is None) or "removed" (then `new` is None). `delta` is `new - old` for numbers and
    times of one sort, else None.
    """

    path: str
    keys: Keys
    change: Literal["changed", "added", "removed"]
    old: Any
    new: Any
    delta: Any = None

    def __str__(self) -> str:
        where = self.path or "state"
        if self.change != "changed":
            sign, value = ("+", self.new) if self.change == "added" else ("-", self.old)
            return f"{sign} {where}: {short(value)}"
        moved = "" if self.delta is None else f" ({signed(self.delta)})"
        return f"{where}: {short(self.old)} -> {short(self.new)}{moved}"


class Diff(Sequence[Change]):
    """The changes from one state to another, by their place in the state: a sequence, and `to_pandas()`.

    `start` and `stop` are the positions that were compared.
    """

    def __init__(self, changes: Sequence[Change], start: int | None = None, stop: int | None = None) -> None:
        self.changes, self.start, self.stop = tuple(changes), start, stop

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Change, ...]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.changes[index]

    def __len__(self) -> int:
        return len(self.changes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Diff) and self.changes == other.changes

    __hash__ = None  # type: ignore[assignment]

    def to_pandas(self) -> pd.DataFrame:
        """Columns `path` (str), `change` (str), `old`, `new`, `delta` (objects, as they are in the states)."""
        import pandas as pd

        columns = {name: _objects([getattr(one, name) for one in self.changes]) for name in ("old", "new", "delta")}
        texts = {name: [getattr(one, name) for one in self.changes] for name in ("path", "change")}
        return pd.DataFrame({**{name: pd.Series(text, dtype="str") for name, text in texts.items()}, **columns})

    def __repr__(self) -> str:
        if not self.changes:
            return f"Diff({self._span}no change)"
        lines = [str(one) for one in self.changes[:SHOWN]]
        more = len(self.changes) - len(lines)
        return "\n  ".join([f"Diff({self._span}{len(self)} changed)", *lines, *([f"and {more} more"] if more else [])])

    @property
    def _span(self) -> str:
        return "" if self.start is None else f"{self.start} -> {self.stop}, "

    def _repr_html_(self) -> str:
        heads = "".join(f'<th scope="col">{name}</th>' for name in ("path", "old", "new", "delta"))
        rows = "".join(f"<tr>{''.join(_cells(one))}</tr>" for one in self.changes[:SHOWN])
        more = len(self.changes) - SHOWN
        tail = f"<div>and {more:,} more</div>" if more > 0 else ""
        head = escape(f"{self._span}{len(self)} changed" if self.changes else f"{self._span}no change")
        return f"<table><caption>{head}</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{tail}"


def _cells(one: Change) -> Iterator[str]:
    texts = (
        one.path or "state",
        "" if one.change == "added" else short(one.old),
        "" if one.change == "removed" else short(one.new),
        "" if one.delta is None else signed(one.delta),
    )
    return (f"<td>{escape(text)}</td>" for text in texts)


def _objects(values: list[Any]) -> Any:
    made = np.empty(len(values), object)
    for at, value in enumerate(values):
        made[at] = value
    return made


def short(value: Any) -> str:
    """A value in few letters; sets in order, so that the same state reads the same."""
    if isinstance(value, (set, frozenset)):
        text = "{" + ", ".join(short(item) for item in ordered(value)[:SHOWN]) + "}"
    else:
        text = repr(value)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def signed(delta: Any) -> str:
    """A difference with its sign."""
    return f"{delta:+}" if isinstance(delta, Number) else str(delta)


def ordered(items: Set[Any]) -> list[Any]:
    """The items of a set in an order that does not depend on their hashes."""
    return sorted(items, key=lambda item: (type(item).__name__, item if isinstance(item, str) else "", repr(item)))


def diff_states(old: Any, new: Any) -> list[Change]:
    """What differs, part by part: keys in the order of the old state, then new ones; lists by index; sets by item."""
    return list(_changes(old, new, ()))


def _changes(old: Any, new: Any, keys: Keys) -> Iterator[Change]:
    if old is MISSING:
        yield Change(path_text(keys), keys, "added", None, new)
    elif new is MISSING:
        yield Change(path_text(keys), keys, "removed", old, None)
    elif not same(old, new):
        pairs = None if len(keys) >= DEEPEST else _pairs(old, new)
        if pairs is None:
            yield Change(path_text(keys), keys, "changed", old, new, difference(old, new))
            return
        for key, left, right in pairs:
            if left is MISSING or right is MISSING or not same(left, right):
                yield from _changes(left, right, (*keys, key))


def _pairs(old: Any, new: Any) -> list[tuple[Any, Any, Any]] | None:
    """The parts of two values of one shape, side by side; None where they are compared as a whole."""
    if isinstance(old, (list, tuple)) and type(old) is type(new) and not hasattr(old, "_fields"):
        length = max(len(old), len(new))
        return [(at, _item(old, at), _item(new, at)) for at in range(length)]
    if isinstance(old, Set) and isinstance(new, Set):
        return [*((item, item, MISSING) for item in ordered(old - new)),
                *((item, MISSING, item) for item in ordered(new - old))]  # fmt: skip
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)) and type(old) is not type(new):
        return None
    left = named_parts(old)
    right = None if left is None else named_parts(new)
    if left is None or right is None:
        return None
    names = [*left, *(name for name in right if name not in left)]
    found = [(name, left.get(name, MISSING), right.get(name, MISSING)) for name in names]
    # Objects that differ in nothing that has a name are told as a whole.
    return found if any(a is MISSING or b is MISSING or not same(a, b) for _, a, b in found) else None


def _item(values: Sequence[Any], at: int) -> Any:
    return values[at] if at < len(values) else MISSING


def difference(old: Any, new: Any) -> Any:
    """`new - old` where that says something, else None."""
    for kind in ((int, float, np.number), (Decimal,), (date,)):
        if isinstance(old, kind) and isinstance(new, kind) and not isinstance(old, bool) and not isinstance(new, bool):
            try:
                # NumPy's unsigned numbers would wrap around.
                return _plain(new) - _plain(old)
            except (TypeError, ValueError, OverflowError, ArithmeticError):
                return None
    return None


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
