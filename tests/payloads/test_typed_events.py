"""Typed events: what is stored, what comes back, what is lifted, and what is refused before it is stored for ever."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgpack
import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.errors import (
    AppendRefusedError,
    PayloadCollisionError,
    PayloadDeclarationError,
    PayloadEncryptedError,
    PayloadKindError,
    PayloadMismatchError,
    PayloadVersionError,
    UpcastError,
)
from batpak_analytics.model import Event, PayloadEncryption
from tests.engine.building import make_event


class Status(Enum):
    OPEN = "Open"
    PAID = "Paid"


class Level(IntEnum):
    LOW = 1
    HIGH = 300


class Colour(StrEnum):
    RED = "red"


@dataclass
class Line:
    sku: str
    price: float


@dataclass(frozen=True)
class Order:
    total: float
    items: list[str]
    count: int = 0
    paid: bool = False
    note: str | None = None
    lines: tuple[Line, ...] = ()
    best: Line | None = None
    status: Status = Status.OPEN
    level: Level = Level.LOW
    colour: Colour = Colour.RED
    size: Literal["S", "M"] = "M"
    pair: tuple[int, str] = (0, "")
    by_sku: dict[str, Line] = field(default_factory=dict)
    any: Any = None
    loose: int | str | None = None


class StructLine(msgspec.Struct):
    sku: str
    price: float


class StructOrder(msgspec.Struct, rename="camel", frozen=True):
    total: float
    line_items: list[StructLine]
    note: str | None = None
    by_sku: dict[str, StructLine] = {}
    any: Any = None


class ModelLine(pydantic.BaseModel):
    sku: str
    price: float


class ModelOrder(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    total: float
    line_items: list[ModelLine] = pydantic.Field(alias="lineItems")
    plain: Line | None = None
    note: str | None = None
    by_sku: dict[str, ModelLine] = {}
    status: Status = Status.OPEN
    count: pydantic.PositiveInt = 1


@pydantic.dataclasses.dataclass
class CheckedOrder:
    total: float
    lines: list[ModelLine]


@dataclass
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list)


registry = bp.PayloadRegistry()
for _number, _cls in enumerate((Order, StructOrder, ModelOrder, CheckedOrder, Tree)):
    registry.event_payload(category=1, type_id=_number, version=1)(_cls)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[bp.Store]:
    with bp.Store.open(tmp_path, config=bp.StoreConfig(payloads=registry)) as opened:
        yield opened


def stored(value: Any) -> bytes:
    return registry.type_of(type(value)).encode(value)


def event(value: Any, *, kind: int = 0x1000, version: int = 1, **changes: Any) -> Event:
    """An event as a frame holds it; bytes are the payload itself."""
    payload = value if isinstance(value, bytes) else msgpack.packb(value)
    made = make_event(1)
    return dataclasses.replace(made, kind=bp.EventKind(kind), payload_version=version, payload=payload, **changes)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
integers = st.integers(-(1 << 63), (1 << 64) - 1)
floats = st.floats(allow_nan=False)
scalars = st.none() | st.booleans() | integers | floats | text
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))
lines = st.builds(Line, text, floats)
struct_lines = st.builds(StructLine, text, floats)
model_lines = st.builds(ModelLine, sku=text, price=floats)
orders = st.builds(
    Order,
    total=floats, items=st.lists(text, max_size=4), count=integers, paid=st.booleans(), note=st.none() | text,
    lines=st.lists(lines, max_size=3).map(tuple), best=st.none() | lines, status=st.sampled_from(Status),
    level=st.sampled_from(Level), colour=st.just(Colour.RED), size=st.sampled_from(["S", "M"]),
    pair=st.tuples(integers, text), by_sku=st.dictionaries(text, lines, max_size=3), any=anything,
    loose=st.none() | integers | text,
)  # fmt: skip
structs = st.builds(
    StructOrder, floats, st.lists(struct_lines, max_size=3), st.none() | text,
    st.dictionaries(text, struct_lines, max_size=3), anything,
)  # fmt: skip
models = st.builds(
    ModelOrder, total=floats, lineItems=st.lists(model_lines, max_size=3), plain=st.none() | lines,
    note=st.none() | text, by_sku=st.dictionaries(text, model_lines, max_size=3), status=st.sampled_from(Status),
    count=st.integers(1, 1 << 63),
)  # fmt: skip
checked = st.builds(CheckedOrder, floats, st.lists(model_lines, max_size=3))
trees = st.recursive(st.builds(Tree, text), lambda inner: st.builds(Tree, text, st.lists(inner, max_size=3)))


@given(orders | structs | models | checked | trees)
@settings(max_examples=300, deadline=None)
def test_instance_comes_back_equal_and_encodes_to_the_same_bytes(value: Any) -> None:
    packed = stored(value)
    found = registry.type_of(type(value))
    for read in (event(packed, kind=found.kind), event(packed, kind=found.kind, version=0)):
        again = read.decode(type(value), registry)
        assert again == value and type(again) is type(value)
        assert bp.decode_any(read, registry) == value
        assert stored(again) == packed


def test_fields_are_stored_in_their_order_and_as_their_types_say() -> None:
    three: Any = np.int64(3)
    value = Order(12, ["tea"], three, lines=(Line("a", 1),), by_sku={"é": Line("b", 2), "z": Line("c", 3)},
                  status=Status.PAID, level=Level.HIGH, any={"b": 1, "a": 2})  # fmt: skip
    assert stored(value) == msgpack.packb(
        {
            "total": 12.0, "items": ["tea"], "count": 3, "paid": False, "note": None,
            "lines": [{"sku": "a", "price": 1.0}], "best": None, "status": "Paid", "level": 300, "colour": "red",
            "size": "M", "pair": [0, ""], "by_sku": {"z": {"sku": "c", "price": 3.0}, "é": {"sku": "b", "price": 2.0}},
            "any": {"a": 2, "b": 1}, "loose": None,
        }
    )  # fmt: skip
    assert stored(StructOrder(1, [])).startswith(msgpack.packb({"total": 1.0, "lineItems": []})[1:3], 1)
    assert list(msgpack.unpackb(stored(ModelOrder(total=1, lineItems=[])))) == [
        "total", "lineItems", "plain", "note", "by_sku", "status", "count",
    ]  # fmt: skip


def test_scalars_of_numpy_and_subclasses_of_text_are_stored_as_what_is_declared() -> None:
    class Name(str):
        pass

    given: Any = (np.float64(0.1), [Name("a")], np.uint64(2**64 - 1))
    assert stored(Order(*given)) == stored(Order(0.1, ["a"], 2**64 - 1))
    level: Any = Level.HIGH
    assert stored(Order(1.0, [], level)) == stored(Order(1.0, [], 300))


def test_nan_and_infinities_come_back(store: bp.Store, tmp_path: Path) -> None:
    receipt = store.append_typed("e", "s", Order(math.nan, []))
    read = bp.open_reader(tmp_path).get(receipt.event_id)
    assert read.payload["total"] is None  # as batpak's own JSON reading has it
    assert math.isnan(read.decode(Order, registry).total)


def test_event_carries_kind_and_version_of_its_type_however_it_is_appended(store: bp.Store, tmp_path: Path) -> None:
    value = StructOrder(1.5, [])
    receipts = [
        store.append_typed("e", "s", value, flags=1, idempotency_key=7),
        store.append("e", "s", None, value),
        store.append("e", "s", 0x1001, value),
        *store.append_batch([bp.BatchItem.typed("e", "s", value, lane=2), bp.BatchItem("e", "s", 0x1001, value)]),
    ]
    with store.begin_fence() as fence:
        receipts.append(fence.submit_typed("e", "s", value))
        receipts += fence.submit_batch([bp.BatchItem.typed("e", "s", value)])
    store.sync()
    reader = bp.open_reader(tmp_path)
    for receipt in receipts:
        read = reader.get(receipt.event_id)
        assert (read.kind, read.payload_version, read.decode(StructOrder, registry)) == (0x1001, 1, value)
    assert reader.get(receipts[0].event_id).flags == 1


@pytest.mark.parametrize(
    "options", [{"kind": 0x1000}, {"kind": 0x1001, "payload_version": 2}, {"kind": None, "payload_version": 9}]
)
def test_instance_under_another_kind_or_version_is_refused(store: bp.Store, options: dict[str, Any]) -> None:
    before = store.last_sequence
    with pytest.raises(AppendRefusedError, match="version 1"):
        store.append("e", "s", payload=StructOrder(1.5, []), **options)
    assert store.last_sequence == before


NUMBER: Any = 1  # where text is declared


@dataclass
class Unknown:
    a: int


@pytest.mark.parametrize("value", [Unknown(1), {"a": 1}, None, 3])
def test_value_of_no_registered_class_is_refused_without_a_kind(store: bp.Store, value: Any) -> None:
    with pytest.raises(PayloadDeclarationError, match="not registered"):
        store.append_typed("e", "s", value)
    with pytest.raises(TypeError, match="raw is given without a kind"):
        store.append("e", "s", None, raw=b"\xc0")


def test_subclass_of_a_registered_class_is_not_taken_for_it(store: bp.Store) -> None:
    class More(Line):
        pass

    class MoreOrder(Order):
        pass

    with pytest.raises(PayloadDeclarationError):
        store.append_typed("e", "s", MoreOrder(1.0, []))
    with pytest.raises(AppendRefusedError, match=r"Order\.best .* declared as a Line"):
        store.append_typed("e", "s", Order(1.0, [], best=More("a", 1.0)))


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"total": "12"}, "Order.total"), ({"total": None}, "Order.total"), ({"total": True}, "Order.total"),
        ({"total": (1 << 53) + 1}, "Order.total"), ({"total": 1 << 2000}, "Order.total"),
        ({"items": ("a",)}, "Order.items"), ({"items": ["a", 1]}, r"Order.items\[1\]"),
        ({"items": "ab"}, "Order.items"),
        ({"items": ["\ud800"]}, "Unicode"), ({"count": 1.0}, "Order.count"), ({"count": True}, "Order.count"),
        ({"count": 1 << 64}, "Order.count"), ({"count": np.True_}, "Order.count"), ({"paid": 1}, "Order.paid"),
        ({"note": b"x"}, "Order.note"), ({"note": Colour.RED}, "Order.note"),
        ({"lines": [Line("a", 1)]}, "Order.lines"),
        ({"best": {"sku": "a", "price": 1.0}}, "Order.best"), ({"best": Line(NUMBER, 1.0)}, "Order.best.sku"),
        ({"status": "Open"}, "Order.status"), ({"status": Level.LOW}, "Order.status"), ({"size": "L"}, "Order.size"),
        ({"pair": (1,)}, "Order.pair"), ({"pair": [1, "a"]}, "Order.pair"), ({"pair": (1, 2)}, r"Order.pair\[1\]"),
        ({"by_sku": {1: Line("a", 1)}}, "key 1"), ({"by_sku": {"a": 1}}, "Order.by_sku.a"), ({"by_sku": []}, "by_sku"),
        ({"any": {"b": b"x"}}, "Order.any.b"), ({"any": Status.OPEN}, "Order.any"), ({"loose": 1.5}, "Order.loose"),
        ({"loose": True}, "Order.loose"), ({"loose": 1 << 64}, "Order.loose"),
    ],
)  # fmt: skip
def test_value_that_its_class_would_not_read_back_is_not_stored(
    store: bp.Store, changes: dict[str, Any], place: str
) -> None:
    before = store.last_sequence
    with pytest.raises(AppendRefusedError, match=place):
        store.append_typed("e", "s", dataclasses.replace(Order(1.0, []), **changes))
    assert store.last_sequence == before


def test_constraint_that_only_reading_checks_is_checked_before_storing(store: bp.Store) -> None:
    @dataclass
    class Few:
        count: Annotated[int, msgspec.Meta(le=3)]

    own = bp.PayloadRegistry()
    own.event_payload(category=1, type_id=1)(Few)
    assert own.type_of(Few).encode(Few(3))
    with pytest.raises(AppendRefusedError, match="would not be read back"):
        own.type_of(Few).encode(Few(4))
    with pytest.raises(AppendRefusedError, match="would not be read back"):
        store.append_typed("e", "s", ModelOrder.model_construct(total=1.0, line_items=[], count=-1))


def test_tree_too_deep_for_batpak_is_refused() -> None:
    tree = Tree("leaf")
    for _ in range(127):
        tree = Tree("node", [tree])
    assert event(stored(tree), kind=0x1004).decode(Tree, registry) == tree
    with pytest.raises(AppendRefusedError, match="deep"):
        stored(Tree("node", [tree]))


def test_event_of_another_kind_is_no_error_for_route_alone() -> None:
    read = event({"total": 1.0, "items": []}, kind=0x1ABC)
    assert read.route(Order, registry) is None and bp.decode_any(read, registry) is None
    with pytest.raises(PayloadKindError, match="0x1ABC") as caught:
        read.decode(Order, registry)
    assert (caught.value.kind, caught.value.expected) == (0x1ABC, 0x1000)
    with pytest.raises(PayloadDeclarationError):
        read.route(Unknown, registry)


def versions(version: int) -> bp.PayloadRegistry:
    """`Line` in a version that had an integer price in cents first, then a name for its sku."""
    made = bp.PayloadRegistry()
    made.event_payload(category=1, type_id=0, version=version)(Line)
    return made


def lifting() -> bp.PayloadRegistry:
    made = versions(3)

    @made.upcast(Line, from_version=1)
    def _(value: dict[str, Any]) -> dict[str, Any]:
        value["price"] = value.pop("cents") / 100
        return value

    @made.upcast(Line, from_version=2)
    def _renamed(value: dict[str, Any]) -> dict[str, Any]:
        return {"sku": value["name"], "price": value["price"]}

    made.validate()
    return made


@pytest.mark.parametrize(
    ("version", "value"),
    [
        (1, {"name": "a", "cents": 150}), (2, {"name": "a", "price": 1.5}), (3, {"sku": "a", "price": 1.5}),
        (0, {"sku": "a", "price": 1.5}),
    ],
)  # fmt: skip
def test_every_version_becomes_the_current_one(version: int, value: dict[str, Any]) -> None:
    read = event(value, version=version)
    assert read.decode(Line, lifting()) == read.route(Line, lifting()) == Line("a", 1.5)
    decoded = dataclasses.replace(read, payload=dict(value))
    assert decoded.decode(Line, lifting()) == Line("a", 1.5)
    assert decoded.payload == value  # a step that changes what it is given changes no event


def test_newer_version_is_never_read_as_if_it_were_known() -> None:
    with pytest.raises(PayloadVersionError, match="version 4") as caught:
        event({"sku": "a", "price": 1.5}, version=4).decode(Line, lifting())
    assert (caught.value.kind, caught.value.stored_version, caught.value.current_version) == (0x1000, 4, 3)


def test_missing_step_names_itself() -> None:
    with pytest.raises(UpcastError, match="from version 1") as caught:
        event({"name": "a", "cents": 1}, version=1).decode(Line, versions(3))
    assert (caught.value.kind, caught.value.from_version, caught.value.current_version) == (0x1000, 1, 3)


def test_failing_step_names_itself_and_its_cause() -> None:
    with pytest.raises(UpcastError, match="from version 2 failed: KeyError") as caught:
        event({"no": "name", "price": 1.5}, version=2).decode(Line, lifting())
    assert caught.value.from_version == 2 and isinstance(caught.value.__cause__, KeyError)


def test_step_that_forgets_to_return_is_told() -> None:
    made = versions(2)
    made.upcast(Line, from_version=1)(lambda value: value.clear())
    with pytest.raises(UpcastError, match="returned None"):
        event({"name": "a"}, version=1).decode(Line, made)


def test_lifted_value_that_does_not_fit_is_told() -> None:
    made = versions(2)
    made.upcast(Line, from_version=1)(lambda value: value)
    with pytest.raises(UpcastError, match="lifted from version 1 to 2") as caught:
        event({"name": "a"}, version=1).decode(Line, made)
    assert isinstance(caught.value.__cause__, msgspec.ValidationError)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_bytes_behind_the_value_are_refused_in_every_version(version: int) -> None:
    good = msgpack.packb({"name": "a", "sku": "a", "price": 1.5, "cents": 150})
    assert event(good, version=version).decode(Line, lifting()) == Line("a", 1.5)
    wanted = PayloadMismatchError if version in (0, 3) else UpcastError
    for packed in (good + b"\x00", good[:-1], b"", b"\xc1"):
        with pytest.raises(wanted):
            event(packed, version=version).decode(Line, lifting())


@pytest.mark.parametrize(
    "value", [None, [], {"sku": "a"}, {"sku": 1, "price": 1.0}, {"sku": "a", "price": "1"}, b"\x91" * 5000 + b"\xc0"]
)
def test_payload_that_does_not_fit_is_refused_with_the_event(value: Any) -> None:
    read = event(value, version=3)
    with pytest.raises(PayloadMismatchError, match=read.event_id.hex()):
        read.decode(Line, lifting())
    with pytest.raises(PayloadMismatchError):
        event(value, kind=0x1003).decode(CheckedOrder, registry)


def test_fields_that_are_missing_or_unknown_follow_the_rules_of_the_class() -> None:
    assert event({"items": [], "total": 1, "new": 7}).decode(Order, registry) == Order(1.0, [])


def test_encrypted_event_is_not_taken_for_a_payload() -> None:
    key = PayloadEncryption(b"k", bytes(24))
    sealed = event(b"\x82", payload_encryption=key)
    with pytest.raises(PayloadEncryptedError):
        sealed.decode(Order, registry)
    assert event(b"\x82", kind=0x1ABC, payload_encryption=key).route(Order, registry) is None


def test_kind_of_two_types_is_decoded_by_naming_one() -> None:
    made = lifting()
    made.event_payload(category=1, type_id=0)(Unknown)
    read = event({"sku": "a", "price": 1.5}, version=3)
    assert read.decode(Line, made) == Line("a", 1.5)
    with pytest.raises(PayloadCollisionError):
        bp.decode_any(read, made)


def test_registry_of_the_process_serves_stores_that_name_none(tmp_path: Path) -> None:
    @bp.event_payload(category=0x6, type_id=0x123, version=2)
    @dataclass
    class Sent:
        parcel: int

    @bp.upcast(Sent, from_version=1)
    def _(value: dict[str, Any]) -> dict[str, Any]:
        return {"parcel": value["number"]}

    with bp.Store.open(tmp_path) as store:
        new = store.append_typed("e", "s", Sent(1))
        old = store.append("e", "s", 0x6123, {"number": 2}, payload_version=1)
    with bp.open_reader(tmp_path) as reader:
        assert [reader.get(one.event_id).decode(Sent) for one in (new, old)] == [Sent(1), Sent(2)]
        assert bp.decode_any(reader.get(old.event_id)) == Sent(2)
