"""Copies of states: what a caller gets is theirs to change, and what is kept changes never.

Pickling copies a state of plain dicts, lists and dataclasses four to ten times faster than `copy.deepcopy`, and its
result has a size to count; states that cannot be pickled (a `defaultdict` of a lambda, classes inside functions) are
deep-copied.
"""

from __future__ import annotations

import copy
import copyreg
import io
import itertools
import pickle
import sys
import uuid
import weakref
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

from batpak_analytics import kernels
from batpak_analytics.errors import ProjectionError
from batpak_analytics.model import EventKind
from batpak_analytics.projection.parts import Missing

Frozen = tuple[Any, int]
"""What is kept of a state, and about how many bytes it takes."""

IMMUTABLE = frozenset({
    type(None), bool, int, float, complex, str, bytes, range, Decimal, Fraction, date, datetime, time, timedelta,
    timezone, uuid.UUID, EventKind, Missing,
})  # fmt: skip
"""Types of which a value cannot change, so that it needs no copy."""

_columns: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_tokens = itertools.count()


def is_immutable(value: Any) -> bool:
    """Whether nothing in the value can change: a plain value, or a tuple or frozenset of such."""
    kind = type(value)
    return kind in IMMUTABLE or (kind in (tuple, frozenset) and all(map(is_immutable, value)))


class Copier:
    """Copies the states of one replay. `columns` are those of its events: states may hold some of these."""

    def __init__(self, columns: Any, name: str) -> None:
        self._name = name
        self._token = next(_tokens)
        _columns[self._token] = columns
        self._table = copyreg.dispatch_table.copy()
        self._table[kernels.EventRow] = lambda event: (_event, (self._token, event.row))
        self._pickles = True

    def freeze(self, state: Any) -> Frozen:
        """What to keep of a state that goes on changing."""
        if is_immutable(state):
            return state, sys.getsizeof(state)
        if self._pickles:
            try:
                return self._pickled(state)
            except Exception:
                self._pickles = False  # any library may raise anything here
        made = self._deepcopied(state)
        return _Copied(made), deep_size(made)

    def thaw(self, frozen: Any) -> Any:
        """The state that `freeze` was given, made anew."""
        if type(frozen) is bytearray:
            return pickle.loads(frozen)
        if type(frozen) is _Copied:
            return self._deepcopied(frozen.state)
        return frozen

    def copied(self, value: Any) -> Any:
        """The value itself where it cannot change, else a copy."""
        if is_immutable(value):
            return value
        return self.thaw(self.freeze(value)[0])

    def _pickled(self, state: Any) -> Frozen:
        buffer = io.BytesIO()
        pickler = pickle.Pickler(buffer, pickle.HIGHEST_PROTOCOL)
        pickler.dispatch_table = self._table
        pickler.dump(state)
        # Told apart by its type from a state of bytes, which is kept as it is.
        frozen = bytearray(buffer.getbuffer())
        return frozen, len(frozen)

    def _deepcopied(self, state: Any) -> Any:
        try:
            return copy.deepcopy(state)
        except Exception as error:
            raise ProjectionError(
                f"A state of {self._name} can be neither pickled nor deep-copied ({error}). Keep values in it that "
                f"can: no open files, generators or locks."
            ) from error


class _Copied:
    """A deep copy that is kept."""

    __slots__ = ("state",)

    def __init__(self, state: Any) -> None:
        self.state = state


def _event(token: int, row: int) -> Any:
    return _columns[token].row(row)


def deep_size(value: Any) -> int:
    """About how many bytes a value takes with all that it holds."""
    seen: set[int] = set()
    waiting = [value]
    total = 0
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, (type, Callable)):  # type: ignore[arg-type]
            continue
        seen.add(id(item))
        total += sys.getsizeof(item, 0)
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple, set, frozenset)):
            waiting += item
        else:
            waiting += vars(item).values() if hasattr(item, "__dict__") else ()
    return total
