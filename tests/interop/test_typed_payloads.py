"""Typed payloads of this engine and of the reference: the same bytes, versions and upcasts, in both directions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.errors import PayloadVersionError
from tests.interop.oracle import Oracle

ORDER, WIDE = 0x10C1, 0x20C2
registry, old = bp.PayloadRegistry(), bp.PayloadRegistry()


@old.event_payload(category=1, type_id=0x0C1, version=1)
@dataclass
class OrderV1:
    note: str | None
    cents: int


@registry.event_payload(category=1, type_id=0x0C1, version=3)
@dataclass
class Order:
    total: float
    currency: str
    note: str | None


@registry.upcast(Order, from_version=1)
def _to_total(value: dict[str, Any]) -> dict[str, Any]:
    return {"total": value["cents"] / 100, "note": value["note"]}


@registry.upcast(Order, from_version=2)
def _to_currency(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "currency": "EUR"}


@dataclass
class Inner:
    x: float
    tags: list[str]


class Status(Enum):
    OPEN = "Open"
    PAID = "Paid"


@registry.event_payload(category=2, type_id=0x0C2)
@dataclass
class Wide:
    zeta: bool
    signed: int
    unsigned: int
    ratio: float
    name: str
    maybe: str | None
    amount: float | None
    levels: list[float]
    counts: dict[str, int]
    inner: Inner
    inners: list[Inner]
    nested: Inner | None
    status: Status
    pair: tuple[int, str]
    blob: list[int]
    any: Any
    alpha: list[bool | None]


class Stored(NamedTuple):
    event_id: bytes
    kind: int
    version: int
    payload: bytes


def stored(path: Path) -> list[Stored]:
    columns = ["event_id", "kind", "payload_version", "payload"]
    table = bp.scan_batpak(path, kind=[ORDER, WIDE], columns=columns, payload="binary").to_arrow()
    return [Stored(*row.values()) for row in table.to_pylist()]


def copied(oracle: Oracle, source: Path, target: Path) -> list[dict[str, Any]]:
    """What the reference says of each typed event while it decodes and appends them."""
    return [json.loads(line) for line in oracle.run("typed", "copy", source, target).splitlines()]


@pytest.mark.parametrize("seed", range(4))
def test_every_version_decodes_and_lifts_to_what_the_reference_makes_of_it(
    oracle: Oracle, tmp_path: Path, seed: int
) -> None:
    oracle.run("typed", "write", tmp_path / "theirs", "--seed", seed, "--events", 150)
    assert all(one["error"] is None for one in copied(oracle, tmp_path / "theirs", tmp_path / "copy"))
    theirs, copies = stored(tmp_path / "theirs"), stored(tmp_path / "copy")
    assert len(theirs) == len(copies) == 150
    assert {(one.kind, one.version) for one in theirs} == {(ORDER, 0), (ORDER, 1), (ORDER, 2), (ORDER, 3), (WIDE, 1)}
    reader = bp.open_reader(tmp_path / "theirs")
    with bp.Store.open(tmp_path / "ours", config=bp.StoreConfig(payloads=registry)) as store:
        for one in theirs:
            value = bp.decode_any(reader.get(one.event_id), registry)
            assert type(value) in (Order, Wide)
            store.append_typed("order:1", "shop", value)
    assert [one[1:] for one in stored(tmp_path / "ours")] == [one[1:] for one in copies]


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
i64, u64 = st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, (1 << 64) - 1)
floats = st.floats(allow_nan=False)
inner = st.builds(Inner, floats, st.lists(text, max_size=3))
json_values = st.recursive(
    st.none() | st.booleans() | i64 | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda items: st.lists(items, max_size=3) | st.dictionaries(text, items, max_size=3),
    max_leaves=8,
)
wides = st.builds(
    Wide,
    zeta=st.booleans(), signed=i64, unsigned=u64, ratio=floats, name=text, maybe=st.none() | text,
    amount=st.none() | floats, levels=st.lists(floats, max_size=20), counts=st.dictionaries(text, i64, max_size=4),
    inner=inner, inners=st.lists(inner, max_size=3), nested=st.none() | inner, status=st.sampled_from(Status),
    pair=st.tuples(i64, text), blob=st.lists(st.integers(0, 255), max_size=20), any=json_values,
    alpha=st.lists(st.none() | st.booleans(), max_size=3),
)  # fmt: skip
orders = st.builds(Order, floats, text, st.none() | text)


@given(st.lists(wides | orders, min_size=40, max_size=60))
@settings(max_examples=5, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_reference_decodes_typed_events_from_here_and_writes_the_same_bytes(
    oracle: Oracle, tmp_path_factory: pytest.TempPathFactory, values: list[Any]
) -> None:
    path = tmp_path_factory.mktemp("typed")
    with bp.Store.open(path / "ours", config=bp.StoreConfig(payloads=registry)) as store:
        for value in values[::2]:
            store.append_typed("order:1", "shop", value)
        store.append_batch([bp.BatchItem.typed("order:1", "shop", value) for value in values[1::2]])
    assert all(one["error"] is None for one in copied(oracle, path / "ours", path / "copy"))
    assert [one[1:] for one in stored(path / "copy")] == [one[1:] for one in stored(path / "ours")]


def test_old_version_written_in_a_batch_and_in_a_fence_is_lifted_by_both(oracle: Oracle, tmp_path: Path) -> None:
    with bp.Store.open(tmp_path / "ours", config=bp.StoreConfig(payloads=old)) as store:
        store.append_batch([bp.BatchItem.typed("order:1", "shop", OrderV1(None, 1250))])
        with store.begin_fence() as fence:
            fence.submit_typed("order:1", "shop", OrderV1("x", 1))
            fence.submit_batch([bp.BatchItem.typed("order:1", "shop", OrderV1("y", -7))])
    assert all(one["error"] is None for one in copied(oracle, tmp_path / "ours", tmp_path / "copy"))
    reader = bp.open_reader(tmp_path / "ours")
    ours = [reader.get(one.event_id).decode(Order, registry) for one in stored(tmp_path / "ours")]
    assert ours == [Order(12.5, "EUR", None), Order(0.01, "EUR", "x"), Order(-0.07, "EUR", "y")]
    theirs = bp.open_reader(tmp_path / "copy")
    assert [theirs.get(one.event_id).decode(Order, registry) for one in stored(tmp_path / "copy")] == ours
    assert {one.version for one in stored(tmp_path / "copy")} == {3}


def test_newer_version_is_refused_by_both(oracle: Oracle, tmp_path: Path) -> None:
    with bp.Store.open(tmp_path / "ours") as store:
        receipt = store.append("order:1", "shop", ORDER, {"total": 1.0}, payload_version=4)
    (said,) = copied(oracle, tmp_path / "ours", tmp_path / "copy")
    assert "future payload version" in said["error"]
    with pytest.raises(PayloadVersionError, match="version 4"):
        bp.open_reader(tmp_path / "ours").get(receipt.event_id).decode(Order, registry)
