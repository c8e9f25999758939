"""The answers of a replay as DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from batpak_analytics.format.collected import numbers
from batpak_analytics.projection.diff import difference

Series: TypeAlias = "pd.Series[Any]"
EXACT_IN_FLOAT = 1 << 53
NO_TIME = np.iinfo(np.int64).min  # NaT


def moments(columns: Any, rows: Any) -> dict[str, Any]:
    """Columns that tell of the events at these rows, which are numbers or a slice."""
    entity, names = _categories(columns.entity[rows], columns.entities)
    return {
        "global_sequence": columns.sequence[rows].copy(),
        "wall_time": _times(columns.wall_ms[rows]),
        "entity": pd.Categorical.from_codes(entity, categories=names),
        "kind": columns.kind[rows].copy(),
    }


def _moments_after_none(columns: Any, stop: int) -> dict[str, Any]:
    """The same of the events before `stop`, behind a row for the position before any event."""
    entity, names = _categories(columns.entity[:stop], columns.entities)
    return {
        "global_sequence": _with_missing(columns.sequence[:stop]),
        "wall_time": _times(np.concatenate([[NO_TIME], columns.wall_ms[:stop]])),
        "entity": pd.Categorical.from_codes(np.append(entity.dtype.type(-1), entity), categories=names),
        "kind": _with_missing(columns.kind[:stop]),
    }


def _times(wall_ms: Any) -> Any:
    return pd.DatetimeIndex(wall_ms.view("datetime64[ms]"), tz="UTC").array


def _categories(codes: Any, names: list[str]) -> tuple[Any, Any]:
    """Codes and categories of only those names that occur."""
    used = np.bincount(codes, minlength=len(names)) > 0
    occurring = [name for name, one in zip(names, used.tolist(), strict=True) if one]
    places = (np.cumsum(used) - 1).astype(np.int16 if len(names) <= np.iinfo(np.int16).max else np.int32)
    return places[codes], pd.Index(occurring, dtype="str")


def _with_missing(values: Any) -> Any:
    """A missing value before these, in pandas' nullable integers: floats would not hold every number."""
    whole = np.concatenate([np.zeros(1, values.dtype), values])
    mask = np.zeros(len(whole), bool)
    mask[0] = True
    return pd.arrays.IntegerArray(whole, mask)


def trace_frame(columns: Any, first: int, values: Series) -> pd.DataFrame:
    """One row for each position from `first`."""
    stop = first + len(values)
    told = moments(columns, slice(first - 1, stop - 1)) if first else _moments_after_none(columns, stop - 1)
    index = pd.RangeIndex(first, stop, name="position")
    return pd.DataFrame({**told, "value": values.array}, index=index, copy=False)


def changes_frame(columns: Any, rows: Sequence[tuple[int, Any, Any, Any]]) -> pd.DataFrame:
    """One row for each (position, old, new, delta)."""
    position = np.array([row[0] for row in rows], np.int64)
    told = moments(columns, position - 1)
    values = {name: series_of([row[at] for row in rows]) for at, name in ((1, "old"), (2, "new"), (3, "delta"))}
    return pd.DataFrame({"position": position, **told, **values})


def changed_rows(columns: Any, states: Series, before: Any) -> pd.DataFrame:
    """One row for each event whose state differs from the one at the position `before` it."""
    old, new = states.iloc[before].reset_index(drop=True), states.iloc[1:].reset_index(drop=True)
    same = (old == new).fillna(False) | (old.isna() & new.isna())
    rows = np.flatnonzero(~same.to_numpy(bool))
    values = {"old": old.iloc[rows].array, "new": new.iloc[rows].array}
    delta = _deltas(old.iloc[rows], new.iloc[rows]).array
    return pd.DataFrame({"position": rows.astype(np.int64) + 1, **moments(columns, rows), **values, "delta": delta})


def _deltas(old: Series, new: Series) -> Series:
    """`new - old` for each, without a wrap where a column's integers do not hold it."""
    dtype: Any = old.dtype
    if dtype.kind in "iu" and dtype.itemsize < 8:
        return new.astype(np.int64) - old.astype(np.int64)
    if dtype.kind in "iu":
        delta = (new.to_numpy().view(np.uint64) - old.to_numpy().view(np.uint64)).view(np.int64)
        if bool(((delta >= 0) == (new >= old).to_numpy()).all()):
            return pd.Series(delta)
    elif dtype.kind == "f":
        return new - old
    return series_of([difference(*pair) for pair in zip(old.tolist(), new.tolist(), strict=True)])


def plain_value(value: Any) -> Any:
    """A cell as a Python value."""
    return value.item() if isinstance(value, np.generic) else value


def series_of(values: Any) -> Series:
    """Values as a Series that keeps each: integers stay integers, and what has no dtype of its own is an object.

    An array, as `Collected` makes one of numbers, is taken as it is.
    """
    plain = values if isinstance(values, np.ndarray) else numbers(values)
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
