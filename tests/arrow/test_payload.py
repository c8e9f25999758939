"""What each kind of payload becomes, one fear at a time."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from datetime import date, time, timedelta
from typing import Any

import msgpack
import numpy as np
import pyarrow as pa
import pytest

from batpak_analytics.arrow import nested
from batpak_analytics.arrow.payload import MODES, PayloadInference, PayloadPlan
from batpak_analytics.errors import ResultTooLargeError

Packed = tuple[Any, Any]
TRUNCATED, NO_TAG, DEEP = b"\x82\xa1a", b"\xc1", b"\x91" * 1024 + b"\x00"
EXT, BIN, BAD_TEXT, ODD_KEY = b"\xd4\x01\x02", b"\xc4\x02ab", b"\xa1\xff", b"\x81\x01\x02"


def pack(*values: Any) -> Packed:
    """Data and offsets of some payloads; bytes stand for themselves, anything else is encoded."""
    stored = [value if isinstance(value, bytes) else msgpack.packb(value) for value in values]
    offsets = np.cumsum([0, *map(len, stored)], dtype=np.int64)
    return np.frombuffer(b"".join(stored), np.uint8), offsets


def field(*values: Any) -> tuple[bytes, ...]:
    """Payloads with the one field ``x``."""
    return tuple(b"\x81\xa1x" + (v if isinstance(v, bytes) else msgpack.packb(v)) for v in values)


def infer(packed: Packed, present: Any = None, max_fields: int = 1000) -> PayloadPlan:
    inference = PayloadInference(max_fields)
    inference.update(*packed, present)
    return inference.finish()


def read(
    plan: PayloadPlan,
    packed: Packed,
    mode: str = "columns",
    present: Any = None,
    names: Sequence[str] | None = None,
) -> dict[str, list[Any]]:
    """The columns as Python lists, after Arrow's own full validation, and as the schema says."""
    arrays, decodable = plan.arrays(*packed, present, mode, names)
    assert len(decodable) == len(packed[1]) - 1
    types = {one.name: one.type for one in plan.schema_fields(mode)}
    assert list(arrays) == list(types if names is None else names)
    for name, array in arrays.items():
        array.validate(full=True)
        assert array.type == types[name] and len(array) == len(decodable)
    return {name: array.to_pylist() for name, array in arrays.items()}


def column(*values: Any) -> tuple[pa.DataType, list[Any], PayloadPlan]:
    """Type and values of the field ``x`` over these values."""
    packed = pack(*field(*values))
    plan = infer(packed)
    (only,) = plan.schema_fields("columns")
    return only.type, read(plan, packed)["payload.x"], plan


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1, -1, None], pa.int64()),
        ([-(2**63), 2**63 - 1], pa.int64()),
        ([0, 2**63, 2**64 - 1], pa.uint64()),
        ([1.5, None], pa.float64()),
        ([True, False, None], pa.bool_()),
        (["é", "", None], pa.string()),
        ([BIN, b"\xc4\x00"], pa.binary()),
        ([None, None], pa.null()),
        ([[1, 2], [], None], pa.list_(pa.int64())),
        ([[[]], []], pa.list_(pa.list_(pa.null()))),
        ([{"a": 1}, {"b": "x"}, None], pa.struct([("a", pa.int64()), ("b", pa.string())])),
        ([[{"a": [1]}], [{"a": None}]], pa.list_(pa.struct([("a", pa.list_(pa.int64()))]))),
    ],
)
def test_values_that_agree_get_their_own_type(values: list[Any], wanted: pa.DataType) -> None:
    got, cells, _ = column(*values)
    assert got == wanted
    plain = [msgpack.unpackb(v) if isinstance(v, bytes) else v for v in values]
    if wanted == pa.struct([("a", pa.int64()), ("b", pa.string())]):
        plain = [{"a": 1, "b": None}, {"a": None, "b": "x"}, None]
    assert cells == plain


@pytest.mark.parametrize(
    ("values", "because"),
    [
        ([1, "a"], "rows hold both int and str"),
        ([True, 1], "rows hold both bool and int"),
        ([True, 1, [2]], "rows hold bool, int and array"),
        ([-1, 2**63], "rows hold both negative integers and integers above 9223372036854775807"),
        ([1.5, 2**53 + 1], "rows hold floats and integers that no float64 equals"),
        ([{}, {}], "its maps hold no fields"),
        ([{}, [1]], "rows hold both array and map"),
    ],
)
def test_values_that_disagree_become_json_text_and_the_note_says_why(values: list[Any], because: str) -> None:
    got, cells, plan = column(*values, None)
    assert got == pa.string()
    assert [None if cell is None else json.loads(cell) for cell in cells] == [*values, None]
    assert plan.notes == [f"payload.x: JSON text, because {because}"]


def test_integers_join_floats_only_where_none_is_rounded() -> None:
    got, cells, _ = column(1.5, 2**53, -(2**63))
    assert (got, cells) == (pa.float64(), [1.5, 2.0**53, -(2.0**63)])


def test_f32_widens_and_nan_and_infinities_stay() -> None:
    _, cells, _ = column(b"\xca" + struct.pack(">f", 0.1), float("inf"), float("nan"))
    assert cells[:2] == [struct.unpack(">f", struct.pack(">f", 0.1))[0], float("inf")]
    assert cells[2] != cells[2]


def test_missing_and_nil_are_both_null() -> None:
    packed = pack({"x": 1}, {"y": 2}, {"x": None, "y": 3})
    assert read(infer(packed), packed) == {"payload.x": [1, None, None], "payload.y": [None, 2, 3]}


def test_duplicate_keys_last_wins_at_every_level() -> None:
    twice = b"\x82\xa1x\x01\xa1x\x02"
    packed = pack(twice, b"\x81\xa1y" + twice)
    assert read(infer(packed), packed) == {"payload.x": [2, None], "payload.y": [None, {"x": 2}]}


def test_what_arrow_cannot_hold_is_null_counted_and_told() -> None:
    got, cells, plan = column(7, EXT, ODD_KEY)
    assert (got, cells) == (pa.int64(), [7, None, None])
    assert plan.misfits == {"payload.x": 2}
    assert plan.notes[1:] == [
        "payload.x: 2 values of ext types or maps with a key that is not a string; they read as null"
    ]


def test_text_that_is_not_utf8_is_null_and_told() -> None:
    got, cells, plan = column("a", BAD_TEXT)
    assert (got, cells, plan.misfits) == (pa.string(), ["a", None], {"payload.x": 1})
    assert plan.notes[1:] == ["payload.x: 1 strings are not UTF-8; they read as null"]


def test_binary_in_a_json_text_cell_makes_that_cell_null() -> None:
    got, cells, _ = column(BIN, 1, b"\x91" + BIN)
    assert (got, cells) == (pa.string(), [None, "1", None])


def test_nan_in_json_text_is_null_text() -> None:
    assert column(float("nan"), "a")[1] == ["null", '"a"']


def test_nested_conflict_stays_inside_its_struct() -> None:
    got, cells, plan = column({"a": 1, "b": [1]}, {"a": "s", "b": [{}]})
    assert got == pa.struct([("a", pa.string()), ("b", pa.list_(pa.string()))])
    assert cells == [{"a": "1", "b": ["1"]}, {"a": '"s"', "b": ["{}"]}]
    assert plan.notes[1:] == [
        "payload.x.a: JSON text, because rows hold both int and str",
        "payload.x.b[]: JSON text, because rows hold both int and map",
    ]


def _deep(levels: int, value: Any = 1) -> Any:
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


def test_thirty_two_levels_are_a_type_and_thirty_three_are_json_text() -> None:
    got, cells, _ = column(_deep(32))
    assert pa.types.is_list(got) and cells == [_deep(32)]
    got, cells, plan = column(_deep(32), _deep(33)["k"], _deep(34))
    assert got == pa.string() and json.loads(cells[2]) == _deep(34)
    assert plan.notes == ["payload.x: JSON text, because its values nest deeper than 32"]


def test_nesting_beyond_every_recursion_limit_still_gives_json_text() -> None:
    got, cells, _ = column(b"\x91" * 1020 + b"\x01", "x")
    assert got == pa.string()
    assert cells == ["[" * 1020 + "1" + "]" * 1020, '"x"']


def test_maps_used_as_dictionaries_do_not_grow_without_bound() -> None:
    packed = pack(*field(*({f"user{i}": i} for i in range(50))))
    plan = infer(packed, max_fields=20)
    assert plan.notes == ["payload.x: JSON text, because its maps hold more than 20 different fields"]
    assert read(plan, packed)["payload.x"][49] == '{"user49":49}'


def test_payloads_that_are_no_maps_get_the_column_payload() -> None:
    packed = pack([1, 2], {"a": 1}, [3], None, ODD_KEY)
    plan = infer(packed)
    assert read(plan, packed) == {
        "payload.a": [None, 1, None, None, None],
        "payload": [[1, 2], None, [3], None, None],
    }
    assert read(plan, packed, "struct") == {"payload": [None, {"a": 1}, None, None, None]}
    assert any('payload="json"' in note for note in plan.notes)


def test_struct_mode_without_any_map_is_the_column_payload() -> None:
    packed = pack(1, 2)
    assert read(infer(packed), packed, "struct") == {"payload": [1, 2]}


def test_struct_mode_of_empty_maps_is_json_text() -> None:
    packed = pack({}, {})
    assert read(infer(packed), packed, "struct") == {"payload": ["{}", "{}"]}
    assert read(infer(packed), packed, "columns") == {}


def test_fields_beyond_the_limit_go_into_one_json_column() -> None:
    packed = pack({"a": 1, "b": 2}, {"z": [1], "c": "é", "b": 3}, {"a": 4}, {"c": BIN, "d": 1.0}, [5])
    plan = infer(packed, max_fields=2)
    assert read(plan, packed) == {
        "payload.a": [1, None, 4, None, None],
        "payload.b": [2, 3, None, None, None],
        "payload": [None, None, None, None, [5]],
        "payload.*": [None, '{"c":"é","z":[1]}', None, None, None],
    }
    assert plan.misfits == {"payload.*": 1}
    assert "payload.*: JSON text of the fields beyond the first 2 different ones" in plan.notes
    assert read(plan, packed, "struct")["payload"][1] == {"a": None, "b": 3, "*": '{"c":"é","z":[1]}'}


def test_a_field_named_like_the_rest_column_joins_it() -> None:
    packed = pack({"*": 1, "a": 2, "b": 3})
    assert read(infer(packed, max_fields=2), packed) == {"payload.a": [2], "payload.*": ['{"*":1,"b":3}']}


def test_more_fields_than_fit_in_one_step_are_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{f"f{i}": i + row, "s": "x" * row} for row in range(30) for i in range(row, row + 3)]
    packed = pack(*rows)
    whole = read(infer(packed), packed)
    monkeypatch.setattr(nested, "MAX_CELLS", 50)
    assert read(infer(packed, max_fields=40), packed) == whole


def test_names_that_arrow_would_confuse_stay_apart() -> None:
    packed = pack({"a\0": 1, "a\\x00": 2, "": 3, "a.b": 4})
    assert list(read(infer(packed), packed)) == [
        "payload.a\\x00",
        "payload.a\\x00'",
        "payload.",
        "payload.a.b",
    ]


@pytest.mark.parametrize("hostile", [b"", TRUNCATED, NO_TAG, DEEP, b"\x81\xa1x" + NO_TAG, b"\x81\xa1x"])
def test_bytes_that_are_not_messagepack_are_null_and_undecodable(hostile: bytes) -> None:
    packed = pack({"x": 1}, hostile, {"x": 2})
    plan = infer(packed)
    assert plan.notes[-1] == "payload: 1 payloads are not MessagePack; they read as null"
    assert read(plan, packed) == {"payload.x": [1, None, 2]}
    assert read(plan, packed, "struct") == {"payload": [{"x": 1}, None, {"x": 2}]}
    assert read(plan, packed, "json") == {"payload": ['{"x":1}', None, '{"x":2}']}
    for mode in MODES:
        assert plan.arrays(*packed, None, mode)[1].tolist() == [True, False, True]


@pytest.mark.parametrize("odd", [BIN, EXT, BAD_TEXT, ODD_KEY])
def test_json_mode_is_null_where_the_reference_fails_but_other_fields_are_given(odd: bytes) -> None:
    packed = pack(b"\x82\xa1x" + odd + b"\xa1y\x07", {"y": 8})
    plan = infer(packed)
    assert read(plan, packed, "json") == {"payload": [None, '{"y":8}']}
    assert read(plan, packed)["payload.y"] == [7, 8]
    assert plan.arrays(*packed)[1].tolist() == [False, True]


def test_json_text_of_small_floats_is_serde_s_not_python_s() -> None:
    packed = pack([0.00001, 1e-7, 1e16, -0.0, 1.0], float("inf"), "e-5")
    assert read(PayloadPlan(), packed, "json")["payload"] == [
        "[0.00001,1e-7,1e+16,-0.0,1.0]",
        "null",
        '"e-5"',
    ]


def test_bytes_after_the_payload_are_ignored() -> None:
    packed = pack(b"\x81\xa1x\x01\xc1\xc1")
    plan = infer(packed)
    assert read(plan, packed) == {"payload.x": [1]}
    assert read(plan, packed, "json") == {"payload": ['{"x":1}']}


def test_rows_not_present_are_null_but_their_stored_bytes_are_given() -> None:
    packed, present = pack({"x": 1}, b"\x81\xa1q\x01", b"\xc1"), np.array([1, 0, 0], np.uint8)
    plan = infer(packed, present)
    assert read(plan, packed, "columns", present) == {"payload.x": [1, None, None]}
    assert read(plan, packed, "struct", present) == {"payload": [{"x": 1}, None, None]}
    assert read(plan, packed, "json", present) == {"payload": ['{"x":1}', None, None]}
    assert read(plan, packed, "binary", present) == {"payload": [b"\x81\xa1x\x01", b"\x81\xa1q\x01", b"\xc1"]}
    for mode in MODES:
        assert plan.arrays(*packed, present, mode)[1].all()


def test_stored_bytes_are_not_copied() -> None:
    data, offsets = pack([1, 2, 3], "abc")
    arrays, _ = PayloadPlan().arrays(data, offsets[1:], None, "binary")
    assert arrays["payload"].to_pylist() == [b"\xa3abc"]
    assert arrays["payload"].buffers()[2].address == data.ctypes.data + 4


def test_only_the_names_asked_for_are_built() -> None:
    packed = pack({"a": 1, "b": 2, "c": EXT}, [1])
    plan = infer(packed)
    assert read(plan, packed, names=["payload.b"]) == {"payload.b": [2, None]}
    assert read(plan, packed, names=["payload"]) == {"payload": [None, [1]]}
    assert read(plan, packed, names=[]) == {}
    with pytest.raises(KeyError, match=r"payload\.zz"):
        plan.arrays(*packed, None, "columns", ["payload.zz"])


def test_no_rows_give_an_empty_answer_in_every_mode() -> None:
    packed = pack()
    plan = infer(packed)
    assert read(plan, packed) == {}
    assert [read(plan, packed, mode) for mode in MODES[1:]] == [{"payload": []}] * 3
    filled = infer(pack({"a": [{"b": 1}]}))
    assert read(filled, packed) == {"payload.a": []}


def test_an_unknown_mode_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="columns, struct, json, binary"):
        PayloadPlan().schema_fields("frame")


def test_more_text_than_an_arrow_array_holds_is_refused_with_advice() -> None:
    from batpak_analytics.arrow.payload_arrays import narrow_offsets

    with pytest.raises(ResultTooLargeError, match="batch_size"):
        narrow_offsets(np.array([0, 2**31], np.int64))


def test_inference_by_batches_equals_inference_at_once() -> None:
    rows = [
        {"a": 1, "n": {"k": [1]}},
        {"a": 1.5, "n": {"j": None}},
        [1],
        {"a": None, "n": {"k": [1.5]}},
        b"\xc1",
    ]
    whole = infer(pack(*rows))
    inference = PayloadInference()
    for row in rows:
        inference.update(*pack(row))
    assert inference.finish().notes == whole.notes


SCHEMA_CASES: list[tuple[pa.DataType, list[Any], list[Any], int]] = [
    (pa.int8(), [1, -128, 128, "a", None, 1.0], [1, -128, None, None, None, None], 3),
    (pa.uint16(), [0, 65535, 65536, -1], [0, 65535, None, None], 2),
    (pa.uint64(), [2**64 - 1, -1], [2**64 - 1, None], 1),
    (pa.int64(), [2**63, -(2**63)], [None, -(2**63)], 1),
    (
        pa.float64(),
        [1, 1.5, 2**53 + 1, 2**64 - 1, 2**63, -(2**63), True],
        [1.0, 1.5, None, None, 2.0**63, -(2.0**63), None],
        3,
    ),
    (pa.float32(), [0.5, 1e300, 2**24 + 1, float("inf")], [0.5, None, None, float("inf")], 2),
    (pa.bool_(), [True, 0], [True, None], 1),
    (pa.string(), ["a", 1, BAD_TEXT], ["a", None, None], 2),
    (pa.large_string(), ["a", 1], ["a", None], 1),
    (pa.string_view(), ["a", 1], ["a", None], 1),
    (pa.binary(), [BIN, "a"], [b"ab", None], 1),
    (pa.binary(2), [BIN, b"\xc4\x01a", None], [b"ab", None, None], 1),
    (pa.null(), [None, 1], [None, None], 1),
    (pa.list_(pa.int8()), [[1, 300], 5, []], [[1, None], None, []], 2),
    (pa.large_list(pa.string()), [["a"], None], [["a"], None], 0),
    (pa.struct([("a", pa.int64())]), [{"a": 1, "b": 2}, {}, 3], [{"a": 1}, {"a": None}, None], 1),
    (pa.map_(pa.string(), pa.int64()), [{"a": 1}, {}, 3, None], [[("a", 1)], [], None, None], 1),
    (pa.dictionary(pa.int32(), pa.string()), ["a", "b", 1], ["a", "b", None], 1),
    (pa.map_(pa.string(), pa.int64()), [[{"key": "a", "value": 1}, {"key": "b"}]], [[("a", 1), ("b", None)]], 0),
    (pa.map_(pa.string(), pa.int64()), ["", BIN, [1], [["a", 1]], []], [None, None, None, None, []], 4),
    (pa.map_(pa.string(), pa.string_view()), [{"a": "b"}, 1], [[("a", "b")], None], 1),
    (pa.list_(pa.string(), 2), [["a", "b"], "ab", ["a"]], [["a", "b"], None, None], 2),
    (pa.list_view(pa.int8()), [[1], BIN, "", None], [[1], None, None, None], 2),
    (pa.list_view(pa.struct([("a", pa.int8())])), [[{"a": 1}, None, {}]], [[{"a": 1}, None, {"a": None}]], 0),
    (
        pa.list_(pa.struct([("a", pa.dictionary(pa.int8(), pa.string()))]), 1),
        [[{"a": "b"}], []],
        [[{"a": "b"}], None],
        1,
    ),
    (pa.list_(pa.struct([("a", pa.dictionary(pa.int8(), pa.string()))]), 1), [[]], [None], 1),
    (pa.time64("us"), [0, -1, 86_400_000_000, None], [time(0), None, None, None], 2),
    (pa.time32("s"), [86_399, 86_400], [time(23, 59, 59), None], 1),
    (pa.date64(), [86_400_000, 1], [date(1970, 1, 2), None], 1),
    (pa.duration("ms"), [1, "x"], [timedelta(milliseconds=1), None], 1),
]


@pytest.mark.parametrize(("wanted", "values", "cells", "misfits"), SCHEMA_CASES, ids=lambda v: str(v)[:30])
def test_given_types_null_and_count_what_does_not_fit(
    wanted: pa.DataType, values: list[Any], cells: list[Any], misfits: int
) -> None:
    plan = PayloadPlan.from_schema({"x": wanted})
    assert read(plan, pack(*field(*values))) == {"payload.x": cells}
    assert plan.misfits == ({"payload.x": misfits} if misfits else {})


@pytest.mark.skipif(not hasattr(pa, "json_"), reason="this pyarrow has no JSON type")
def test_a_given_json_type_reads_any_value_as_text() -> None:
    plan = PayloadPlan.from_schema(pa.schema([("x", pa.json_())]))
    assert read(plan, pack(*field([1], "a", None)))["payload.x"] == ["[1]", '"a"', None]


def test_given_types_leave_other_fields_and_other_payloads_alone() -> None:
    plan = PayloadPlan.from_schema(pa.schema([("x", pa.int64()), ("gone", pa.string())]))
    packed = pack({"x": 1, "other": 2}, [1], b"\xc1")
    assert read(plan, packed) == {"payload.x": [1, None, None], "payload.gone": [None, None, None]}
    assert read(plan, packed, "struct")["payload"] == [{"x": 1, "gone": None}, None, None]
    assert plan.misfits == {}


def _wrapped(wrap: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    wanted = pa.int8()
    for _ in range(1000):
        wanted = wrap(wanted)
    return wanted


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (pa.dense_union([pa.field("a", pa.int8())]), "union"),
        (pa.list_(pa.sparse_union([pa.field("a", pa.int8())])), "union"),
        (pa.run_end_encoded(pa.int32(), pa.int8()), "run-end"),
        (pa.map_(pa.string(), pa.run_end_encoded(pa.int32(), pa.int8())), "run-end"),
        (pa.struct([("a", pa.int8()), ("a", pa.int8()), ("b", pa.int8())]), "twice"),
        (pa.dictionary(pa.int8(), pa.list_(pa.int8())), "does not build"),
        (pa.list_(pa.dictionary(pa.int8(), pa.decimal128(5))), "does not build"),
        *((pa.list_view(pa.uuid()), "does not build") for _ in range(hasattr(pa, "uuid"))),
        *(
            (_wrapped(wrap), "deeper than 100")
            for wrap in (pa.list_, pa.list_view, lambda one: pa.map_(pa.string(), one))
        ),
        (_wrapped(lambda one: pa.struct([("a", one)])), "deeper than 100"),
    ],
    ids=lambda case: case if isinstance(case, str) else "type",
)
def test_a_given_type_that_cannot_be_built_is_refused_by_name(wanted: pa.DataType, why: str) -> None:
    with pytest.raises(ValueError, match=f"'the field' .*{why}.*json_"):
        PayloadPlan.from_schema({"the field": wanted})


def test_more_different_values_than_a_given_dictionary_can_index_say_so() -> None:
    plan = PayloadPlan.from_schema({"x": pa.dictionary(pa.int8(), pa.string())})
    with pytest.raises(ResultTooLargeError, match="larger index type"):
        read(plan, pack(*field(*map(str, range(200)))))


def test_a_field_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        PayloadPlan.from_schema(pa.schema([("x", pa.int64()), ("x", pa.string())]))


def test_long_and_short_arrays_mixed_keep_their_elements() -> None:
    values = [list(range(n)) for n in (0, 1, 500, 3, 70_000)]
    assert column(*values)[1] == values
    mixed = [[{"k": i, "s": "x" * (i % 50)} for i in range(n)] for n in [*range(40), 300]]
    assert column(*mixed)[1] == mixed
