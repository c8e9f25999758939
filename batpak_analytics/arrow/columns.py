"""Index columns: footer rows gathered into Arrow arrays.

Arrow has no strides and footer rows are 162 packed bytes, so every column is a copy of its field. Ids are
little-endian in a footer (segments.md 5.2) and big-endian everywhere a user sees them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batpak_analytics.arrow.schema import (
    HASH_COLUMNS,
    ID_COLUMNS,
    SEQUENCE_SOURCES,
    base_field,
)
from batpak_analytics.format.layout import FOOTER_DTYPE, I64_MAX

Array = npt.NDArray[Any]


def fields_of(dtype: np.dtype[Any]) -> list[tuple[str, np.dtype[Any]]]:
    """Names and dtypes of the fields of a packed structured dtype, in order."""
    return [(name, dtype[name]) for name in dtype.names or ()]


_WORDS = np.dtype(
    [
        (name, "<u8", (kind.itemsize // 8,)) if kind.kind == "V" else (name, kind)
        for name, kind in fields_of(FOOTER_DTYPE)
    ]
)
"""FOOTER_DTYPE with ids and hashes as 64-bit words, which NumPy compares and copies several times faster
than void.
"""

_FIELD_OF = {"wall_time": "wall_ms"}


def words(rows: Array) -> Array:
    """Footer rows seen through `_WORDS`; no copy."""
    return rows.view(_WORDS)


def take(values: Array, rows: Array) -> Array:
    """`values[rows]` for ascending `rows`, as a slice where they are neighbours."""
    if len(rows) and int(rows[-1]) - int(rows[0]) + 1 == len(rows):
        return values[int(rows[0]) : int(rows[-1]) + 1]
    return values[rows]


def big_endian_ids(pairs: Array) -> Array:
    """(n, 2) little-endian words of ids as (n, 16) bytes, most significant first."""
    swapped = np.empty(pairs.shape, ">u8")
    swapped[:, 0] = pairs[:, 1]
    swapped[:, 1] = pairs[:, 0]
    return swapped.view(np.uint8).reshape(-1, 16)


def fixed_binary(values: Array, valid: Any = None) -> Any:
    """An (n, width) byte array as `fixed_size_binary(width)`."""
    count, width = values.shape
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.binary(width), count, [validity(valid), data])


def validity(valid: Array | None) -> Any:
    """A boolean array as an Arrow validity bitmap; None where every value is valid."""
    if valid is None or bool(valid.all()):
        return None
    return pa.py_buffer(np.packbits(valid, bitorder="little"))


def numbers(values: Array, kind: Any, valid: Array | None = None) -> Any:
    """A numeric array as an Arrow array of `kind`, whose values have the same width."""
    flat = np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, len(flat), [validity(valid), pa.py_buffer(flat)])


class Labels:
    """The dictionary of one column, shared by every batch of a scan.

    It holds the strings of the selected rows in the order of first use. A frame that contradicts its index
    row may add one later: earlier batches then hold a prefix of what later ones hold, and no code ever
    changes.
    """

    def __init__(self, values: tuple[str, ...] = ()) -> None:
        self._codes: dict[str, int] = {}
        self._tables: dict[int, Array] = {}
        self._lock = threading.Lock()
        self._array: Any = None
        for value in values:
            self.code(value)

    def code(self, value: str) -> int:
        """The code of `value`, added if new."""
        with self._lock:
            found = self._codes.get(value)
            if found is None:
                found = self._codes[value] = len(self._codes)
                self._array = None
            return found

    def add_table(self, position: int, strings: tuple[str, ...], used: Array) -> None:
        """Give codes to the strings that segment `position` uses; `used` holds indexes into its string
        table.
        """
        table = np.zeros(len(strings), np.int32)
        table[used] = [self.code(strings[index]) for index in used.tolist()]
        self._tables[position] = table

    def codes(self, position: int, indexes: Array) -> Array:
        """Codes for indexes into the string table of segment `position`."""
        found: Array = self._tables[position][indexes]
        return found

    def array(self, codes: Array, valid: Array | None = None) -> Any:
        """A dictionary array of `codes`."""
        with self._lock:
            if self._array is None:
                self._array = pa.array(list(self._codes), pa.string())
            dictionary = self._array
        return pa.DictionaryArray.from_arrays(numbers(codes.astype(np.int32), pa.int32(), valid), dictionary)


class LabelSpace:
    """The three dictionary columns of the index tier, for the rows of one selection."""

    def __init__(self, view: Any, masks: tuple[Array | None, ...], counts: tuple[int, ...]) -> None:
        self.entity, self.scope = Labels(), Labels()
        self.sequence_source = Labels(SEQUENCE_SOURCES)
        for position, count in enumerate(counts):
            if count:
                self._add(position, view.segments[position], masks[position])

    def _add(self, position: int, segment: Any, mask: Array | None) -> None:
        """Give codes to the strings that the selected rows of one segment use."""
        for labels, field in ((self.entity, "entity_idx"), (self.scope, "scope_idx")):
            indexes = segment.rows[field]
            used = np.zeros(len(segment.strings), bool)
            used[indexes if mask is None else indexes[mask]] = True
            labels.add_table(position, segment.strings, np.flatnonzero(used))

    def add_all(self, view: Any, position: int) -> None:
        """The same for every string of a segment's table, used or not."""
        strings = view.segments[position].strings
        for labels in (self.entity, self.scope):
            labels.add_table(position, strings, np.arange(len(strings)))


def gather(view: Any, groups: Any, name: str, labels: LabelSpace) -> Array:
    """Column `name` of the chunk's rows, in the order of its groups: numbers, codes or bytes."""
    parts = [_gather_one(view.segments[g.segment], g, name, labels) for g in groups]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _gather_one(segment: Any, group: Any, name: str, labels: LabelSpace) -> Array:
    if name == "segment_id":
        return np.full(len(group.rows), segment.segment_id, np.uint64)
    if name == "global_sequence":
        return take(segment.sequence, group.rows)
    if name == "sequence_source":
        return take(segment.source, group.rows)
    rows = words(segment.rows)
    if name in ("entity", "scope"):
        codes: Array = getattr(labels, name).codes(group.segment, take(rows[f"{name}_idx"], group.rows))
        return codes
    values = take(rows[_FIELD_OF.get(name, name)], group.rows)
    if name in ID_COLUMNS:
        return big_endian_ids(values)
    if name in HASH_COLUMNS:
        return np.ascontiguousarray(values).view(np.uint8).reshape(-1, 32)
    return values


def index_array(
    view: Any, groups: Any, name: str, labels: LabelSpace, corrections: Mapping[int, Mapping[str, Any]]
) -> Any:
    """Column `name` as an Arrow array; `corrections` are values of frames that contradict their index row."""
    values = gather(view, groups, name, labels)
    found = {row: given[name] for row, given in corrections.items() if name in given}
    if found:
        values = values.copy()
        for row, value in found.items():
            values[row] = _encoded(name, value, labels)
    return as_arrow(name, values, labels)


def _encoded(name: str, value: Any, labels: LabelSpace) -> Any:
    if name in ("entity", "scope"):
        return getattr(labels, name).code(value)
    return np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value


def as_arrow(name: str, values: Array, labels: LabelSpace) -> Any:
    """Gathered values of an index column as its Arrow type."""
    kind = base_field(name).type
    if name in ("entity", "scope", "sequence_source"):
        return getattr(labels, name).array(values)
    if name == "causation_id":  # zero means no cause (segments.md 5.2)
        return fixed_binary(values, values.any(axis=1))
    if values.ndim == 2:
        return fixed_binary(values)
    if name == "wall_time":  # beyond the year 292 277 026 the type ends: saturate, as the reference does
        return numbers(np.minimum(values, np.uint64(I64_MAX)).astype(np.int64), kind)
    return numbers(values, kind)
