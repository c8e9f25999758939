"""Ids and hashes as hexadecimal text, written straight into Arrow's buffers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from batpak_analytics import kernels


def hex_text(column: Any) -> Any:
    """A chunked `fixed_size_binary` column as one array of lower-case hexadecimal strings, nulls kept.

    One array, whatever the chunks: large allocations get large pages, and pandas is quickest with one.
    """
    width, count = column.type.byte_width, len(column)
    if column.null_count == count:
        return pa.nulls(count, pa.large_string())
    digits = np.empty(2 * width * count, np.uint8)
    at = 0
    for chunk in column.chunks:
        size = width * len(chunk)
        if size:
            stored = np.frombuffer(chunk.buffers()[1], np.uint8)[chunk.offset * width :]
            kernels.write_hex(stored[:size], digits[2 * at : 2 * (at + size)])
        at += size
    offsets = np.arange(count + 1, dtype=np.int64) * (2 * width)
    buffers = [_bitmap(column), pa.py_buffer(offsets), pa.py_buffer(digits)]
    return pa.Array.from_buffers(pa.large_string(), count, buffers)


def _bitmap(column: Any) -> Any:
    """Which values there are, as an Arrow bitmap; None where all are."""
    if not column.null_count:
        return None
    return pa.py_buffer(np.packbits(column.is_valid().to_numpy(), bitorder="little"))
