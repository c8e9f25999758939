"""Record batches as text, for CSV and JSON lines: ids in hex, times in ISO 8601, nested values as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def text_schema(schema: pa.Schema) -> pa.Schema:
    """The schema after ``text_batch``: numbers and booleans stay, everything else is a string."""
    return pa.schema([(field.name, field.type if _is_plain(field.type) else pa.string()) for field in schema])


def text_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with every column in a type that CSV can hold."""
    columns = [column if _is_plain(column.type) else pa.array(_texts(column), pa.string()) for column in batch.columns]
    return pa.record_batch(columns, schema=text_schema(batch.schema))


def json_lines(batch: pa.RecordBatch, *, payload_is_json: bool) -> Iterator[bytes]:
    """One JSON object a row; a payload that is JSON text goes in as it is, so that no number is rounded."""
    keys = [json.dumps(name, ensure_ascii=False) for name in batch.schema.names]
    columns = [
        _raw(column) if payload_is_json and name == "payload" else _encoded(column)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    for row in zip(*columns, strict=True):
        yield ("{" + ",".join(f"{key}:{text}" for key, text in zip(keys, row, strict=True)) + "}\n").encode()


def _is_plain(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string)
    return any(test(kind) for test in tests)


def _raw(column: pa.Array) -> list[str]:
    return ["null" if text is None else text for text in column.to_pylist()]


def _encoded(column: pa.Array) -> list[str]:
    values = column.to_pylist() if _is_plain(column.type) else _texts_or_values(column)
    return [_json(value) for value in values]


def _texts(column: pa.Array) -> list[str | None]:
    """One string a row; JSON where the value has parts."""
    values = _texts_or_values(column)
    return [value if value is None or isinstance(value, str) else _json(value) for value in values]


def _texts_or_values(column: pa.Array) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        return _texts_or_values(column.dictionary_decode())
    if pa.types.is_timestamp(column.type):
        # Through Arrow, because a store may hold times that Python's datetime cannot.
        return [text and text.replace(" ", "T") for text in pc.cast(column, pa.string()).to_pylist()]
    values: list[Any] = column.to_pylist()
    if pa.types.is_map(column.type):
        return [None if value is None else dict(value) for value in values]
    if pa.types.is_binary(column.type) or pa.types.is_fixed_size_binary(column.type):
        return [None if value is None else value.hex() for value in values]
    return values


def _json(value: Any) -> str:
    return json.dumps(_jsonable(value), ensure_ascii=False, separators=(",", ":"))


def _jsonable(value: Any) -> Any:
    """The value in JSON's terms: bytes in hex, and null for the floats that JSON has no word for."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return value
