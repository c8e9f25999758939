"""A table of events as a DataFrame: pandas dtypes without the losses of the default conversion.

pandas turns nullable integers into floats (2**63 + 1 comes back as 9.2e18) and fixed-size binary into
objects without order. Here integers stay integers, ids read as hex, and nested values are plain lists and
dicts.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from batpak_analytics.arrow.scan import Scan, findings_by_severity
from batpak_analytics.arrow.schema import HASH_COLUMNS, ID_COLUMNS

Series: TypeAlias = "pd.Series[Any]"
_HEX = np.array([f"{byte:02x}".encode() for byte in range(256)], "S2").view("<u2")
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
    pa.string(): pd.StringDtype(),
    pa.large_string(): pd.StringDtype(),
}


def scan_to_frame(scan: Scan, table: pa.Table, dtype_backend: str | None) -> pd.DataFrame:
    """`table`, which `scan` gave, as a DataFrame with `attrs["batpak"]`."""
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
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        if name == "kind" and kind_names is not None:
            columns[name] = _named_kinds(column, kind_names)
        else:
            columns[name] = _series(name, column, ids, dtype_backend)
    frame = pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows), copy=False)
    frame.columns = pd.Index(table.column_names)
    return frame


def _series(name: str, column: Any, ids: str, backend: str | None) -> Series:
    kind = column.type
    if name in ID_COLUMNS or name in HASH_COLUMNS:
        return _identifiers(column, "hex" if ids == "uuid" and name in HASH_COLUMNS else ids, backend)
    if pa.types.is_dictionary(kind):
        # Also under "pyarrow": an Arrow dictionary in pandas can be neither sorted nor compared by order.
        return _category(column)
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
    return _converted(column, _NULLABLE.get if column.null_count else None)


def _converted(column: Any, types_mapper: Any) -> Series:
    made: Series = column.to_pandas(types_mapper=types_mapper)
    return made


def _objects(values: list[Any]) -> Series:
    made = np.empty(len(values), object)
    made[:] = values
    return pd.Series(made)


def _category(column: Any) -> Series:
    """Strings in use as categories, in the order of first appearance in the store."""
    series: Series = column.to_pandas()
    return series.cat.remove_unused_categories()


def _named_kinds(column: Any, names: Mapping[int, str]) -> Series:
    """Kinds as a category of names, ordered by number; a kind without a name reads `0x1002`."""
    kinds, codes = np.unique(column.to_numpy(), return_inverse=True)
    labels = [names.get(kind, f"0x{kind:04x}") for kind in kinds.tolist()]
    distinct = list(dict.fromkeys(labels))
    merged = np.array([distinct.index(label) for label in labels], np.intp)
    return pd.Series(pd.Categorical.from_codes(merged[codes].tolist(), categories=pd.Index(distinct)))


def _identifiers(column: Any, form: str, backend: str | None) -> Series:
    if form == "hex":
        text = pa.chunked_array([hex_text(chunk) for chunk in column.chunks], pa.large_string())
        if backend == "pyarrow":
            return _converted(text, pd.ArrowDtype)
        return _plain(text, backend)
    if form == "uuid":
        return _objects([None if value is None else uuid.UUID(bytes=value) for value in column.to_pylist()])
    if backend == "pyarrow":
        return _converted(column, pd.ArrowDtype)
    return _objects(column.to_pylist())


def hex_text(array: Any) -> pa.Array:
    """A `fixed_size_binary` array as lower-case hexadecimal strings, nulls kept."""
    width, count = array.type.byte_width, len(array)
    if not count:
        return pa.array([], pa.large_string())
    stored = np.frombuffer(array.buffers()[1], np.uint8)
    stored = stored[array.offset * width : (array.offset + count) * width]
    digits = _HEX[stored]
    offsets = np.arange(count + 1, dtype=np.int64) * (2 * width)
    valid = None
    if array.null_count:
        valid = pa.py_buffer(np.packbits(array.is_valid().to_numpy(zero_copy_only=False), bitorder="little"))
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(digits)]
    return pa.Array.from_buffers(pa.large_string(), count, buffers)
