"""Build Arrow arrays from positions of values: one builder per kind of column, kernels below, no policy.

A `Node` says what to build; `inference` makes nodes from what rows hold, `payload_schema` from given types.
A value that is there, is not nil and does not fit its node is null and counted in `ArrowBuilder.misfits`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batpak_analytics import kernels
from batpak_analytics.arrow.nested import (
    IS_ARRAY,
    IS_MAP,
    NIL,
    Bytes,
    Mask,
    Positions,
    element_positions,
    locate_values,
    prefilled_table,
    root_bits,
    where_tag,
    whole_values,
)
from batpak_analytics.arrow.payload_values import array_of_one
from batpak_analytics.errors import FormatError, ResultTooLargeError
from batpak_analytics.format.codec import decode_value
from batpak_analytics.format.json_text import json_text, payload_to_json_value
from batpak_analytics.format.payload import MALFORMED, NOT_JSON, ROOT_MAP, SKIPPED

_INT32_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Node:
    """What one column, struct field or list element is built as.

    ``kind``: null, bool, int, uint, float, number (float of any width, checked), string, binary, fixed
    (binary), json, list, struct, convert (the first child, cast to ``type``) or python (value by value).
    ``names`` are a struct's keys as stored.
    """

    kind: str
    type: pa.DataType
    children: tuple[Node, ...] = ()
    names: tuple[bytes, ...] = ()


class ArrowBuilder:
    """Builds arrays over one buffer of payload bytes and counts the values that did not fit.

    ``clean``: all strings in them are known to be UTF-8.
    """

    def __init__(self, data: Bytes, clean: bool = False) -> None:
        self.data = data
        self.clean = clean
        self.misfits = 0

    def build(self, node: Node, pos: Positions) -> pa.Array:
        """One Arrow array of ``node.type``, as long as ``pos``."""
        maker: Callable[[Node, Positions], pa.Array] = getattr(self, f"_{node.kind}")
        return maker(node, pos)

    def _count(self, pos: Positions, valid: npt.NDArray[Any]) -> None:
        rows = np.flatnonzero((pos >= 0) & (valid == 0))
        if len(rows):
            self.misfits += int(np.count_nonzero(self.data[pos[rows]] != NIL))

    def _null(self, node: Node, pos: Positions) -> pa.Array:
        self._count(pos, np.zeros(len(pos), np.uint8))
        return pa.nulls(len(pos), node.type)

    def _bool(self, node: Node, pos: Positions) -> pa.Array:
        values, valid = kernels.take_bool(self.data, pos)
        self._count(pos, valid)
        return from_buffers(node.type, len(pos), valid, np.packbits(values, bitorder="little"))

    def _int(self, node: Node, pos: Positions) -> pa.Array:
        values, valid = kernels.take_int64(self.data, pos)
        return self._integers(node, pos, values, valid)

    def _uint(self, node: Node, pos: Positions) -> pa.Array:
        values, valid = kernels.take_uint64(self.data, pos)
        return self._integers(node, pos, values, valid)

    def _integers(self, node: Node, pos: Positions, values: Any, valid: Any) -> pa.Array:
        wanted = np.dtype(node.type.to_pandas_dtype())
        if wanted != values.dtype:
            bounds = np.iinfo(wanted)
            valid = np.asarray(valid, bool) & (values >= bounds.min) & (values <= bounds.max)
            values = values.astype(wanted)
        self._count(pos, valid)
        return from_buffers(node.type, len(pos), valid, values)

    def _float(self, node: Node, pos: Positions) -> pa.Array:
        values, valid = kernels.take_float64(self.data, pos)
        self._count(pos, valid)
        return from_buffers(node.type, len(pos), valid, values)

    def _number(self, node: Node, pos: Positions) -> pa.Array:
        """Floats of a type the caller gave: what it cannot hold does not fit, be it too large or rounded."""
        values, valid = kernels.take_float64(self.data, pos)
        with np.errstate(over="ignore", invalid="ignore"):
            narrow = values.astype(np.dtype(node.type.to_pandas_dtype()))
        fits = np.asarray(valid, bool) & ~(np.isinf(narrow) & np.isfinite(values))
        fits &= ~self._rounded_integers(pos, narrow.astype(np.float64))
        self._count(pos, fits)
        return from_buffers(node.type, len(pos), fits, narrow)

    def _rounded_integers(self, pos: Positions, values: npt.NDArray[np.float64]) -> Mask:
        rounded = np.zeros(len(pos), bool)
        for take, low, high in (
            (kernels.take_int64, -(2.0**63), 2.0**63),
            (kernels.take_uint64, 0.0, 2.0**64),
        ):
            exact, is_int = take(self.data, pos)
            rows = np.flatnonzero(is_int)
            inside = (values[rows] >= low) & (values[rows] < high)
            back = np.where(inside, values[rows], 0.0).astype(exact.dtype)
            rounded[rows] = ~inside | (back != exact[rows])
        return rounded

    def _string(self, node: Node, pos: Positions) -> pa.Array:
        return self._bytes(node, pos, partial(kernels.take_string, clean=self.clean))

    def _binary(self, node: Node, pos: Positions) -> pa.Array:
        return self._bytes(node, pos, kernels.take_binary)

    def _bytes(self, node: Node, pos: Positions, take: Callable[..., Any]) -> pa.Array:
        offsets, values, valid = take(self.data, pos)
        self._count(pos, valid)
        return from_buffers(node.type, len(pos), valid, narrow_offsets(offsets), values)

    def _fixed(self, node: Node, pos: Positions) -> pa.Array:
        """Fixed-size binary: values of exactly that many bytes."""
        offsets, values, valid = kernels.take_binary(self.data, pos)
        width = node.type.byte_width
        valid = np.asarray(valid, bool) & (np.diff(offsets) == width)
        self._count(pos, valid)
        packed = np.zeros((len(pos), width), np.uint8)
        rows = np.flatnonzero(valid)
        packed[rows] = values[offsets[rows, None] + np.arange(width)] if width else packed[rows]
        return from_buffers(node.type, len(pos), valid, packed)

    def _json(self, node: Node, pos: Positions) -> pa.Array:
        rows = np.flatnonzero(pos >= 0)
        rows = rows[self.data[pos[rows]] != NIL]
        texts = json_texts(self.data, *whole_values(self.data, pos[rows]))
        self.misfits += texts.count(None)
        cells: list[str | None] = [None] * len(pos)
        for row, text in zip(rows.tolist(), texts, strict=True):
            cells[row] = text
        return string_array(cells)

    def _list(self, node: Node, pos: Positions) -> pa.Array:
        rows = where_tag(self.data, pos, IS_ARRAY)
        valid = np.zeros(len(pos), np.uint8)
        valid[rows] = 1
        self._count(pos, valid)
        counts, inside = element_positions(self.data, pos[rows])
        sizes = np.zeros(len(pos) + 1, np.int64)
        sizes[rows + 1] = counts
        ends = np.cumsum(sizes)
        child = self.build(node.children[0], inside)
        offsets = ends if pa.types.is_large_list(node.type) else narrow_offsets(ends)
        return from_buffers(node.type, len(pos), valid, offsets, children=[child])

    def _struct(self, node: Node, pos: Positions) -> pa.Array:
        rows = where_tag(self.data, pos, IS_MAP)
        table = prefilled_table(node.names)
        width = len(node.names)
        parts = []
        valid = np.zeros(len(pos), np.uint8)
        done = 0
        for low, high, root, found in locate_values(self.data, *whole_values(self.data, pos[rows]), table, width):
            here = rows[low:high]
            valid[here] = is_map(root)
            end = len(pos) if high == len(rows) else int(here[-1]) + 1
            spread = np.full((width, end - done), -1, np.int64)
            spread[:, here - done] = found
            children = [self.build(child, spread[i]) for i, child in enumerate(node.children)]
            parts.append(from_buffers(node.type, end - done, valid[done:end], children=children))
            done = end
        self._count(pos, valid)
        return joined(parts, node.type, len(pos))

    def _convert(self, node: Node, pos: Positions) -> pa.Array:
        inner = self.build(node.children[0], pos)
        if isinstance(node.type, pa.BaseExtensionType):
            return pa.ExtensionArray.from_storage(node.type, inner)
        if pa.types.is_time64(node.type):
            inner = self._within_a_day(inner, node.type)
        return inner.cast(node.type)

    def _within_a_day(self, counts: pa.Array, wanted: pa.DataType) -> pa.Array:
        """The counts that are a time of day; Arrow casts the others too, to arrays that are not valid."""
        day = 86_400 * {"us": 10**6, "ns": 10**9}[wanted.unit]
        inside = pc.and_(pc.greater_equal(counts, 0), pc.less(counts, day))
        kept = pc.if_else(inside, counts, None)
        self.misfits += kept.null_count - counts.null_count
        return kept

    def _python(self, node: Node, pos: Positions) -> pa.Array:
        """Any other type: each value through pyarrow's own conversion. Slow, and the only slow path."""
        starts, ends = whole_values(self.data, pos)
        spans = zip(starts.tolist(), ends.tolist(), strict=True)
        null = pa.nulls(1, node.type)  # pa.array([None]) is not valid where a dictionary is inside
        # and no `take` from the values that fit: Arrow has no such function for every type
        made = (self._one(node.type, start, end) for start, end in spans)
        return joined([null if one is None else one for one in made], node.type, 0)

    def _one(self, wanted: pa.DataType, start: int, end: int) -> pa.Array | None:
        if start < 0:
            return None
        try:
            value, _ = decode_value(self.data[start:end])
            return None if value is None else array_of_one(value, wanted)
        except (FormatError, pa.ArrowException, ValueError, TypeError, OverflowError):
            self.misfits += 1
            return None


def is_map(root: Bytes) -> Mask:
    """Rows whose value is a well-formed map with string keys only."""
    found: Mask = (root & (ROOT_MAP | MALFORMED)) == ROOT_MAP
    return found


def joined(parts: list[pa.Array], wanted: pa.DataType, rows: int) -> pa.Array:
    """The parts of one column as one array; all null where there is no part."""
    if not parts:
        return pa.nulls(rows, wanted)
    if len(parts) == 1:
        return parts[0]
    try:
        return pa.concat_arrays(parts)
    except pa.ArrowInvalid as error:
        raise ResultTooLargeError(
            f"One payload column of this batch is larger than an Arrow array can hold ({error}). "
            "Read with a smaller batch_size or fewer columns, or give a dictionary type a larger index type."
        ) from error


def narrow_offsets(offsets: Positions) -> npt.NDArray[np.int32]:
    """Offsets as Arrow's ``string``, ``binary`` and ``list`` want them."""
    if len(offsets) and int(offsets[-1]) > _INT32_MAX:
        raise ResultTooLargeError(
            f"One payload column of this batch holds {int(offsets[-1]):,} bytes or values, more than an "
            f"Arrow array can ({_INT32_MAX:,}). Read with a smaller batch_size, or fewer columns."
        )
    return offsets.astype(np.int32)


def string_array(texts: list[str | None]) -> pa.Array:
    """Texts as one Arrow string array."""
    made = pa.array(texts, pa.string())
    if isinstance(made, pa.ChunkedArray):
        raise ResultTooLargeError(
            "The JSON text of this batch is larger than an Arrow array can hold. Read with a smaller batch_size."
        )
    return made


def json_texts(data: Bytes, starts: Positions, ends: Positions, roots: Bytes | None = None) -> list[str | None]:
    """JSON text of each value as serde_json writes it; None where the reference's JSON decoding fails.

    ``roots``: the kernel's judgement of each value, if it was asked for already.
    """
    if roots is None:
        roots = root_bits(data, starts, ends)
    readable = (roots & (NOT_JSON | MALFORMED | SKIPPED)) == 0
    view = data.data
    spans = zip(starts.tolist(), ends.tolist(), readable.tolist(), strict=True)
    return [_json_text(view[start:end]) if good else None for start, end, good in spans]


def json_rest(data: Bytes, start: int, end: int, known: set[str], clean: bool) -> str | None:
    """A JSON object of one map's fields that are not ``known``; ``clean``: the whole map has a JSON form.

    Empty text where there is no other field; None where one of them has no JSON form.
    """
    if not clean:
        return _rest_of_odd_map(data, start, end, known)
    value = _json_value(data.data[start:end])
    rest = {name: item for name, item in value.items() if name not in known}
    return _encode(rest) if rest else ""


def _rest_of_odd_map(data: Bytes, start: int, end: int, known: set[str]) -> str | None:
    table = kernels.FieldTable(max_fields=end - start)
    _, pos = kernels.locate_fields(data, np.array([start, end], np.int64), table)
    fields = sorted((name.decode(), at) for name, at in zip(table.names, pos[:, 0].tolist(), strict=True))
    rest = [(name, at) for name, at in fields if name not in known]
    parts = []
    for name, at in rest:
        (text,) = json_texts(data, *whole_values(data, np.array([at], np.int64)))
        if text is None:
            return None
        parts.append(f"{json_text(name)}:{text}")
    return "{" + ",".join(parts) + "}" if rest else ""


_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
)


def _json_text(stored: memoryview) -> str | None:
    """The text of one value that the kernels found to be JSON."""
    try:
        return _encode(_json_value(stored))
    except FormatError:
        return None


def _json_value(stored: memoryview) -> Any:
    try:
        return msgpack.unpackb(stored)
    except msgpack.ExtraData as more:
        return more.unpacked  # bytes after the first value are ignored (segments 3.2)
    except ValueError:  # nested too deep for the C decoder
        return payload_to_json_value(bytes(stored))


def _encode(value: Any) -> str:
    try:
        text = _ENCODER.encode(value)
    except (ValueError, RecursionError):  # NaN, infinity; nested too deep for the C encoder
        return json_text(value)
    # Python prints 0.00001 as 1e-05. Whatever may hold such a float goes the slow way.
    return json_text(value) if "e-" in text else text


def from_buffers(
    wanted: pa.DataType,
    rows: int,
    valid: npt.NDArray[Any],
    *buffers: Any,
    children: list[pa.Array] | None = None,
) -> pa.Array:
    """An array over NumPy buffers, without a copy of them; ``valid`` is one byte a row."""
    nulls = rows - int(np.count_nonzero(valid))
    bitmap = pa.py_buffer(np.packbits(valid, bitorder="little")) if nulls else None
    wrapped = [pa.py_buffer(np.ascontiguousarray(buffer)) for buffer in buffers]
    return pa.Array.from_buffers(wanted, rows, [bitmap, *wrapped], nulls, children=children or [])
