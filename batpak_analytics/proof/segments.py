"""`segments()`: one row for each segment file, and where its bytes go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from batpak_analytics.arrow.schema import LABEL, WALL_TIME
from batpak_analytics.engine.parallel import in_order
from batpak_analytics.format.layout import FRAME_OK, I64_MAX
from batpak_analytics.proof.frames import take_rows
from batpak_analytics.proof.gaps import read_gaps
from batpak_analytics.proof.table import LazyTable

SEGMENTS_SCHEMA = pa.schema(
    [
        ("segment_id", pa.uint64()),
        ("file", pa.string()),
        ("role", LABEL),
        ("bytes", pa.uint64()),
        ("events", pa.uint64()),
        ("first_sequence", pa.uint64()),
        ("last_sequence", pa.uint64()),
        ("first_time", WALL_TIME),
        ("last_time", WALL_TIME),
        ("footer", LABEL),
        ("payload_bytes", pa.uint64()),
        ("stored_bytes", pa.uint64()),
        ("hidden_bytes", pa.uint64()),
        ("dead_bytes", pa.uint64()),
        ("findings", pa.uint64()),
    ]
)
ROWS_AT_ONCE = 1 << 14


class Segments(LazyTable):
    """The segment files of a view, by id; made by `Reader.segments` and `read_segments`.

    ==================  ========================  ========================================================
    column              Arrow type                meaning
    ==================  ========================  ========================================================
    segment_id          uint64
    file                string                    its name
    role                dictionary<int32,string>  `sealed`, `tail` or `moved-aside`
    bytes               uint64                    size of the file
    events              uint64                    events that are shown
    first_sequence      uint64                    null without events, as are the next three
    last_sequence       uint64
    first_time          timestamp[ms, tz=UTC]     the lowest `wall_time`
    last_time           timestamp[ms, tz=UTC]
    footer              dictionary<int32,string>  `trusted`, `absent`, `bad-crc`, `legacy` or `malformed`
    payload_bytes       uint64                    payloads of the events that are shown; null with `payloads=False`
    stored_bytes        uint64                    and their frames, which hold them as arrays of integers
    hidden_bytes        uint64                    frames of events that are never shown
    dead_bytes          uint64                    the same, with batches never committed and bytes that are no frame
    findings            uint64                    errors and warnings so far
    ==================  ========================  ========================================================

    Cost: index rows and what stands between them; `payload_bytes` reads every frame.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> bp.open_reader(bp.demo_store()).segments().to_arrow()["dead_bytes"].to_pylist()
    [0]
    """

    schema = SEGMENTS_SCHEMA
    title = "Segments"

    def __init__(self, view: Any, *, payloads: bool = True, dtype_backend: str | None = None) -> None:
        super().__init__(view, dtype_backend=dtype_backend)
        self._payloads = bool(payloads)

    def count(self) -> int:
        """How many segment files the view has."""
        return len(self.view.segments)

    def _batches(self, batch_size: int) -> Iterator[pa.RecordBatch]:
        serious = Counter(one.segment for one in self.view.findings if one.severity != "info")
        with self.view.pinned():
            found = [self._row(segment) | {"findings": serious[segment.segment_id]} for segment in self.view.segments]
        yield from pa.Table.from_pylist(found, self.schema).to_batches(batch_size)

    def _row(self, segment: Any) -> dict[str, Any]:
        rows, excluded = segment.rows, segment.excluded
        shown = ~excluded if segment.hides_rows else slice(None)
        lengths = rows["length"].astype(np.uint64)
        hidden = int(lengths[excluded].sum(dtype=np.uint64)) if segment.hides_rows else 0
        sequence = segment.sequence[shown]
        time = np.minimum(rows["wall_ms"][shown], np.uint64(I64_MAX))
        return {
            "segment_id": segment.segment_id,
            "file": segment.name,
            "role": segment.role,
            "bytes": segment.size_bytes,
            "events": len(sequence),
            **_extremes("sequence", sequence),
            **_extremes("time", time),
            "footer": segment.footer_state,
            "payload_bytes": self._payload_bytes(segment) if self._payloads else None,
            "stored_bytes": int(lengths[shown].sum(dtype=np.uint64)),
            "hidden_bytes": hidden,
            "dead_bytes": hidden + read_gaps(segment).dead_bytes,
        }

    def _payload_bytes(self, segment: Any) -> int:
        """Bytes of the payloads of the events that are shown."""

        def count(first: int) -> int:
            total = 0
            rows = slice(first, min(first + ROWS_AT_ONCE, len(segment.rows)))
            for window, taken in take_rows(segment, rows, payloads=False, keep=True):
                assert taken.frames is not None
                shown = ~segment.excluded[window.rows] & (taken.status == FRAME_OK)
                total += int(taken.frames["payload_count"][shown].sum(dtype=np.uint64))
            return total

        return sum(in_order(count, range(0, len(segment.rows), ROWS_AT_ONCE)))


def _extremes(name: str, values: Any) -> dict[str, int | None]:
    if not len(values):
        return {f"first_{name}": None, f"last_{name}": None}
    return {f"first_{name}": int(values.min()), f"last_{name}": int(values.max())}
