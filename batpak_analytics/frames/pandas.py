"""A table of events as a DataFrame: pandas dtypes without the losses of the default conversion.

pandas turns nullable integers into floats (2**63 + 1 comes back as 9.2e18) and fixed-size binary into
objects without order. Here integers stay integers, ids read as hex, and nested values are plain lists and
dicts.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from batpak_analytics.arrow.scan import findings_by_severity
from batpak_analytics.arrow.schema import is_hash, is_id, is_kind
from batpak_analytics.engine.parallel import in_order
from batpak_analytics.frames.categories import category, named_kinds
from batpak_analytics.frames.hexadecimal import hex_text

Series: TypeAlias = "pd.Series[Any]"
PARALLEL_ROWS = 50_000
"""From here on columns are converted several at a time; below, threads cost more than they save."""

_TEXT = (pa.string(), pa.large_string())
_NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}
_NUMPY_NULLABLE = {
    **_NULLABLE,
    pa.float32(): pd.Float32Dtype(),
    pa.float64(): pd.Float64Dtype(),
    **dict.fromkeys(_TEXT, pd.StringDtype()),
}


def scan_to_frame(scan: Any, table: pa.Table, dtype_backend: str | None) -> pd.DataFrame:
    """`table`, which `scan` gave (a `Scan`, or another lazy table), as a DataFrame with `attrs["batpak"]`."""
    frame = table_to_frame(table, ids=scan.ids, kind_names=scan.kind_names, dtype_backend=dtype_backend)
    frame.attrs["batpak"] = {
        "path": scan.path,
        "rows": len(frame),
        "findings": findings_by_severity(scan.view),
    }
    return frame


def table_to_frame(
    table: pa.Table,
    *,
    ids: str = "hex",
    kind_names: Mapping[int, str] | None = None,
    dtype_backend: str | None = None,
) -> pd.DataFrame:
    """Any table of events as a DataFrame; `read_batpak` describes the dtypes."""

    def converted(name: str) -> Series:
        if kind_names is not None and is_kind(name):
            return named_kinds(table.column(name), kind_names)
        return _series(name, table.column(name), ids, dtype_backend)

    made = _several(converted, table.column_names, table.num_rows)
    frame = pd.DataFrame(
        dict(zip(table.column_names, made, strict=True)), index=pd.RangeIndex(table.num_rows), copy=False
    )
    frame.columns = pd.Index(table.column_names)
    return frame


def _several(make: Callable[[str], Series], names: list[str], rows: int) -> Iterable[Series]:
    """`make(name)` for each name, on as many threads as there are processors where there are many rows."""
    if rows < PARALLEL_ROWS:
        return map(make, names)
    return list(in_order(make, names))


def _series(name: str, column: Any, ids: str, backend: str | None) -> Series:
    kind = column.type
    if is_id(name, kind) or is_hash(name, kind):
        return _identifiers(column, "hex" if ids == "uuid" and is_hash(name, kind) else ids, backend)
    if pa.types.is_dictionary(kind):
        # Also under "pyarrow": an Arrow dictionary in pandas can be neither sorted nor compared by order.
        return category(column)
    if pa.types.is_binary_view(kind):
        column = column.cast(pa.large_binary())
    if backend == "pyarrow":
        return _converted(column, pd.ArrowDtype)
    if pa.types.is_map(kind):
        return _objects([None if value is None else dict(value) for value in column.to_pylist()])
    if pa.types.is_nested(kind):
        # to_pandas would make float arrays of integer lists with a null; Python values are exact.
        return _objects(column.to_pylist())
    return _plain(column, backend)


def _plain(column: Any, backend: str | None) -> Series:
    if backend == "numpy_nullable":
        return _converted(column, _NUMPY_NULLABLE.get)
    # A column without missing values keeps the plain NumPy dtype.
    types = dict(_NULLABLE) if column.null_count else {}
    text = pd.Series(["a"]).dtype
    if isinstance(text, pd.StringDtype):  # pandas 3, which holds Arrow's own strings; before, objects
        types |= dict.fromkeys(_TEXT, text)
    return _converted(column, types.get)


def _converted(column: Any, types_mapper: Any) -> Series:
    made: Series = column.to_pandas(types_mapper=types_mapper)
    if isinstance(made.dtype, np.dtype) and made.dtype.kind in "iuf" and column.num_chunks == 1:
        return made.copy()  # pandas would show Arrow's own memory, to which nobody may write
    return made


def _objects(values: list[Any]) -> Series:
    made = np.empty(len(values), object)
    made[:] = values
    return pd.Series(made)


def _identifiers(column: Any, form: str, backend: str | None) -> Series:
    if form == "hex":
        text = pa.chunked_array([hex_text(column)])
        if backend == "pyarrow":
            return _converted(text, pd.ArrowDtype)
        return _plain(text, backend)
    if form == "uuid":
        return _objects([None if value is None else uuid.UUID(bytes=value) for value in column.to_pylist()])
    if backend == "pyarrow":
        return _converted(column, pd.ArrowDtype)
    return _objects(column.to_pylist())
