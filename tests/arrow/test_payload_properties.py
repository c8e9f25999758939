"""Payload columns of random and of real payloads against a plain reading of them, value by value."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batpak_analytics.arrow import nested
from batpak_analytics.arrow.payload import MODES, PayloadInference, PayloadPlan
from batpak_analytics.arrow.payload_arrays import Node
from batpak_analytics.errors import FormatError
from batpak_analytics.format.codec import Extension, decode_value
from batpak_analytics.format.json_text import json_text, payload_to_json_value

I64_MAX = 2**63 - 1
NAMES = st.sampled_from(["a", "b", "c", "long name", "é"])
INTS = st.sampled_from([0, 1, -1, 127, 128, -(2**63), I64_MAX, 2**63, 2**64 - 1, 2**53 + 1])
SCALARS = st.none() | st.booleans() | INTS | st.integers(-1000, 70_000) | st.floats() | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
# Columns of one type are rare among wholly random values, so some payloads draw each field from one strategy.
SAME = st.sampled_from(
    [st.integers(-5, 5), INTS, st.floats(), st.text(max_size=3), st.booleans(), st.binary(max_size=2)]
).flatmap(lambda one: st.sampled_from([one, st.lists(one, max_size=3), st.dictionaries(NAMES, one, max_size=2)]))
ALIKE = st.tuples(SAME, SAME).flatmap(
    lambda pair: st.lists(st.fixed_dictionaries({}, optional={"x": pair[0], "y": pair[1]}), max_size=6)
)
PAYLOADS = ALIKE | st.lists(st.dictionaries(NAMES, VALUES, max_size=4) | VALUES, max_size=6)


def pack(stored: list[bytes]) -> tuple[Any, Any]:
    offsets = np.cumsum([0, *map(len, stored)], dtype=np.int64)
    return np.frombuffer(b"".join(stored), np.uint8), offsets


def infer(stored: list[bytes], max_fields: int = 1000) -> PayloadPlan:
    inference = PayloadInference(max_fields)
    inference.update(*pack(stored))
    return inference.finish()


def plain_type(values: list[Any]) -> pa.DataType:
    """The lattice, written once more as plainly as it can be."""
    values = [value for value in values if value is not None]
    kinds = {type(value) for value in values}
    if not kinds:
        return pa.null()
    if kinds == {int} and not (min(values) < 0 and max(values) > I64_MAX):
        return pa.uint64() if max(values) > I64_MAX else pa.int64()
    if kinds == {int, float} and all(int(float(v)) == v for v in values if isinstance(v, int)):
        return pa.float64()
    if kinds == {list}:
        return pa.list_(plain_type([item for value in values for item in value]))
    if kinds == {dict} and any(values):
        keys = dict.fromkeys(key for value in values for key in value)
        return pa.struct([(key, plain_type([value.get(key) for value in values])) for key in keys])
    simple = {bool: pa.bool_(), float: pa.float64(), str: pa.string(), bytes: pa.binary()}
    return simple.get(kinds.pop(), pa.string()) if len(kinds) == 1 else pa.string()


def expected(node: Node, value: Any) -> Any:
    """What a cell built by ``node`` must hold for ``value``."""
    if value is None or isinstance(value, Extension):
        return None
    if node.kind == "json":
        return reference_text(msgpack.packb(value))
    if node.kind == "list":
        return [expected(node.children[0], item) for item in value]
    if node.kind == "struct":
        pairs = zip(node.names, node.children, strict=True)
        return {raw.decode(): expected(child, value.get(raw.decode())) for raw, child in pairs}
    return float(value) if node.kind == "float" else value


def reference_text(stored: bytes) -> str | None:
    try:
        return json_text(payload_to_json_value(stored))
    except FormatError:
        return None


def same(left: Any, right: Any) -> bool:
    """Equality in which NaN equals NaN and 1 is neither 1.0 nor True."""
    if isinstance(left, float) and isinstance(right, float):
        return (left == right and math.copysign(1, left) == math.copysign(1, right)) or (
            left != left and right != right
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and bool(left == right)


@settings(max_examples=300, deadline=None)
@given(PAYLOADS)
def test_columns_reassemble_to_the_payloads_and_have_the_plain_types(payloads: list[Any]) -> None:
    stored = [msgpack.packb(payload) for payload in payloads]
    plan = infer(stored)
    arrays, _ = plan.arrays(*pack(stored))
    maps = [payload if isinstance(payload, dict) else {} for payload in payloads]
    for column in plan.columns:
        values = [row.get(column.name) for row in maps]
        assert column.node.type == plain_type(values)
        array = arrays[f"payload.{column.name}"]
        array.validate(full=True)
        assert same(array.to_pylist(), [expected(column.node, value) for value in values])
    assert [column.name for column in plan.columns] == list(dict.fromkeys(key for row in maps for key in row))
    others = [None if isinstance(payload, dict) else payload for payload in payloads]
    if plan.root is not None:
        assert plan.root.type == plain_type(others)
        assert same(arrays["payload"].to_pylist(), [expected(plan.root, value) for value in others])
    else:
        assert all(isinstance(payload, dict) for payload in payloads)


@settings(max_examples=150, deadline=None)
@given(PAYLOADS)
def test_struct_mode_holds_what_columns_mode_holds(payloads: list[Any]) -> None:
    stored = [msgpack.packb(payload) for payload in payloads]
    plan = infer(stored)
    columns = plan.arrays(*pack(stored))[0]
    (whole,) = plan.arrays(*pack(stored), None, "struct")[0].values()
    whole.validate(full=True)
    if not plan.columns:
        return
    for row, payload in enumerate(payloads):
        made = {column.name: columns[f"payload.{column.name}"][row].as_py() for column in plan.columns}
        assert same(whole[row].as_py(), made if isinstance(payload, dict) else None)


HOSTILE = st.binary(max_size=12) | st.builds(
    lambda value, at, byte: msgpack.packb(value)[:at] + byte + msgpack.packb(value)[at + 1 :],
    VALUES,
    st.integers(0, 30),
    st.sampled_from([b"", b"\xc1", b"\xff", b"\xd4", b"\xc4\x01", b"\xdf\xff\xff\xff\xff", b"\xa1\xff", b"\x82"]),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(HOSTILE, max_size=5))
def test_no_bytes_abort_any_mode_and_json_is_the_reference_s(stored: list[bytes]) -> None:
    plan = infer(stored, max_fields=3)
    texts = [reference_text(one) for one in stored]
    for mode in MODES:
        arrays, decodable = plan.arrays(*pack(stored), None, mode)
        assert decodable.tolist() == [text is not None for text in texts]
        for field in plan.schema_fields(mode):
            arrays[field.name].validate(full=True)
            assert arrays[field.name].type == field.type
    assert plan.arrays(*pack(stored), None, "json")[0]["payload"].to_pylist() == texts
    assert plan.arrays(*pack(stored), None, "binary")[0]["payload"].to_pylist() == stored


MAP = pa.map_(pa.string(), pa.int64())
ENTRY = {"key": "a", "value": 1}
OPAQUE = [pa.opaque(MAP, "map", "nobody")] if hasattr(pa, "opaque") else []


@pytest.mark.parametrize(
    "value",
    [
        *({None: 1}, [[None, 1]], [[None, None]], [None], [None, None], [ENTRY, None], [None, ENTRY], [[]], [{}]),
        *([{"key": None, "value": 1}], [["a", 1], None], [msgpack.ExtType(1, b"x"), None], [msgpack.ExtType(1, b"x")]),
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    ("wanted", "wrap"),
    [
        (MAP, lambda value: value),
        (pa.list_(MAP), lambda value: [value]),
        (pa.list_(MAP, 1), lambda value: [value]),
        (pa.list_view(MAP), lambda value: [value]),
        (pa.struct([("a", MAP)]), lambda value: {"a": value}),
        (pa.map_(pa.string(), MAP), lambda value: {"a": value}),
        (pa.map_(pa.string(), MAP), lambda value: [{"key": "a", "value": value}]),
        (pa.map_(pa.string(), pa.struct([("a", MAP)])), lambda value: {"a": {"a": value}}),
        (pa.map_(pa.string(), pa.struct([("a", MAP)])), lambda value: {"a": {b"a": value}}),
        *((extension, lambda value: value) for extension in OPAQUE),
    ],
)
def test_a_map_entry_without_a_key_is_a_misfit(value: Any, wanted: pa.DataType, wrap: Any) -> None:
    """Arrow ends the process at some of them: at an entry that is nil, and at a key that is."""
    plan = PayloadPlan.from_schema({"x": wanted})
    array = plan.arrays(*pack([msgpack.packb({"x": wrap(value)})]))[0]["payload.x"]
    assert array.type == wanted
    assert list(_entries(array.to_pylist())) == []
    assert plan.misfits == {"payload.x": 1}
    array.validate(full=True)


def _entries(value: Any) -> Any:
    """All pairs anywhere in a Python value."""
    if isinstance(value, tuple):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        yield from _entries(one)


LEAVES = st.sampled_from(
    [
        *(pa.int8(), pa.uint64(), pa.float32(), pa.string(), pa.string_view(), pa.bool_(), pa.binary(), pa.binary(2)),
        *(pa.decimal128(5, 1), pa.date32(), pa.date64(), pa.time32("s"), pa.time64("ns"), pa.timestamp("us")),
        *(pa.month_day_nano_interval(), pa.float16(), pa.dictionary(pa.int16(), pa.string()), pa.null()),
    ]
)
EXTENSION_TYPES = [*OPAQUE, *(getattr(pa, name)() for name in ("uuid", "json_", "bool8") if hasattr(pa, name))]
EXTENSIONS: st.SearchStrategy[pa.DataType] = st.one_of([st.just(one) for one in EXTENSION_TYPES])
KEYS = st.sampled_from([pa.string(), pa.int64(), pa.binary(), pa.struct([("a", pa.int8())])])
GIVEN = EXTENSIONS | st.recursive(
    LEAVES | st.just(MAP),
    lambda inner: st.one_of(
        st.builds(pa.map_, KEYS, inner),
        st.builds(pa.list_, inner, st.sampled_from([-1, -1, 0, 2])),
        inner.map(pa.list_view),
        st.builds(lambda one, other: pa.struct([("a", one), ("b", other)]), inner, inner),
    ),
    max_leaves=4,
)


def stored_for(wanted: pa.DataType) -> st.SearchStrategy[Any]:
    """Values in the shape of a type, and any others at every depth of it."""
    faults = st.none() | VALUES
    kinds = pa.types
    if isinstance(wanted, pa.BaseExtensionType):
        return stored_for(wanted.storage_type)
    if kinds.is_map(wanted):
        key = stored_for(wanted.key_type)
        item = stored_for(wanted.item_type)
        pair = st.none() | st.fixed_dictionaries({"key": key, "value": item}) | st.tuples(key, item) | faults
        return st.lists(pair, max_size=3) | st.dictionaries(NAMES | st.none(), item, max_size=3) | faults
    if kinds.is_struct(wanted):
        return st.fixed_dictionaries({}, optional={one.name: stored_for(one.type) for one in wanted}) | faults
    if kinds.is_nested(wanted):
        return st.lists(stored_for(wanted.value_type), max_size=3) | faults
    return SCALARS | faults


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_a_given_type_never_aborts_and_every_null_is_counted(data: st.DataObject) -> None:
    wanted = data.draw(GIVEN)
    values = data.draw(st.lists(stored_for(wanted), max_size=5))
    stored = [msgpack.packb({"x": value}) for value in values]
    plan = PayloadPlan.from_schema({"x": wanted})
    array = plan.arrays(*pack(stored))[0]["payload.x"]
    array.validate(full=True)
    assert array.type == wanted
    lost = sum(value is not None and not cell for value, cell in zip(values, array.is_valid().to_pylist(), strict=True))
    assert plan.misfits.get("payload.x", 0) >= lost
    if not pa.types.is_nested(wanted):
        assert plan.misfits.get("payload.x", 0) == lost


@settings(max_examples=60, deadline=None)
@given(PAYLOADS, st.integers(1, 4), st.sampled_from([1, 7, 8_000_000]))
def test_batches_and_steps_change_nothing(payloads: list[Any], size: int, cells: int) -> None:
    stored = [msgpack.packb(payload) for payload in payloads]
    whole = infer(stored, max_fields=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nested, "MAX_CELLS", cells)
        inference = PayloadInference(max_fields=5)
        for at in range(0, len(stored), size):
            inference.update(*pack(stored[at : at + size]))
        plan = inference.finish()
        assert plan.notes == whole.notes
        for mode in MODES:
            assert plan.schema_fields(mode) == whole.schema_fields(mode)
            at_once = whole.arrays(*pack(stored), None, mode)[0]
            for name, array in plan.arrays(*pack(stored), None, mode)[0].items():
                assert same(array.to_pylist(), at_once[name].to_pylist())


@settings(max_examples=100, deadline=None)
@given(PAYLOADS, st.integers(1, 4), st.sampled_from([2, 5, 1000]))
def test_inferences_merged_in_order_are_one_inference(payloads: list[Any], size: int, max_fields: int) -> None:
    stored = [msgpack.packb(payload) for payload in payloads]
    whole = infer(stored, max_fields)
    merged = PayloadInference(max_fields)
    for at in range(0, len(stored), size):
        part = PayloadInference(max_fields)
        part.update(*pack(stored[at : at + size]))
        if not merged.merge(part):
            merged.update(*pack(stored[at : at + size]))
    plan = merged.finish()
    assert plan.notes == whole.notes
    assert (plan.columns, plan.root, plan.rest, plan.maps) == (whole.columns, whole.root, whole.rest, whole.maps)


def test_thousands_of_fields_overflow_without_loss() -> None:
    payloads = [{f"f{row * 40 + i}": i for i in range(60)} for row in range(40)]
    stored = [msgpack.packb(payload) for payload in payloads]
    plan = infer(stored)
    assert len(plan.columns) == 1000 and plan.rest
    arrays, _ = plan.arrays(*pack(stored))
    for row, payload in enumerate(payloads):
        cells = {column.name: arrays[f"payload.{column.name}"][row].as_py() for column in plan.columns}
        rest = json.loads(arrays["payload.*"][row].as_py() or "{}")
        assert {name: cell for name, cell in cells.items() if cell is not None} | rest == payload


def _real_rows(stores: Path) -> list[list[dict[str, Any]]]:
    files = sorted(stores.glob("*.jsonl"))
    return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


def test_real_payloads_read_as_the_reference_reads_them(fixture_stores: Path) -> None:
    for rows in _real_rows(fixture_stores):
        rows = [row for row in rows if row["payload_raw"] is not None]
        stored = [bytes.fromhex(row["payload_raw"]) for row in rows]
        present = np.array([not row["encrypted"] for row in rows], np.uint8)
        inference = PayloadInference()
        inference.update(*pack(stored), present)
        plan = inference.finish()
        texts = plan.arrays(*pack(stored), present, "json")[0]["payload"].to_pylist()
        columns, decodable = plan.arrays(*pack(stored), present)
        assert plan.arrays(*pack(stored), present, "binary")[0]["payload"].to_pylist() == stored
        for row, text, good in zip(rows, texts, decodable.tolist(), strict=True):
            failed = isinstance(row["payload"], dict) and "$error" in row["payload"] and not row["encrypted"]
            assert good != failed
            assert (text is None) == (failed or row["encrypted"])
            assert text is None or json.loads(text) == row["payload"]
        _check_columns(plan, columns, [None if row["encrypted"] else _plain(row) for row in rows])


def _plain(row: dict[str, Any]) -> Any:
    """The payload with what JSON cannot show: NaN, infinities, bytes. None for what is no value."""
    try:
        value, _ = decode_value(bytes.fromhex(row["payload_raw"]))
    except FormatError:
        return None
    return value if not isinstance(value, dict) or all(isinstance(key, str) for key in value) else None


def _check_columns(plan: PayloadPlan, columns: dict[str, pa.Array], payloads: list[Any]) -> None:
    for column in plan.columns:
        values = [row.get(column.name) if isinstance(row, dict) else None for row in payloads]
        cells = columns[f"payload.{column.name}"].to_pylist()
        wanted = [expected(column.node, value) for value in values]
        assert same(cells, wanted), column.name
    if plan.root is not None:
        others = [None if isinstance(row, dict) else row for row in payloads]
        assert same(columns["payload"].to_pylist(), [expected(plan.root, value) for value in others])
