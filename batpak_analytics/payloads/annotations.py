"""From a class to its shape, or to the reason why it cannot be a payload type.

msgspec resolves annotations, of pydantic's fields too; pydantic itself is only touched where it is loaded already.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from enum import Flag
from typing import Any, Literal, NoReturn

import msgspec
from msgspec import inspect

from batpak_analytics.errors import PayloadDeclarationError
from batpak_analytics.payloads.shapes import (
    Anything,
    Choice,
    Maybe,
    OneOf,
    Row,
    Scalar,
    Sequence,
    Shape,
    Struct,
    Table,
)

Family = Literal["dataclass", "msgspec", "pydantic"]

_SCALARS: dict[type, type] = {
    inspect.BoolType: bool,
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.StrType: str,
}
_BYTES = "bytes, which no JSON reader of 0.9.0 takes. Declare list[int], serde's Vec<u8>, or text (base64)"
_TIME = "a time, which has no form in batpak. Declare int (microseconds, say) or text (ISO 8601)"
_SET = "a set, which has no order to store it in. Declare a list"
_REASONS: dict[type, str] = {
    inspect.BytesType: _BYTES,
    inspect.ByteArrayType: _BYTES,
    inspect.MemoryViewType: _BYTES,
    inspect.DateTimeType: _TIME,
    inspect.DateType: _TIME,
    inspect.TimeType: _TIME,
    inspect.TimeDeltaType: _TIME,
    inspect.SetType: _SET,
    inspect.FrozenSetType: _SET,
    inspect.DecimalType: "a Decimal, which has no form in batpak. Declare int (of the smallest unit) or text",
    inspect.UUIDType: "a UUID, which has no form in batpak. Declare text",
    inspect.NamedTupleType: "a NamedTuple, which would be stored without its names. Declare a dataclass",
    inspect.TypedDictType: "a TypedDict, which has no order of fields. Declare a dataclass",
}


def family_of(cls: type) -> Family:
    """Which library makes instances of `cls`. Raises `PayloadDeclarationError` for a class without named fields."""
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and (
        issubclass(cls, pydantic.BaseModel) or pydantic.dataclasses.is_pydantic_dataclass(cls)
    ):
        return "pydantic"
    if issubclass(cls, msgspec.Struct):
        return "msgspec"
    if dataclasses.is_dataclass(cls):
        return "dataclass"
    raise PayloadDeclarationError(
        f"{cls.__qualname__} has no named fields: it is no dataclass, msgspec.Struct or pydantic model. "
        f"Put @dataclass directly above the class, and the registration above that."
    )


def shape_of(cls: type) -> Struct:
    """The shape of a payload type, with everything that its fields hold.

    Raises `PayloadDeclarationError` for what has no form in batpak, and NameError while an annotation names a class
    that does not exist yet (its own, below a decorator).
    """
    return _Analysis(cls, family_of(cls)).struct_of_class(cls)


class _Analysis:
    """One payload type, and the structs met inside it: each once, so that they may hold each other."""

    def __init__(self, cls: type, family: Family) -> None:
        self.cls, self.family = cls, family
        self.structs: dict[type, Struct] = {}

    def refuse(self, place: str, reason: str) -> NoReturn:
        raise PayloadDeclarationError(f"{self.cls.__qualname__}{place} is {reason}.")

    def struct_of_class(self, cls: type, place: str = "") -> Struct:
        if getattr(cls, "__parameters__", ()):
            self.refuse(place, "generic, and a payload has one shape. Register a class without type parameters")
        if cls in self.structs:
            return self.structs[cls]
        if hasattr(cls, "model_fields"):
            return self.struct(cls, place, _fields_of_model(cls, lambda reason: self.refuse(place, reason)))
        node = _type_info(cls, lambda reason: self.refuse(place, reason))
        return self.struct_of_node(node, place)

    def struct_of_node(self, node: Any, place: str) -> Struct:
        if not isinstance(node.cls, type):  # Box[int]
            self.refuse(place, "generic, and a payload has one shape. Declare a class without type parameters")
        if getattr(node, "array_like", False):
            self.refuse(place, "array_like, and a payload is a map of names. Leave that option out")
        if getattr(node, "tag", None) is not None:
            self.refuse(place, "tagged, and a payload is told by its kind. Leave the tag out")
        return self.struct(node.cls, place, ((one.name, one.encode_name, one.type) for one in node.fields))

    def struct(self, cls: type, place: str, fields: Iterator[tuple[str, str, Any]]) -> Struct:
        if cls not in self.structs:
            found: dict[str, tuple[str, Shape]] = {}
            self.structs[cls] = Struct(cls, found)
            for name, stored, node in fields:
                found[name] = stored, self.shape(node, f"{place}.{name}")
        return self.structs[cls]

    def shape(self, node: Any, place: str) -> Shape:
        """The shape of one annotation."""
        match node:
            case inspect.Metadata():
                return self.shape(node.type, place)
            case inspect.AnyType():
                return Anything()
            case inspect.ListType() | inspect.VarTupleType():
                kind = list if isinstance(node, inspect.ListType) else tuple
                return Sequence(kind, self.shape(node.item_type, f"{place}[]"))
            case inspect.TupleType():
                return Row(tuple(self.shape(one, f"{place}[{at}]") for at, one in enumerate(node.item_types)))
            case inspect.DictType():
                return self.table(node, place)
            case inspect.UnionType():
                return self.union(node, place)
            case inspect.EnumType() | inspect.LiteralType():
                return self.choice(node, place)
            case inspect.DataclassType() | inspect.StructType():
                return self.struct_of_node(node, place)
            case inspect.CustomType() if self.family == "pydantic" and hasattr(node.cls, "model_fields"):
                return self.struct_of_class(node.cls, place)
        if type(node) in _SCALARS:
            return Scalar(_SCALARS[type(node)])
        self.refuse(place, self.reason(node))

    def reason(self, node: Any) -> str:
        if isinstance(node, inspect.CustomType) and hasattr(node.cls, "model_fields"):
            return "a pydantic model inside a class that is none. Make the outer one a pydantic model too"
        name = getattr(getattr(node, "cls", None), "__qualname__", type(node).__name__.removesuffix("Type"))
        return _REASONS.get(type(node), f"a {name}, which has no form in batpak. Declare a type that has one")

    def table(self, node: Any, place: str) -> Shape:
        if not isinstance(node.key_type, inspect.StrType | inspect.AnyType):
            self.refuse(
                place, "a dict whose keys are not text, which no JSON reader of 0.9.0 takes. Declare dict[str, X]"
            )
        return Table(self.shape(node.value_type, f"{place}[]"))

    def union(self, node: Any, place: str) -> Shape:
        others = [one for one in node.types if not isinstance(one, inspect.NoneType)]
        scalars = {_SCALARS.get(type(one)) for one in others}
        if len(others) == 1:
            inner = self.shape(others[0], place)
        elif None not in scalars:
            inner = OneOf(frozenset(one for one in scalars if one is not None))
        else:
            self.refuse(place, "a union of more than None and one type, or of scalars. Declare a dataclass, or Any")
        return inner if len(others) == len(node.types) else Maybe(inner)

    def choice(self, node: Any, place: str) -> Shape:
        cls: Any = node.cls if isinstance(node, inspect.EnumType) else None
        values = frozenset(node.values if cls is None else (one.value for one in cls))
        if cls is not None and issubclass(cls, Flag):
            self.refuse(place, "a Flag, whose combinations have no name. Declare int")
        if {type(one) for one in values} not in ({str}, {int}):
            self.refuse(place, "an Enum or Literal whose values are neither all text nor all int. Give it such values")
        return Choice(cls, values)


def _type_info(cls: Any, refuse: Callable[[str], NoReturn]) -> Any:
    try:
        return inspect.type_info(cls)
    except NameError:
        raise
    except Exception as error:
        refuse(f"not understood ({error}). Declare types that have a form in batpak")


def _fields_of_model(cls: Any, refuse: Callable[[str], NoReturn]) -> Iterator[tuple[str, str, Any]]:
    """Attribute, stored name and annotation of each field of a pydantic model."""
    if not cls.__pydantic_complete__ and cls.model_rebuild(raise_errors=False) is False:
        raise NameError(f"name not defined in the annotations of {cls.__qualname__}")
    if getattr(cls, "__pydantic_root_model__", False):
        refuse("a RootModel, which has no named fields. Register a model with fields")
    decorators = cls.__pydantic_decorators__
    if decorators.field_serializers or decorators.model_serializers:
        refuse("a model with serializers of its own, and fields are stored as declared. Leave the serializers out")
    if cls.model_config.get("extra") == "allow":
        refuse("a model that allows extra fields, and only declared fields are stored. Leave extra='allow' out")
    for name, info in cls.model_fields.items():
        stored = info.serialization_alias or name
        read = info.validation_alias or name
        by_name = cls.model_config.get("populate_by_name") or cls.model_config.get("validate_by_name")
        if info.exclude or (stored != read and not (by_name and stored == name)):
            refuse(f"a model whose field {name} is not read under the name it is written by. Use one plain alias")
        yield name, stored, _type_info(info.annotation, refuse)
