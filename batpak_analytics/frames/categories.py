"""Categories without a look at any value: from Arrow dictionaries, and from numbers that have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from batpak_analytics.format.layout import U16_MAX

Series: TypeAlias = "pd.Series[Any]"


def category(column: Any) -> Series:
    """A dictionary column; strings in use are the categories, in the order of the dictionary."""
    chunks = column.unify_dictionaries().chunks
    strings = chunks[0].dictionary if chunks else pa.array([], column.type.value_type)
    codes = _codes([chunk.indices for chunk in chunks])
    used = np.zeros(len(strings) + 1, bool)  # the last is for -1, a missing value
    used[codes] = True
    if not used[:-1].all():
        table = np.full(len(used), -1, codes.dtype)
        table[:-1][used[:-1]] = np.arange(np.count_nonzero(used[:-1]))
        strings, codes = strings.filter(pa.array(used[:-1])), table[codes]
    return _series(codes, pd.Index(strings.to_pandas()))


def _codes(indexes: list[Any]) -> Any:
    """Dictionary indexes as numbers, -1 where there is no value."""
    parts = [part.fill_null(-1) if part.null_count else part for part in indexes]
    return np.concatenate([part.to_numpy() for part in parts]) if parts else np.zeros(0, np.int32)


def named_kinds(column: Any, names: Mapping[int, str]) -> Series:
    """Kinds as a category of names, ordered by number; a kind without a name reads `0x1002`."""
    kinds = (column.fill_null(0) if column.null_count else column).to_numpy()
    missing = column.is_null().to_numpy() if column.null_count else np.zeros(len(kinds), bool)
    used = np.zeros(U16_MAX + 1, bool)
    used[kinds[~missing]] = True
    distinct: dict[str, int] = {}
    table = np.zeros(U16_MAX + 1, np.int32)
    for kind in np.flatnonzero(used).tolist():
        table[kind] = distinct.setdefault(names.get(kind, f"0x{kind:04X}"), len(distinct))
    return _series(np.where(missing, np.int32(-1), table[kinds]), pd.Index(list(distinct)))


def _series(codes: Any, categories: Any) -> Series:
    # Every code is an index into the categories or -1: nothing is left to check.
    return pd.Series(pd.Categorical.from_codes(codes, categories=categories, validate=False))
