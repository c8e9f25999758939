"""What may be registered, what is refused at once, and what a store refuses to be opened with."""

from __future__ import annotations

import decimal
import importlib
import pickle
import subprocess
import sys
import uuid
import warnings
from collections import namedtuple
from collections.abc import Callable
from dataclasses import InitVar, dataclass, make_dataclass
from datetime import datetime
from enum import Enum, IntFlag
from pathlib import Path
from typing import Any, Generic, Literal, TypedDict, TypeVar

import msgspec
import pydantic
import pytest

import batpak_analytics as bp
from batpak_analytics.errors import (
    BatpakWarning,
    PayloadCollisionError,
    PayloadDeclarationError,
    PayloadRegistryError,
    UpcastChainError,
)
from batpak_analytics.payloads.registry import IncompleteChain, PayloadCollision

T = TypeVar("T")


@dataclass
class Plain:
    total: int


@dataclass
class Other:
    a: int


@pytest.fixture
def registry() -> bp.PayloadRegistry:
    return bp.PayloadRegistry()


@pytest.mark.parametrize(
    "numbers",
    [
        (0, 1, 1), (0xD, 1, 1), (16, 1, 1), (-1, 1, 1), (True, 1, 1), ("1", 1, 1), (1.0, 1, 1),
        (1, -1, 1), (1, 0x1000, 1), (1, None, 1), (1, 1, 0), (1, 1, 65_536), (1, 1, -1), (1, 1, True),
    ],
)  # fmt: skip
def test_number_out_of_range_is_refused_where_the_decorator_stands(
    registry: bp.PayloadRegistry, numbers: tuple[Any, Any, Any]
) -> None:
    category, type_id, version = numbers
    with pytest.raises(PayloadDeclarationError):
        registry.event_payload(category=category, type_id=type_id, version=version)
    with pytest.raises(PayloadDeclarationError):
        bp.event_payload(category=category, type_id=type_id, version=version)


@pytest.mark.parametrize("numbers", [(1, 0, 1), (15, 0xFFF, 65_535), (0xC, 7, 2), (0xE, 7, 2)])
def test_numbers_at_the_edges_are_taken(registry: bp.PayloadRegistry, numbers: tuple[int, int, int]) -> None:
    category, type_id, version = numbers
    assert registry.event_payload(category=category, type_id=type_id, version=version)(Plain) is Plain
    assert registry.kind_of(Plain) == category << 12 | type_id


class NoFields:
    total: int


@dataclass
class Box(Generic[T]):
    inner: T


class Boxed(msgspec.Struct, Generic[T]):
    inner: T


class Array(msgspec.Struct, array_like=True):
    a: int


class Tagged(msgspec.Struct, tag=True):
    a: int


class Root(pydantic.RootModel[int]):
    pass


class Extra(pydantic.BaseModel, extra="allow"):
    a: int


class Serializing(pydantic.BaseModel):
    a: int

    @pydantic.field_serializer("a")
    def _written(self, a: int) -> str:
        return str(a)


class TwoNames(pydantic.BaseModel):
    a: int = pydantic.Field(serialization_alias="b")


@dataclass
class WithInit:
    a: int
    extra: InitVar[int]


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (NoFields, "no named fields"), (int, "no named fields"), (namedtuple("Pair", "a b"), "no named fields"),
        (Box, "generic"), (Boxed, "generic"), (Array, "array_like"), (Tagged, "tagged"), (Root, "RootModel"),
        (Extra, "extra"), (Serializing, "serializers"), (TwoNames, "field a"), (WithInit, "InitVar"),
    ],
)  # fmt: skip
def test_class_that_is_no_map_of_its_fields_is_refused(registry: bp.PayloadRegistry, cls: type, reason: str) -> None:
    with pytest.raises(PayloadDeclarationError, match=reason):
        registry.event_payload(category=1, type_id=1)(cls)
    assert not registry.knows(cls)


def test_decorators_in_the_wrong_order_are_told(registry: bp.PayloadRegistry) -> None:
    with pytest.raises(PayloadDeclarationError, match="Put @dataclass directly above the class"):

        @dataclass
        @registry.event_payload(category=1, type_id=1)
        class Upside:
            a: int


class Typed(TypedDict):
    a: int


class Mixed(Enum):
    A = "a"
    B = 1


class Bits(IntFlag):
    A = 1
    B = 2


class Model(pydantic.BaseModel):
    a: int


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (bytes, "bytes"), (bytearray, "bytes"), (datetime, "time"), (decimal.Decimal, "Decimal"), (uuid.UUID, "UUID"),
        (set[int], "set"), (frozenset[str], "set"), (Typed, "TypedDict"), (dict[int, str], "keys"), (object(), "not"),
        (int | list[int], "union"), (list[int] | dict[str, int] | None, "union"), (Box[int], "generic"),
        (complex, "complex"), (Mixed, "either"), (Bits, "Flag"),
        (Literal["a", 1], "neither|not understood"), (Model, "pydantic"),
        (NoFields, "NoFields"), (list[bytes], r"\[\] is bytes"), (dict[str, set[int]], "set"), (Array, "array_like"),
    ],
)  # fmt: skip
def test_field_without_a_form_in_batpak_is_refused_with_the_reason(
    registry: bp.PayloadRegistry, annotation: Any, reason: str
) -> None:
    for cls in (
        make_dataclass("Made", [("fine", int), ("field", annotation)]),
        make_dataclass("Made", [("deep", list[make_dataclass("In", [("field", annotation)])])]),  # type: ignore[misc]
    ):
        with pytest.raises(PayloadDeclarationError, match=reason):
            registry.event_payload(category=1, type_id=1)(cls)


def test_field_of_a_model_is_refused_as_well(registry: bp.PayloadRegistry) -> None:
    class When(pydantic.BaseModel):
        at: datetime

    with pytest.raises(PayloadDeclarationError, match=r"When\.at is a time"):
        registry.event_payload(category=1, type_id=1)(When)


class Forward(pydantic.BaseModel):
    inner: DefinedLater | None = None


class DefinedLater(pydantic.BaseModel):
    a: int


def test_model_that_names_a_later_class_is_taken_once_that_exists(registry: bp.PayloadRegistry, tmp_path: Path) -> None:
    registry.event_payload(category=1, type_id=1)(Forward)

    @registry.event_payload(category=1, type_id=2)
    class Never(pydantic.BaseModel):
        inner: Nowhere  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(PayloadDeclarationError, match="Never"):
        opened(tmp_path / "store", registry)
    value = Forward(inner=DefinedLater(a=1))
    assert registry.type_of(Forward).from_bytes(registry.type_of(Forward).encode(value)) == value


def test_what_is_no_class_is_refused(registry: bp.PayloadRegistry) -> None:
    with pytest.raises(PayloadDeclarationError, match="no class"):
        registry.event_payload(category=1, type_id=1)(Plain(1))  # type: ignore[type-var]


def test_class_is_registered_once_and_again_only_as_the_same(registry: bp.PayloadRegistry) -> None:
    register = registry.event_payload(category=1, type_id=1)
    assert register(register(Plain)) is Plain
    with pytest.raises(PayloadDeclarationError, match="already"):
        registry.event_payload(category=1, type_id=2)(Plain)
    assert registry.kind_of(Plain) == 0x1001


def test_name_that_is_never_defined_is_told_at_open(registry: bp.PayloadRegistry, tmp_path: Path) -> None:
    @registry.event_payload(category=1, type_id=1)
    @dataclass
    class Early:
        later: Later  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(PayloadDeclarationError, match="Later"):
        bp.Store.open(tmp_path / "store", config=bp.StoreConfig(payloads=registry))


def opened(path: Path, registry: bp.PayloadRegistry, **options: Any) -> None:
    bp.Store.open(path, config=bp.StoreConfig(payloads=registry, **options)).close()


def collide(registry: bp.PayloadRegistry) -> None:
    registry.event_payload(category=1, type_id=1)(Plain)
    registry.event_payload(category=1, type_id=1, version=3)(Other)
    registry.upcast(0x1001, from_version=1)(lambda value: value)


def test_two_types_of_one_kind_are_refused_before_the_directory_is_made(
    registry: bp.PayloadRegistry, tmp_path: Path
) -> None:
    collide(registry)
    with pytest.raises(PayloadCollisionError, match="0x1001") as caught:
        opened(tmp_path / "store", registry)
    assert caught.value.faults == (PayloadCollision(bp.EventKind(0x1001), f"{__name__}.Plain", f"{__name__}.Other"),)
    assert not (tmp_path / "store").exists()
    with pytest.raises(PayloadCollisionError):
        registry.type_for(0x1001)


def test_gap_in_a_chain_is_refused_with_every_version_that_lacks_a_step(
    registry: bp.PayloadRegistry, tmp_path: Path
) -> None:
    registry.event_payload(category=1, type_id=1, version=5)(Plain)
    registry.upcast(Plain, from_version=2)(lambda value: value)
    with pytest.raises(UpcastChainError, match="1, 3, 4") as caught:
        opened(tmp_path / "store", registry)
    assert caught.value.faults == (IncompleteChain(bp.EventKind(0x1001), f"{__name__}.Plain", 5, (1, 3, 4)),)
    assert not (tmp_path / "store").exists()


def test_registry_is_looked_at_again_at_every_open(registry: bp.PayloadRegistry, tmp_path: Path) -> None:
    opened(tmp_path, registry)
    registry.event_payload(category=1, type_id=1, version=2)(Plain)
    for _ in range(2):
        with pytest.raises(UpcastChainError):
            opened(tmp_path, registry)
    registry.upcast(Plain, from_version=1)(lambda value: value)
    opened(tmp_path, registry)


def test_validation_warns_every_time_or_not_at_all(registry: bp.PayloadRegistry, tmp_path: Path) -> None:
    collide(registry)
    for _ in range(2):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            opened(tmp_path, registry, payload_validation="warn")
        assert [one.category for one in told] == [BatpakWarning] * 2  # the collision, and the step from version 2
        assert all(one.filename == __file__ for one in told)
    opened(tmp_path, registry, payload_validation="silent")
    with pytest.raises(ValueError, match="payload_validation"):
        bp.StoreConfig(payload_validation="loud")  # type: ignore[arg-type]


def test_types_of_another_registry_are_no_concern(registry: bp.PayloadRegistry, tmp_path: Path) -> None:
    collide(bp.PayloadRegistry())
    opened(tmp_path, registry)


@pytest.mark.parametrize("version", [0, -1, 65_535, "1", True])
def test_step_from_an_impossible_version_is_refused(registry: bp.PayloadRegistry, version: Any) -> None:
    with pytest.raises(PayloadDeclarationError, match="from_version"):
        registry.upcast(0x1001, from_version=version)


@pytest.mark.parametrize("payload", [Plain, 0x0001, 0xD001, 0x10000, "Plain", None])
def test_step_for_what_is_no_registered_type_or_kind_is_refused(registry: bp.PayloadRegistry, payload: Any) -> None:
    with pytest.raises(PayloadDeclarationError):
        registry.upcast(payload, from_version=1)


def test_step_that_no_version_needs_is_refused(registry: bp.PayloadRegistry) -> None:
    registry.event_payload(category=1, type_id=1, version=2)(Plain)
    with pytest.raises(PayloadDeclarationError, match="needs no step"):
        registry.upcast(Plain, from_version=2)
    with pytest.raises(PayloadDeclarationError, match="no function"):
        registry.upcast(Plain, from_version=1)(7)  # type: ignore[type-var]


def test_second_step_from_one_version_is_refused_where_it_stands(registry: bp.PayloadRegistry) -> None:
    registry.event_payload(category=1, type_id=1, version=3)(Plain)

    @registry.upcast(Plain, from_version=1)
    def _(value: Any) -> Any:
        return value

    with pytest.raises(PayloadDeclarationError, match="a step from version 1 already"):

        @registry.upcast(Plain, from_version=1)  # copied, and its from_version forgotten
        def _(value: Any) -> Any:
            return value


class Notebook:
    """Cells, run as a notebook runs them: each text of a cell has a file name of its own."""

    def __init__(self, registry: bp.PayloadRegistry) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__", "registry": registry, "dataclass": dataclass}

    def run(self, cell: str) -> None:
        exec(compile(cell, f"<cell {hash(cell)}>", "exec", dont_inherit=True), self.names)

    def __getitem__(self, name: str) -> Any:
        return self.names[name]


CELL = """
@registry.event_payload(category=1, type_id={type_id}, version={version})
@dataclass
class Order:
    total: {annotation}
"""
STEP = """
@registry.upcast(Order, from_version=1)
def _(value):
    return {{"total": {what}}}
"""


def cell(type_id: int = 1, version: int = 2, annotation: str = "int") -> str:
    return CELL.format(type_id=type_id, version=version, annotation=annotation)


def test_cell_that_is_run_again_takes_the_place_of_the_one_before(registry: bp.PayloadRegistry, tmp_path: Path) -> None:
    notebook = Notebook(registry)
    notebook.run(cell())
    first = notebook["Order"]
    notebook.run(STEP.format(what=1))
    for again in (cell(), STEP.format(what=1), STEP.format(what=2), cell(annotation="float"), STEP.format(what=2)):
        notebook.run(again)
        opened(tmp_path, registry)
    assert len(registry.collisions()) == 0 and notebook["Order"] is not first
    with (
        bp.Store.open(tmp_path, config=bp.StoreConfig(payloads=registry)) as store,
        pytest.raises(PayloadDeclarationError, match="defined anew"),
    ):
        store.append_typed("e", "s", first(1))


def test_cell_that_gives_a_class_another_kind_leaves_nothing_of_the_old_one(registry: bp.PayloadRegistry) -> None:
    notebook = Notebook(registry)
    notebook.run(cell(type_id=1))
    notebook.run(STEP.format(what=1))
    notebook.run(cell(type_id=2, version=1))
    registry.validate()
    assert registry.type_for(0x1001) is None and registry.kind_of(notebook["Order"]) == 0x1002
    assert not registry.steps


def test_two_steps_in_one_cell_are_no_repetition(registry: bp.PayloadRegistry) -> None:
    notebook = Notebook(registry)
    notebook.run(cell(version=3))
    with pytest.raises(PayloadDeclarationError, match="already"):
        notebook.run(STEP.format(what=1) + STEP.format(what=2))


def test_module_that_is_loaded_again_brings_its_steps_again(
    registry: bp.PayloadRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.event_payload(category=1, type_id=1, version=3)(Plain)
    monkeypatch.setattr(bp, "steps_of_test", registry, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    head = "import batpak_analytics as bp\nregister = bp.steps_of_test.upcast\n"
    step = "@register(0x1001, from_version=1)\ndef _(value):\n    return {what}\n"
    (tmp_path / "steps_of_test.py").write_text(head + step.format(what=1))
    loaded = importlib.import_module("steps_of_test")
    (tmp_path / "steps_of_test.py").write_text(head + "# one line further down\n" * 30 + step.format(what="value + 22"))
    importlib.reload(loaded)
    assert registry.steps[0x1001, 1].function(20) == 42
    (tmp_path / "steps_of_test.py").write_text(head + step.format(what=333) + step.format(what=4444))
    with pytest.raises(PayloadDeclarationError, match="already"):
        importlib.reload(loaded)
    monkeypatch.delitem(sys.modules, "steps_of_test")


def test_kind_of_a_step_may_be_an_event_kind(registry: bp.PayloadRegistry) -> None:
    registry.event_payload(category=1, type_id=1, version=2)(Plain)
    registry.upcast(registry.kind_of(Plain), from_version=1)(lambda value: value)
    registry.validate()


@pytest.mark.parametrize("make", [lambda: print, lambda: __import__("functools").partial(print)])
def test_other_callables_are_told_apart_by_identity(registry: bp.PayloadRegistry, make: Callable[[], Any]) -> None:
    one = make()
    registry.upcast(0x1001, from_version=1)(one)
    registry.upcast(0x1001, from_version=1)(one)
    with pytest.raises(PayloadDeclarationError, match="already"):
        registry.upcast(0x1001, from_version=1)(len)


def test_faults_of_a_registry_travel_between_processes(registry: bp.PayloadRegistry) -> None:
    collide(registry)
    with pytest.raises(PayloadRegistryError) as caught:
        registry.validate()
    assert pickle.loads(pickle.dumps(caught.value)).faults == caught.value.faults


def test_dataclass_needs_no_pydantic_and_a_partly_loaded_one_is_no_reason_to_fail() -> None:
    code = (
        "import sys, dataclasses, batpak_analytics as bp\n"
        "@bp.event_payload(category=1, type_id=1)\n@dataclasses.dataclass\nclass A:\n    a: int\n"
        "bp.event_payload(category=1, type_id=2)\n"
        "assert not {'pydantic', 'pandas', 'pyarrow'} & set(sys.modules), sorted(sys.modules)\n"
        "import pydantic\n"
        "@bp.event_payload(category=1, type_id=2)\nclass B(pydantic.BaseModel):\n    a: A\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
