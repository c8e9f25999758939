"""Index columns: footer rows gathered into Arrow arrays.

Arrow has no strides and footer rows are 162 packed bytes, so every column is a copy of its field. All columns wanted
of a group are copied in one pass over its rows, which costs little more than one of them alone. Ids are little-endian
in a footer (segments.md 5.2) and big-endian everywhere a user sees them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batpak_analytics import kernels
from batpak_analytics.arrow.schema import (
    HASH_COLUMNS,
    ID_COLUMNS,
    SEQUENCE_SOURCES,
    base_field,
)
from batpak_analytics.engine.parallel import in_order, threads_for
from batpak_analytics.format.gather import row_count
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

_FIELD_OF = {"wall_time": "wall_ms", "entity": "entity_idx", "scope": "scope_idx"}
_FORM_OF = {
    **dict.fromkeys(ID_COLUMNS, kernels.Form.REVERSED),
    **dict.fromkeys(("entity", "scope"), kernels.Form.CODE),
    # beyond the year 292 277 026 the type ends: saturate, as the reference does
    "wall_time": kernels.Form.TIME,
}
_NOT_IN_ROWS = ("segment_id", "global_sequence", "sequence_source")


def words(rows: Array) -> Array:
    """Footer rows seen through `_WORDS`; no copy."""
    return rows.view(_WORDS)


def as_slice(rows: Array | slice) -> Array | slice:
    """Ascending `rows` as a slice where they are neighbours."""
    if not isinstance(rows, slice) and len(rows) and int(rows[-1]) - int(rows[0]) + 1 == len(rows):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def take(values: Array, rows: Array | slice) -> Array:
    """`values[rows]` for ascending `rows`, as a slice where they are neighbours."""
    taken: Array = values[as_slice(rows)]
    return taken


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
        """Give codes to the strings that segment `position` uses; `used` has a flag for each of its string table."""
        flags = used.tolist()
        with self._lock:
            codes = self._codes
            table = [
                codes.setdefault(text, len(codes)) if flag else 0 for text, flag in zip(strings, flags, strict=True)
            ]
            self._array = None
        self._tables[position] = np.array(table, np.int32)

    def table(self, position: int) -> Array:
        """The code of each index into the string table of segment `position`."""
        return self._tables[position]

    def array(self, codes: Array, valid: Array | None = None) -> Any:
        """A dictionary array of `codes`."""
        with self._lock:
            if self._array is None:
                self._array = pa.array(list(self._codes), pa.string())
            dictionary = self._array
        return pa.DictionaryArray.from_arrays(numbers(np.asarray(codes, np.int32), pa.int32(), valid), dictionary)


class LabelSpace:
    """The three dictionary columns of the index tier, for the rows of one selection."""

    def __init__(self, view: Any, masks: tuple[Array | None, ...], counts: tuple[int, ...]) -> None:
        self.entity, self.scope = Labels(), Labels()
        self.sequence_source = Labels(SEQUENCE_SOURCES)
        chosen = [position for position, count in enumerate(counts) if count]

        def used(position: int) -> tuple[Array, Array]:
            both: tuple[Array, Array] = view.stretches[position].used_strings(masks[position])
            return both

        found = in_order(used, chosen, threads_for(sum(counts), len(chosen)))
        for position, both in zip(chosen, found, strict=True):
            for labels, flags in zip((self.entity, self.scope), both, strict=True):
                labels.add_table(position, view.stretches[position].strings, flags)

    def add_all(self, view: Any, position: int) -> None:
        """The same for every string of a segment's table, used or not."""
        strings = view.stretches[position].strings
        for labels in (self.entity, self.scope):
            labels.add_table(position, strings, np.ones(len(strings), np.uint8))


def _gathered(
    view: Any, groups: Any, names: Iterable[str], labels: LabelSpace
) -> tuple[dict[str, Array], npt.NDArray[np.bool_]]:
    """The columns by name, and where `causation_id` is not zero, which it is where there is no cause."""
    sizes = [row_count(group.rows) for group in groups]
    values = {name: _room(name, sum(sizes)) for name in names}
    present = np.empty(sum(sizes), np.uint8)
    coded = [name for name in ("entity", "scope") if name in values]
    beside = [name for name in _NOT_IN_ROWS if name in values]
    jobs = [
        kernels.Job(_FIELD_OF.get(name, name), _FORM_OF.get(name, kernels.Form.COPY), out)
        for name, out in values.items()
        if name not in beside
    ]
    if "causation_id" in values:
        jobs.append(kernels.Job("causation_id", kernels.Form.PRESENT, present))
    parts, at = [], 0
    for group, size in zip(groups, sizes, strict=True):
        segment = view.stretches[group.segment]
        tables = {_FIELD_OF[name]: getattr(labels, name).table(group.segment) for name in coded}
        parts.append(kernels.Part(segment.rows, as_slice(group.rows), tables))
        for name in beside:
            values[name][at : at + size] = _beside(segment, group, name)
        at += size
    kernels.gather_rows(parts, jobs)
    if "offset" in values:
        _place_in_files(view, groups, values["offset"])
    return values, present.view(bool)


def _place_in_files(view: Any, groups: Any, offsets: Array) -> None:
    """Where rows of several files are joined, their offsets do not count from the start of each."""
    at = 0
    for group in groups:
        size, segment = row_count(group.rows), view.stretches[group.segment]
        if segment.joined:
            offsets[at : at + size] = segment.offsets(group.rows)
        at += size


def _room(name: str, count: int) -> Array:
    """An array for `count` values of column `name`."""
    if name in ID_COLUMNS or name in HASH_COLUMNS:
        return np.empty((count, base_field(name).type.byte_width), np.uint8)
    if name in ("entity", "scope", "sequence_source"):
        return np.empty(count, np.int32)
    dtype = np.int64 if name == "wall_time" else base_field(name).type.to_pandas_dtype()
    return np.empty(count, dtype)


def _beside(segment: Any, group: Any, name: str) -> Any:
    """Values of a column that is not in the rows themselves."""
    if name == "segment_id":
        return segment.segment_ids(group.rows)
    return take(segment.sequence if name == "global_sequence" else segment.source, group.rows)


def index_arrays(
    view: Any, groups: Any, names: Sequence[str], labels: LabelSpace, corrections: Mapping[int, Mapping[str, Any]]
) -> dict[str, Any]:
    """Columns by name as Arrow arrays, gathered together; `corrections` are values of frames that contradict their
    index row.
    """
    values, present = _gathered(view, groups, names, labels)
    for row, given in corrections.items():
        for name in given.keys() & values.keys():
            values[name][row] = _encoded(name, given[name], labels)
            if name == "causation_id":
                present[row] = any(given[name])
    return {name: _as_arrow(name, found, labels, present) for name, found in values.items()}


def _encoded(name: str, value: Any, labels: LabelSpace) -> Any:
    if name in ("entity", "scope"):
        return getattr(labels, name).code(value)
    if name == "wall_time":
        return min(value, I64_MAX)
    return np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value


def _as_arrow(name: str, values: Array, labels: LabelSpace, present: Array) -> Any:
    """Gathered values of an index column as its Arrow type; `present` says which rows have a cause."""
    if name in ("entity", "scope", "sequence_source"):
        return getattr(labels, name).array(values)
    if name == "causation_id":  # zero means no cause (segments.md 5.2)
        return fixed_binary(values, present)
    if values.ndim == 2:
        return fixed_binary(values)
    return numbers(values, base_field(name).type)
