"""A DataFrame of one payload type: every version in the columns of the current one, or an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batpak_analytics as bp
from batpak_analytics.errors import (
    PayloadDeclarationError,
    PayloadMismatchError,
    PayloadVersionError,
    UnknownColumnError,
    UpcastError,
)

KIND = 0x1001
registry = bp.PayloadRegistry()


@dataclass
class Line:
    sku: str
    qty: int


@registry.event_payload(category=1, type_id=1, version=3)
@dataclass
class Order:
    total: float
    big: int
    note: str | None = None
    lines: list[Line] = field(default_factory=list)
    by: dict[str, int] = field(default_factory=dict)
    unused: int | None = None


@registry.upcast(Order, from_version=1)
def _(value: dict[str, Any]) -> dict[str, Any]:
    return {"total": value["cents"] / 100}


@registry.upcast(Order, from_version=2)
def _big(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "big": 2**64 - 1, "lines": [{"sku": "old", "qty": 1}]}


def filled(path: Path) -> Path:
    with bp.Store.open(path, config=bp.StoreConfig(payloads=registry)) as store:
        store.append("order:1", "shop", KIND, {"cents": 150}, payload_version=1)
        store.append("order:2", "shop", KIND, {"total": 2.5, "extra": 1}, payload_version=2)
        store.append("order:1", "shop", 0x1002, {"total": "another kind"})
        store.append_typed("order:1", "web", Order(3.5, 7, "hi", [Line("new", 2)], {"a": 1}))
        store.append("order:1", "web", KIND, {"total": 4.5, "big": 1, "future": [1]})
    return path


def test_every_version_is_a_row_in_the_columns_of_the_current_one(tmp_path: Path) -> None:
    frame = bp.read_typed(filled(tmp_path), Order, registry=registry)
    fields = [f"payload.{name}" for name in ("total", "big", "note", "lines", "by", "unused")]
    assert list(frame.columns[-6:]) == fields and set(frame["kind"]) == {KIND}
    assert frame["payload.total"].tolist() == [1.5, 2.5, 3.5, 4.5]
    assert frame["payload.big"].tolist() == [2**64 - 1, 2**64 - 1, 7, 1]
    assert frame["payload.note"].isna().tolist() == [True, True, False, True]
    assert frame["payload.lines"].tolist()[:3] == [[{"sku": "old", "qty": 1}]] * 2 + [[{"sku": "new", "qty": 2}]]
    assert frame["payload.unused"].isna().all()
    assert frame.attrs["batpak"]["rows"] == 4


def test_events_of_the_current_version_alone_are_what_read_batpak_shows(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path, config=bp.StoreConfig(payloads=registry)) as store:
        for number in range(20):
            store.append_typed(f"order:{number}", "shop", Order(number / 4, number, "x", unused=number))
    columns = ["global_sequence", "entity", "wall_time"]
    fields = ["payload.total", "payload.big", "payload.note", "payload.unused"]
    typed = bp.read_typed(tmp_path, Order, registry=registry, columns=columns)
    pd.testing.assert_frame_equal(
        typed[columns + fields], bp.read_batpak(tmp_path, columns=columns + fields, kind=KIND)
    )


def test_selection_and_columns_are_those_of_read_batpak(tmp_path: Path) -> None:
    filled(tmp_path)
    with bp.open_reader(tmp_path) as reader:
        frame = bp.read_typed(reader, Order, registry=registry, columns=["payload_version"], entity="order:1", limit=2)
    assert frame["payload_version"].tolist() == [1, 3] and len(frame.columns) == 7
    assert bp.read_typed(tmp_path, Order, registry=registry, columns=[], scope="web")["payload.total"].tolist() == [
        3.5,
        4.5,
    ]
    arrow = bp.read_typed(tmp_path, Order, registry=registry, columns=["entity"], dtype_backend="pyarrow")
    assert isinstance(arrow.dtypes["payload.total"], pd.ArrowDtype)
    unknown: list[dict[str, Any]] = [{"kind": 1}, {"filters": []}, {"payload_schema": {}}]
    for wrong in unknown:
        with pytest.raises(TypeError, match="read_typed"):
            bp.read_typed(tmp_path, Order, registry=registry, **wrong)
    with pytest.raises(ValueError, match="Leave it out"):
        bp.read_typed(tmp_path, Order, registry=registry, columns=["payload.total"])
    with pytest.raises(UnknownColumnError):
        bp.read_typed(tmp_path, Order, registry=registry, columns=["entty"])


def test_no_event_gives_no_row_and_the_types_of_the_class(tmp_path: Path) -> None:
    bp.Store.open(tmp_path).close()
    frame = bp.read_typed(tmp_path, Order, registry=registry)
    assert len(frame) == 0 and frame["payload.total"].dtype == "float64"
    assert str(frame["payload.big"].dtype) in ("int64", "Int64")
    with pytest.raises(PayloadDeclarationError):
        bp.read_typed(tmp_path, Line, registry=registry)


@pytest.mark.parametrize(
    ("version", "value", "error"),
    [
        (4, {"total": 1.0, "big": 1}, PayloadVersionError), (3, {"total": "x", "big": 1}, PayloadMismatchError),
        (0, {"big": 1}, PayloadMismatchError), (1, {"total": 1.0}, UpcastError), (2, {"total": "x"}, UpcastError),
    ],
)  # fmt: skip
def test_event_that_is_no_such_payload_is_an_error_with_its_id(
    tmp_path: Path, version: int, value: Any, error: type[Exception]
) -> None:
    with bp.Store.open(filled(tmp_path), config=bp.StoreConfig(payloads=registry)) as store:
        receipt = store.append("order:9", "shop", KIND, value, payload_version=version)
    with pytest.raises(error, match=receipt.event_id.hex() if error is not UpcastError else "version"):
        bp.read_typed(tmp_path, Order, registry=registry)


def test_encrypted_event_has_a_row_without_a_payload(fixture_stores: Path) -> None:
    seen = 0
    for store in sorted(path.parent for path in fixture_stores.glob("*/keyset.fbatk")):
        events = bp.read_batpak(store, columns=["kind", "disposition"])
        sealed = events["disposition"].isin(["encrypted", "shredded"])
        for kind in set(events.loc[sealed, "kind"]) - set(events.loc[~sealed, "kind"]):
            own = bp.PayloadRegistry()
            own.event_payload(category=int(kind) >> 12, type_id=int(kind) & 0xFFF)(Line)
            frame = bp.read_typed(store, Line, registry=own)
            assert len(frame) == (events["kind"] == kind).sum() and frame["payload.sku"].isna().all()
            seen += len(frame)
    assert seen > 0
