"""The answers of a replay as DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

Series: TypeAlias = "pd.Series[Any]"
EXACT_IN_FLOAT = 1 << 53
NO_EVENT = -1


def moments(columns: Any, rows: Any) -> dict[str, Any]:
    """Columns that tell of the events at these rows; `NO_EVENT` is none, and may come first only."""
    none = len(rows) > 0 and int(rows[0]) == NO_EVENT
    at = rows[1:] if none else rows
    entity, names = _categories(columns.entity[at], columns.entities)
    wall = columns.wall_ms[at].view("datetime64[ms]")
    sequence, kind = columns.sequence[at], columns.kind[at]
    if none:
        entity = np.concatenate([[-1], entity])
        wall = np.concatenate([[np.datetime64("NaT", "ms")], wall])
        sequence, kind = (_with_missing(values) for values in (sequence, kind))
    return {
        "global_sequence": sequence,
        "wall_time": pd.DatetimeIndex(wall, tz="UTC").array,
        "entity": pd.Categorical.from_codes(entity, categories=names),
        "kind": kind,
    }


def _categories(codes: Any, names: list[str]) -> tuple[Any, Any]:
    """Codes and categories of only those names that occur."""
    used = np.bincount(codes, minlength=len(names)) > 0
    occurring = [name for name, one in zip(names, used.tolist(), strict=True) if one]
    return (np.cumsum(used) - 1)[codes], pd.Index(occurring, dtype="str")


def _with_missing(values: Any) -> Any:
    """A missing value before these, in pandas' nullable integers: floats would not hold every number."""
    whole = np.concatenate([np.zeros(1, values.dtype), values])
    mask = np.zeros(len(whole), bool)
    mask[0] = True
    return pd.arrays.IntegerArray(whole, mask)


def trace_frame(columns: Any, first: int, values: Series) -> pd.DataFrame:
    """One row for each position from `first`."""
    count = len(values)
    told = moments(columns, np.arange(first - 1, first - 1 + count))
    index = pd.RangeIndex(first, first + count, name="position")
    return pd.DataFrame({**told, "value": values.array}, index=index)


def changes_frame(columns: Any, rows: Sequence[tuple[int, Any, Any, Any]]) -> pd.DataFrame:
    """One row for each (position, old, new, delta)."""
    position = np.array([row[0] for row in rows], np.int64)
    told = moments(columns, position - 1)
    values = {name: series_of([row[at] for row in rows]) for at, name in ((1, "old"), (2, "new"), (3, "delta"))}
    return pd.DataFrame({"position": position, **told, **values})


class Values:
    """Values that come some at a time; where they are numbers of one sort, they are held as such, 8 bytes each."""

    def __init__(self) -> None:
        self._parts: list[Any] = []

    def add(self, part: list[Any], kind: Any = None) -> None:
        """The values that follow, and their type, where it is known that they have one."""
        made = numbers(part, kind)
        self._parts.append(part if made is None else made)

    def series(self) -> Series:
        """All of them, as `series_of` makes them."""
        kinds = {getattr(part, "dtype", None) for part in self._parts}
        if len(kinds) == 1 and None not in kinds:
            return pd.Series(np.concatenate(self._parts))
        whole: list[Any] = []
        for part in self._parts:
            whole += part.tolist() if isinstance(part, np.ndarray) else part
        return series_of(whole)


def changed_rows(columns: Any, states: Series, before: Any) -> pd.DataFrame:
    """One row for each event whose state differs from the one at the position `before` it."""
    old, new = states.iloc[before].reset_index(drop=True), states.iloc[1:].reset_index(drop=True)
    same = (old == new).fillna(False) | (old.isna() & new.isna())
    rows = np.flatnonzero(~same.to_numpy(bool))
    values = {"old": old.iloc[rows].array, "new": new.iloc[rows].array}
    number = pd.api.types.is_numeric_dtype(states.dtype) and not pd.api.types.is_bool_dtype(states.dtype)
    delta = new.iloc[rows].array - old.iloc[rows].array if number else series_of([None] * len(rows)).array
    return pd.DataFrame({"position": rows.astype(np.int64) + 1, **moments(columns, rows), **values, "delta": delta})


def plain_value(value: Any) -> Any:
    """A cell as a Python value."""
    return value.item() if isinstance(value, np.generic) else value


def numbers(values: list[Any], kind: Any = None) -> Any:
    """Values as an array of bool, int64 or float64, where all are of that very sort; else None."""
    kinds = set(map(type, values)) if kind is None else {kind}
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    if kind is int:
        try:
            return np.fromiter(values, np.int64, len(values))
        except OverflowError:
            return None
    return np.array(values, kind) if kind in (bool, float) else None


def series_of(values: list[Any]) -> Series:
    """Values as a Series that keeps each: integers stay integers, and what has no dtype of its own is an object."""
    plain = numbers(values)
    if plain is not None:
        return pd.Series(plain)
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean")
    if kinds == {int}:
        try:
            return pd.Series(values, dtype="Int64")
        except OverflowError:
            pass  # an object holds any number
    elif kinds == {float} or kinds == {int, float}:
        if all(abs(value) <= EXACT_IN_FLOAT for value in values if type(value) is int):
            return pd.Series(values, dtype=np.float64)
    elif kinds == {str}:
        return pd.Series(values, dtype="str")
    made = np.empty(len(values), object)
    for at, value in enumerate(values):
        made[at] = value
    return pd.Series(made)
