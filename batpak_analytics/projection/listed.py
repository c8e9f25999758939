"""`ReplayEvents`: the events that a replay folds, as a lazy table with their positions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from batpak_analytics.frames.pandas import table_to_frame
from batpak_analytics.projection.source import Selected
from batpak_analytics.proof.table import LazyTable

POSITION = "position"


class ReplayEvents(LazyTable):
    """The events of a replay in commit order: `position` (uint64, from 1), then the columns of `read_batpak`."""

    title = "Events of a replay"

    def __init__(
        self,
        selected: Selected,
        sequence: Any,
        *,
        columns: str | Iterable[str] | None = None,
        payload: str | None = "columns",
        payload_schema: Any = None,
        ids: str = "hex",
        kind_names: Any = None,
        dtype_backend: str | None = None,
    ) -> None:
        super().__init__(selected.view, ids=ids, dtype_backend=dtype_backend)
        self.kind_names, self._sequence = kind_names, sequence
        listed = columns if columns is None or isinstance(columns, str) else [c for c in columns if c != POSITION]
        self._scan = selected.scan(
            columns=listed, payload=payload, payload_schema=payload_schema, ids=ids, kind_names=kind_names
        )
        self._places = selected.scan(columns=["global_sequence"], payload=None)

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema."""
        return pa.schema([pa.field(POSITION, pa.uint64()), *self._scan.schema])

    def count(self) -> int:
        """How many events are folded."""
        return len(self._sequence)

    def _batches(self, batch_size: int) -> Iterator[pa.RecordBatch]:
        # Both scans give the same rows; what was left out of the replay is known by its number.
        numbers = self._places.to_arrow()["global_sequence"].to_numpy()
        at = np.searchsorted(self._sequence, numbers)
        kept = at < len(self._sequence)
        kept[kept] = self._sequence[at[kept]] == numbers[kept]
        done = 0
        for batch in self._scan.to_batches(batch_size):
            rows = slice(done, done + batch.num_rows)
            done += batch.num_rows
            position = pa.array(at[rows] + 1, pa.uint64())
            whole = pa.RecordBatch.from_arrays([position, *batch.columns], schema=self.schema)
            yield whole if kept[rows].all() else whole.filter(pa.array(kept[rows]))

    def to_pandas(self, dtype_backend: str | None = None) -> Any:
        """All rows as a `pandas.DataFrame` with a RangeIndex and the dtypes that `read_batpak` gives."""
        backend = self.dtype_backend if dtype_backend is None else dtype_backend
        return table_to_frame(self.to_arrow(), ids=self.ids, kind_names=self.kind_names, dtype_backend=backend)
