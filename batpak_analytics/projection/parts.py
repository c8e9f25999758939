"""What a state is made of: its fields by name, for any of the shapes that states have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


class Missing:
    """What stands for a value that is not there; the only one is `MISSING`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "missing"

    def __reduce__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING = Missing()
_BY_IDENTITY: Any = object.__eq__
Key = Any
Keys = tuple[Key, ...]


def named_parts(value: Any) -> dict[Key, Any] | None:
    """The parts of a mapping or of an object with fields, by key; None for anything else."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, type):
        return None
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    names = getattr(type(value), "__struct_fields__", None) or getattr(value, "_fields", None)
    if isinstance(names, tuple):
        return {name: getattr(value, name) for name in names}
    if getattr(type(value), "__eq__") is _BY_IDENTITY and not callable(value):  # noqa: B009
        # Objects that are compared by identity: a copy of a state holds others, and their fields are what counts.
        slots = [name for cls in type(value).__mro__ for name in _slots(cls)]
        found = {name: getattr(value, name) for name in slots if hasattr(value, name)} | getattr(value, "__dict__", {})
        return found or None
    return None


def _slots(cls: type) -> Iterable[str]:
    given = cls.__dict__.get("__slots__", ())
    return (name for name in ((given,) if isinstance(given, str) else given) if name not in ("__dict__", "__weakref__"))


def get_part(state: Any, keys: Keys) -> Any:
    """The part of a state at the end of a path of keys, attributes or indices; MISSING where there is none."""
    for key in keys:
        if isinstance(state, Mapping):
            state = state.get(key, MISSING)
        elif isinstance(state, (list, tuple)) and isinstance(key, int):
            state = state[key] if -len(state) <= key < len(state) else MISSING
        elif isinstance(key, str):
            state = getattr(state, key, MISSING)
        else:
            return MISSING
        if state is MISSING:
            return MISSING
    return state


def keys_of(field: Any) -> Keys:
    """A field as given: a name, names joined by dots, or a tuple of keys."""
    if isinstance(field, tuple) and field:
        return field
    if isinstance(field, str) and field:
        return tuple(field.split("."))
    raise TypeError(f'field={field!r}: give a name such as "total", "orders.open", a tuple of keys, or a function.')


def path_text(keys: Keys) -> str:
    """Keys as one writes them: `orders.open`, `by["order:7"].total`, `[0]`."""
    text = ""
    for key in keys:
        if isinstance(key, str) and key.isidentifier():
            text += f".{key}" if text else key
        else:
            text += f"[{key!r}]"
    return text


def same(old: Any, new: Any) -> bool:
    """Whether two states are equal, NaN to itself, and objects without an equality of their own by their fields."""
    return _same(old, new, 0)


def _same(old: Any, new: Any, depth: int) -> bool:
    if old is new:
        return True
    if isinstance(old, float) and isinstance(new, float) and math.isnan(old) and math.isnan(new):
        return True
    if isinstance(old, bool) is not isinstance(new, bool):
        return False
    if depth > 200:
        return bool(old == new)
    if isinstance(old, (list, tuple)) and isinstance(new, type(old)) and not hasattr(old, "_fields"):
        return len(old) == len(new) and all(_same(a, b, depth + 1) for a, b in zip(old, new, strict=True))
    if isinstance(old, np.ndarray) or isinstance(new, np.ndarray):
        return _same_arrays(old, new)
    left = named_parts(old)
    right = None if left is None else named_parts(new)
    if left is not None and right is not None and (isinstance(old, Mapping) or type(old) is type(new)):
        return left.keys() == right.keys() and all(_same(left[key], right[key], depth + 1) for key in left)
    return _equal(old, new)


def _same_arrays(old: Any, new: Any) -> bool:
    if type(old) is not type(new) or old.shape != new.shape or old.dtype != new.dtype:
        return False
    if old.dtype == object:
        return _same(old.tolist(), new.tolist(), 0)
    return bool(np.array_equal(old, new, equal_nan=old.dtype.kind in "fcmM"))


def _equal(old: Any, new: Any) -> bool:
    if hasattr(old, "equals") and type(old) is type(new):  # DataFrames and Arrow tables compare by cell
        return bool(old.equals(new))
    try:
        return bool(old == new)
    except (TypeError, ValueError):
        return False
