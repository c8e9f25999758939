"""Events made by the kernel are those of the readable twin, whatever their payloads hold."""

from __future__ import annotations

import copy
import inspect
import math
import sys
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import event_rows as readable

pytestmark = pytest.mark.skipif(not kernels.COMPILED, reason="there is no kernel to compare")

keys = st.sampled_from(["a", "ok", "sku", "currency", "a key of many letters", "ä", ""]) | st.text(max_size=9)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.floats(width=32)
    | st.text(max_size=40)
    | st.binary(max_size=3)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=7), max_leaves=12
)
packed = values.map(lambda value: msgpack.packb(value, use_bin_type=True))
DEEP = b"\x91" * 40 + b"\xc0"
DOUBLED = b"\x82\xa1a\x01\xa1a\x02"


class Refused(Exception):
    """What `refuse` makes here."""


def columns_of(cls: Any, payloads: list[bytes], **changes: Any) -> Any:
    """Columns of so many events with these payloads; everything else follows from the row."""
    count = len(payloads)
    rows = np.arange(count)
    ids = np.frombuffer(b"".join(i.to_bytes(16, "big") for i in range(count)), np.uint8).reshape(-1, 16)
    given: dict[str, Any] = dict(
        sequence=rows.astype(np.uint64) + 5, event_id=ids, correlation_id=ids[::-1].copy(), causation_id=ids,
        caused=(rows % 2).astype(np.uint8), entity=(rows % 3).astype(np.int32), entities=["a", "b", "ä"],
        scope=(rows % 1).astype(np.int32), scopes=["s"], kind=(rows + 0x1000).astype(np.uint16),
        wall_ms=rows.astype(np.int64), timestamp_us=rows.astype(np.int64) - 1, lane=rows.astype(np.uint32),
        depth=rows.astype(np.uint32), clock=rows.astype(np.uint32), payload_version=rows.astype(np.uint16),
        data=np.frombuffer(b"".join(payloads), np.uint8),
        bounds=np.cumsum([0, *map(len, payloads)]).astype(np.int64), trouble=np.zeros(count, np.uint8),
        typed={}, refuse=lambda row, error: Refused(row, type(error)), whole=lambda row: row,
    )  # fmt: skip
    return cls(**{**given, **changes})


def outcome(columns: Any, row: int) -> Any:
    """The payload with the type of every part, or what was raised."""
    try:
        value = columns.row(row).payload
    except Refused as error:
        return error.args
    return typed(value)


def typed(value: Any) -> Any:
    if isinstance(value, dict):
        return [(key, typed(item)) for key, item in value.items()]
    if isinstance(value, list):
        return ["list", *map(typed, value)]
    return type(value), repr(value)


@settings(max_examples=300, deadline=None)
@given(st.lists(packed | st.binary(max_size=12) | packed.map(lambda one: one[:-1]), max_size=8))
@example([DEEP, DOUBLED, DOUBLED, b"", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff\xa1a"])
@example([b"\x81\xa1a\xa2\xff\xff", b"\x81\xa1a\x01", b"\x81\xa1b\x01", b"\x81\xa1"])
def test_payloads_are_those_of_the_readable_twin(payloads: list[bytes]) -> None:
    ours, twin = (columns_of(cls, payloads) for cls in (kernels.EventColumns, readable.EventColumns))
    # Twice, because the shapes of the maps are known then.
    for row in [*range(len(payloads))] * 2:
        assert outcome(ours, row) == outcome(twin, row), payloads[row]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(packed | st.binary(max_size=12) | packed.map(lambda one: one[:-1]), max_size=8),
    st.lists(keys, max_size=3, unique=True),
)
@example([DOUBLED, DEEP, b"\x82\xa1a\xc4\x01x\xa1b\x01", b"\x82\xa1a\x01\xa1b\xa1\xff", b"\x81\x01\x02"], ["b"])
@example([b"\x82\xa1a\xca\x01", b"\x82\xa1a\xd3\x01", b"\x82\xa1a\xa5x", b"\x81\xa1\xff\x01", b"\x81\xa1a"], ["b"])
def test_chosen_fields_are_those_of_the_readable_twin(payloads: list[bytes], fields: list[str]) -> None:
    ours, twin = (
        columns_of(cls, payloads, fields=tuple(fields)) for cls in (kernels.EventColumns, readable.EventColumns)
    )
    for row in range(len(payloads)):
        assert outcome(ours, row) == outcome(twin, row), payloads[row]


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", "g"]), max_size=7, unique=True), st.integers(0, 6))
def test_a_map_whose_keys_change_midway_keeps_what_was_read(names: list[str], at: int) -> None:
    first = msgpack.packb({name: [name] for name in names})
    other = msgpack.packb({name if place < at else name * 2: [name] for place, name in enumerate(names)})
    columns = columns_of(kernels.EventColumns, [first, other, first])
    assert [columns.value(row) for row in range(3)] == [msgpack.unpackb(one) for one in (first, other, first)]


def test_every_attribute_is_that_of_the_readable_twin() -> None:
    payloads = [msgpack.packb({"n": n}) for n in range(9)]
    ours, twin = (columns_of(cls, payloads) for cls in (kernels.EventColumns, readable.EventColumns))
    names = [name for name in vars(readable.EventRow) if not name.startswith("_")]
    frames = {"flags", "content_hash", "hash_chain", "extensions", "payload_size", "payload_encryption"}
    assert set(names) <= set(dir(kernels.EventRow))
    for mine, theirs in zip(ours.rows(2, 7), twin.rows(2, 7), strict=True):
        for name in sorted(set(names) - frames - {"decode", "route"}):
            assert getattr(mine, name) == getattr(theirs, name), name
        assert repr(mine) == repr(theirs) and mine == theirs and hash(mine) == hash(theirs)
        assert copy.copy(mine) is mine and copy.deepcopy(mine) == mine


def test_what_most_projections_ask_is_read_without_a_call_and_outlives_a_changed_list() -> None:
    """The names that events point to are those the columns were made with, whatever becomes of the list."""
    columns = columns_of(kernels.EventColumns, [b"\x01"] * 3, entities=[f"entity {n}" for n in range(3)])
    events = [columns.row(row) for row in range(3)]
    columns.entities[:] = ["other"]
    columns.scopes.clear()
    assert [event.entity for event in [*events, columns.row(2)]] == ["entity 0", "entity 1", "entity 2", "entity 2"]
    assert {event.scope for event in events} == {"s"}
    for name in ("entity", "scope", "kind"):
        assert inspect.ismemberdescriptor(getattr(kernels.EventRow, name))
        with pytest.raises(AttributeError):
            setattr(events[0], name, "other")


def test_an_event_keeps_its_payload_and_another_of_the_row_has_its_own() -> None:
    columns = columns_of(kernels.EventColumns, [msgpack.packb({"n": [1]})])
    event = columns.row(0)
    assert not event.has_payload
    event.payload["n"].append(2)
    assert event.has_payload and event.payload == {"n": [1, 2]}
    assert columns.row(0).payload == {"n": [1]}


def test_a_payload_that_is_held_is_never_filled_anew() -> None:
    """Maps that nobody holds any longer are filled with the next event's values: that must not be seen."""
    payloads = [msgpack.packb({"qty": row, "note": f"n{row}", "in": {"deep": [row]}}) for row in range(51)]
    columns = columns_of(kernels.EventColumns, payloads)
    held, parts = [], []
    for event in columns.rows(0, 51):
        assert event.payload == {"qty": event.row, "note": f"n{event.row}", "in": {"deep": [event.row]}}
        assert list(event.payload) == ["qty", "note", "in"]
        if event.row % 3 == 0:
            held.append(event.payload)
        elif event.row % 3 == 1:
            parts.append(event.payload["in"])
            event.payload["qty"] = event.payload.pop("qty")
        else:
            event.payload["note"] = held
            event.payload["more"] = event.payload.pop("in")
    assert [(one["qty"], one["in"]["deep"]) for one in held] == [(row, [row]) for row in range(0, 51, 3)]
    assert parts == [{"deep": [row]} for row in range(1, 51, 3)]


HOLDS: list[Callable[[dict[str, Any]], Any]] = [
    lambda payload: None,
    lambda payload: payload,
    lambda payload: payload["price"],
    lambda payload: payload["sku"],
    lambda payload: {payload["sku"]: payload["price"]},
    lambda payload: sys.intern(payload["sku"]),
    lambda payload: hash(payload["sku"]) and None,
    lambda payload: list(payload.values()),
    lambda payload: iter(payload.values()),
    lambda payload: payload["in"],
    lambda payload: payload["in"]["sku"],
    lambda payload: payload.pop("sku"),
    lambda payload: payload.update(price=payload["in"]["price"], sku="a literal"),
    lambda payload: payload.update({"sku": payload.pop("sku")}),
    lambda payload: f"{payload['sku']}{payload['price']}",
]
events = st.tuples(
    st.floats() | st.sampled_from([0.5, -0.0]),
    st.sampled_from(["abc", "abd", "xyz", "xyzü", "a", "b", "", "a literal", "a letter "]) | st.text("abü", max_size=3),
    st.integers(-1, 600),
    st.sampled_from(HOLDS),
)


@given(st.lists(events, min_size=2, max_size=30))
def test_what_is_held_of_a_payload_never_changes(given_events: list[Any]) -> None:
    """Numbers and strings of a map that nobody holds are written anew: only if nobody holds them either."""
    payloads = [
        msgpack.packb({"price": price, "sku": sku, "qty": qty, "in": {"sku": sku, "price": price}})
        for price, sku, qty, _ in given_events
    ]
    ours, twin = (columns_of(cls, payloads) for cls in (kernels.EventColumns, readable.EventColumns))
    kept = []
    for event, (*_, hold) in zip(ours.rows(0, len(payloads)), given_events, strict=True):
        expected = twin.value(event.row)
        assert repr(event.payload) == repr(expected)
        kept.append((hold(event.payload), hold(expected)))
    for found, expected in kept:
        if hasattr(found, "__next__"):
            found, expected = list(found), list(expected)
        assert repr(found) == repr(expected)


def test_names_of_fields_are_shared_and_not_kept_for_good() -> None:
    """Where keys are ids, no two maps have the same: Python 3.12 would keep every interned one until it ends."""
    names = [f"name-{number}" for number in range(10_000)]
    columns = columns_of(kernels.EventColumns, [msgpack.packb({name: 1, "n": 2}) for name in names] * 2)
    first, second = (list(columns.row(row).payload) for row in (9_999, 19_999))
    assert first == second and first[1] is second[1]
    alike = "".join(first[0])
    assert sys.intern(alike) is alike, "the key is interned"
    long = msgpack.packb({"k" * 10_000: 1, "n": 2})
    assert [columns_of(kernels.EventColumns, [long] * 2).value(row) for row in (0, 1)] == [msgpack.unpackb(long)] * 2


def test_columns_that_do_not_fit_together_are_refused() -> None:
    payloads = [b"\x01", b"\x02"]
    for name, wrong in (
        ("kind", np.zeros(1, np.uint16)),
        ("entity", np.array([0, 3], np.int32)),
        ("entity", np.array([0, -1], np.int32)),
        ("scope", np.array([0, 1], np.int32)),
        ("bounds", np.array([0, 1, 3], np.int64)),
        ("bounds", np.array([0, 2, 1], np.int64)),
        ("bounds", np.array([-1, 1, 2], np.int64)),
        ("event_id", np.zeros((2, 15), np.uint8)),
    ):
        with pytest.raises(ValueError):
            columns_of(kernels.EventColumns, payloads, **{name: wrong})
    columns = columns_of(kernels.EventColumns, payloads)
    for ask in (columns.row, columns.raw, columns.value):
        for row in (-1, 2):
            with pytest.raises(IndexError):
                ask(row)
    assert len(list(columns.rows(-5, 99))) == 2


def test_no_event_can_be_made_without_columns() -> None:
    with pytest.raises(TypeError):
        kernels.EventRow()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        kernels.EventRow.__new__(kernels.EventRow)
    columns = columns_of(kernels.EventColumns, [b"\x01"])
    given_names = inspect.signature(readable.EventColumns).parameters
    with pytest.raises(TypeError, match="do not change"):
        columns.__init__(**{name: getattr(columns, name) for name in given_names})


def test_typed_payloads_and_troubled_ones_take_their_own_way() -> None:
    payloads = [b"\x01", b"\x02", b"\x03"]
    seen = []

    def make(packed: bytes, version: int, event_id: bytes) -> Any:
        seen.append((packed, version, event_id))
        return "made"

    trouble = np.array([0, 0, 1], np.uint8)
    for cls in (kernels.EventColumns, readable.EventColumns):
        columns = columns_of(cls, payloads, typed={0x1001: make}, trouble=trouble)
        assert [outcome(columns, row) for row in range(3)] == [(int, "1"), (str, "'made'"), (2, type(None))]
    assert seen == [(b"\x02", 1, (1).to_bytes(16, "big"))] * 2


def test_numbers_that_are_none_in_json_are_none() -> None:
    for value in (math.nan, math.inf, -math.inf):
        assert columns_of(kernels.EventColumns, [msgpack.packb([value])]).value(0) == [None]
