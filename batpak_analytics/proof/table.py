"""A lazy table: a schema, and batches that are made when they are asked for. What `Scan` is for events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from batpak_analytics.arrow.card import card
from batpak_analytics.arrow.options import check_batch_size, check_frame_options
from batpak_analytics.arrow.scan import PREVIEW_ROWS
from batpak_analytics.arrow.stream import BATCH_SIZE, ArrowStream
from batpak_analytics.frames.pandas import table_to_frame
from batpak_analytics.markup import one_line


class LazyTable(ArrowStream):
    """Rows of a fixed view as Arrow record batches or a DataFrame; every method may be called any number of times.

    It implements the Arrow PyCapsule interface, so Polars, DuckDB and pandas take it as it is.
    """

    schema: pa.Schema
    title = "Table"

    def __init__(self, view: Any, *, ids: str = "hex", dtype_backend: str | None = None) -> None:
        check_frame_options(ids, None, dtype_backend)
        self.view, self.ids, self.dtype_backend = view, ids, dtype_backend

    def _batches(self, batch_size: int) -> Iterator[pa.RecordBatch]:
        raise NotImplementedError

    def to_batches(self, batch_size: int = BATCH_SIZE) -> Iterator[pa.RecordBatch]:
        """The rows as record batches of at most `batch_size` rows."""
        return self._batches(check_batch_size(batch_size))

    def to_arrow(self) -> pa.Table:
        """All rows as one `pyarrow.Table`."""
        return pa.Table.from_batches(list(self.to_batches()), self.schema).unify_dictionaries()

    def to_pandas(self, dtype_backend: str | None = None) -> Any:
        """All rows as a `pandas.DataFrame` with a RangeIndex and the dtypes that `read_batpak` gives."""
        backend = self.dtype_backend if dtype_backend is None else dtype_backend
        check_frame_options(self.ids, None, backend)
        return table_to_frame(self.to_arrow(), ids=self.ids, dtype_backend=backend)

    def count(self) -> int:
        """How many rows there are."""
        return sum(batch.num_rows for batch in self.to_batches())

    def __repr__(self) -> str:
        return f"{self.title}({self.path!r}, columns: {one_line(', '.join(self.schema.names))})"

    def _repr_html_(self) -> str:
        """A card with the first rows."""
        return card(self.title, self.path, "", next(self.to_batches(PREVIEW_ROWS), None))
