"""What a caller may pass as a table -> record batches, one after the other."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from batpak_analytics.errors import AppendRefusedError


class Source(NamedTuple):
    """A table's columns, its rows where they are known, and its batches, which are read once and one at a time."""

    schema: pa.Schema
    rows: int | None
    batches: Iterable[pa.RecordBatch]


def source_of(table: Any) -> Source:
    """The batches of a pandas DataFrame, an Arrow table, batch or reader, or of what exports an Arrow stream.

    Raises TypeError for anything else, and `AppendRefusedError` where pandas columns have no Arrow form.
    """
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(table, pandas.DataFrame):
        table = _from_pandas(table)
    if isinstance(table, pa.RecordBatch):
        return Source(table.schema, table.num_rows, [table])
    if isinstance(table, pa.Table):
        return Source(table.schema, table.num_rows, table.to_batches())
    if isinstance(table, pa.RecordBatchReader):
        return Source(table.schema, None, table)
    if hasattr(table, "__arrow_c_stream__") and not _is_one_column(table):
        reader = pa.RecordBatchReader.from_stream(table)
        return Source(reader.schema, None, reader)
    if hasattr(table, "__arrow_c_array__"):
        return source_of(pa.record_batch(table))
    raise TypeError(
        f"A {type(table).__name__} is no table. Pass a DataFrame, an Arrow table, batch or reader, or anything that "
        f"has __arrow_c_stream__."
    )


def _is_one_column(table: Any) -> bool:
    # A Series of pandas or Polars exports a stream too, of values that have no names.
    return type(table).__name__ == "Series" or isinstance(table, pa.ChunkedArray)


def _from_pandas(frame: Any) -> pa.Table:
    """The columns without the index. Only in columns of Python objects and of text is NaN no value."""
    names, arrays = list(frame.columns), []
    for place, name in enumerate(names):
        series = frame.iloc[:, place]
        if type(name) is not str:
            raise AppendRefusedError(f"The column {name!r} has no text as its name. Rename it with str().")
        try:
            if series.dtype.kind == "f" and type(series.dtype).__module__.startswith("numpy"):
                arrays.append(pa.array(series.to_numpy()))
            else:
                arrays.append(pa.Array.from_pandas(series))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, UnicodeEncodeError) as error:
            raise AppendRefusedError(
                f"The column {name!r} has no Arrow form ({error}). Convert it to one type, or leave it out of payload."
            ) from error
    return pa.Table.from_arrays(arrays, names=names)


def blocks(
    batches: Iterable[pa.RecordBatch], names: Sequence[str], rows: int, most_bytes: int
) -> Iterator[pa.RecordBatch]:
    """These columns in blocks of `rows` rows, the last one shorter, whatever the sizes of the batches.

    Where rows are long, a block has fewer: about as many as `most_bytes` hold, so that few bytes are held at a time.
    """
    waiting: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        waiting.append(plain(batch.select(names)))
        count += batch.num_rows
        size += waiting[-1].nbytes
        if count < rows and size < most_bytes:
            continue
        whole = _joined(waiting)
        step = max(1, min(rows, most_bytes * count // max(size, 1)))
        full = count - count % step
        for low in range(0, full, step):
            yield whole.slice(low, step)
        waiting, count = [whole.slice(full)], count - full
        size = waiting[0].nbytes
    if count:
        yield _joined(waiting)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    table = pa.Table.from_batches(batches).combine_chunks()
    arrays = [column.chunk(0) for column in table.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=table.schema)


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch, checked, with the values of dictionaries in their places: each batch may bring its own."""
    batch.validate(full=True)
    if not any(pa.types.is_dictionary(field.type) for field in batch.schema):
        return batch
    arrays = [one.dictionary_decode() if pa.types.is_dictionary(one.type) else one for one in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
