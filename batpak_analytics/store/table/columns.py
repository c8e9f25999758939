"""Arrow arrays -> the columns that payloads are packed from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batpak_analytics.errors import AppendRefusedError
from batpak_analytics.format.layout import MAX_PAYLOAD_DEPTH
from batpak_analytics.format.tabular import DTYPES, Column, Form

_INT_TYPES = {32: pa.int32(), 64: pa.int64()}


def payload_column(batch: pa.RecordBatch, names: tuple[str, ...]) -> Column:
    """The payloads of a batch: maps with these columns as keys, ascending as `append` has them.

    Raises `AppendRefusedError` for a type that has no MessagePack form, naming the column.
    """
    ordered = tuple(sorted(names))  # by code point is by UTF-8 byte
    children = tuple(column_of(batch.column(name), name) for name in ordered)
    return Column(Form.MAP, batch.num_rows, children=children, keys=ordered)


def column_of(array: pa.Array, place: str, depth: int = 1) -> Column:
    """One array, `depth` containers being around it."""
    if depth > MAX_PAYLOAD_DEPTH:
        raise AppendRefusedError(f"{place[:80]} is more than {MAX_PAYLOAD_DEPTH} containers deep. Flatten it.")
    array = _stored(array)
    made = _filled(array, place, depth)
    if made.form == Form.NIL or not array.null_count:
        return made
    return replace(made, valid=array.is_valid().to_numpy(zero_copy_only=False))


def _stored(array: pa.Array) -> pa.Array:
    """Without what stands for something else."""
    if pa.types.is_dictionary(array.type):
        return _stored(array.dictionary_decode())
    if pa.types.is_run_end_encoded(array.type):
        return _stored(pc.run_end_decode(array))
    return array


def _filled(array: pa.Array, place: str, depth: int) -> Column:
    kind = array.type
    if pa.types.is_null(kind):
        return Column(Form.NIL, len(array))
    if pa.types.is_boolean(kind):
        return Column(Form.BOOL, len(array), _values(array.cast(pa.uint8()), np.dtype(np.uint8)).view(bool))
    if pa.types.is_integer(kind) or pa.types.is_temporal(kind):
        return _integers(array, place)
    if pa.types.is_floating(kind):
        form = Form.DOUBLE if kind == pa.float64() else Form.SINGLE
        return Column(form, len(array), _values(array.cast(_float_type(form)), DTYPES[form]))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _texts(array.cast(pa.large_string()))
    if pa.types.is_struct(kind):
        return _struct(array, place, depth)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(array, place, depth)
    raise _refusal(kind, place)


def _float_type(form: Form) -> pa.DataType:
    return pa.float64() if form == Form.DOUBLE else pa.float32()


def _values(array: pa.Array, dtype: Any) -> Any:
    """The numbers of an array, those of nulls too, which mean nothing."""
    buffer = array.buffers()[1]
    if buffer is None or not len(array):
        return np.zeros(len(array), dtype)
    return np.frombuffer(buffer, dtype, len(array), array.offset * dtype.itemsize)


def _integers(array: pa.Array, place: str) -> Column:
    """Integers, and times as the number of their unit."""
    kind = array.type
    if pa.types.is_interval(kind):
        raise _refusal(kind, place)
    form = Form.UINT if kind == pa.uint64() else Form.INT
    if pa.types.is_temporal(kind):
        array = array.view(_INT_TYPES[kind.bit_width])
    wide = array.cast(pa.uint64() if form == Form.UINT else pa.int64())
    return Column(form, len(array), _values(wide, DTYPES[form]))


def _offsets(array: pa.Array) -> Any:
    """The n + 1 offsets of texts or lists that have 64 bits for each; an empty array may have none at all."""
    buffer = array.buffers()[1]
    if buffer is None or not len(array):
        return np.zeros(len(array) + 1, np.int64)
    return np.frombuffer(buffer, np.int64, len(array) + 1, array.offset * 8)


def _texts(array: pa.Array) -> Column:
    bounds = _offsets(array)
    buffer = array.buffers()[2]
    data = np.empty(0, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8)
    return Column(Form.TEXT, len(array), data[bounds[0] : bounds[-1]], None, bounds - bounds[0])


def _lists(array: pa.Array, place: str, depth: int) -> Column:
    if pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        bounds = np.arange(array.offset, array.offset + len(array) + 1, dtype=np.int64) * size
    else:
        array = array.cast(pa.large_list(array.type.value_type))
        bounds = _offsets(array)
    low, high = int(bounds[0]), int(bounds[-1])
    child = column_of(array.values.slice(low, high - low), f"{place}[]", depth + 1)
    return Column(Form.LIST, len(array), None, None, bounds - low, (child,))


def _struct(array: pa.Array, place: str, depth: int) -> Column:
    names = [array.type.field(number).name for number in range(array.type.num_fields)]
    if len(set(names)) < len(names):
        raise AppendRefusedError(f"{place} has a field twice, and a map has a key once. Rename one.")
    ordered = tuple(sorted(names))
    children = tuple(column_of(array.field(names.index(name)), f"{place}.{name}", depth + 1) for name in ordered)
    return Column(Form.MAP, len(array), children=children, keys=ordered)


def _refusal(kind: pa.DataType, place: str) -> AppendRefusedError:
    if pa.types.is_decimal(kind):
        how = "which JSON has no exact form for. Cast it to float64, or to text"
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        how = "which has no JSON form, so that no reader of 0.9.0 could decode the payload. Store it as text (base64)"
    elif pa.types.is_map(kind):
        how = "whose keys are different in every row. Convert it to a struct, or to a list of structs"
    else:
        how = "which has no MessagePack form here. Cast it to bool, integers, floats, text, lists or structs"
    return AppendRefusedError(f"The column {place!r} is {kind}, {how}, or leave it out of payload.")
