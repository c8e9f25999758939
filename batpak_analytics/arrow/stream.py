"""What every lazy table has: a schema, batches, and the Arrow interfaces that follow from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

BATCH_SIZE = 65_536


class ArrowStream:
    """A table of a fixed view, made batch by batch; it may be read any number of times.

    It implements the Arrow PyCapsule interface, so Polars, DuckDB and pandas take it as it is.
    """

    view: Any

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema."""
        raise NotImplementedError

    def to_batches(self, batch_size: int = BATCH_SIZE) -> Iterator[pa.RecordBatch]:
        """The rows as record batches of at most `batch_size` rows."""
        raise NotImplementedError

    @property
    def path(self) -> str:
        """The store directory."""
        return str(self.view.path)

    def to_reader(self, batch_size: int = BATCH_SIZE) -> pa.RecordBatchReader:
        """The same as a `pyarrow.RecordBatchReader`, which may be consumed once."""
        return pa.RecordBatchReader.from_batches(self.schema, self.to_batches(batch_size))

    def __arrow_c_schema__(self) -> Any:
        """The schema as an Arrow PyCapsule."""
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """A new stream of all batches as an Arrow PyCapsule."""
        return self.to_reader().__arrow_c_stream__(requested_schema)
