"""What the annotations of a payload type say: a tree of shapes, each of which gives a value its plain form.

The plain form is what serde makes of the same struct in Rust: a map in the order of the fields, nested structs as
maps, None as nil, a float as eight bytes even where an int was assigned, text keys ascending.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from batpak_analytics.errors import AppendRefusedError
from batpak_analytics.payloads.plain import check_depth, checked_int, plain, sorted_keys

_NAMES = {bool: "bool", int: "int", float: "float", str: "str", type(None): "None"}


class Shape(Protocol):
    """What one annotation allows."""

    def plain(self, value: Any, place: str, depth: int) -> Any:
        """The plain form of `value`; raises `AppendRefusedError`, naming `place`, for one of another shape."""


def _refused(place: str, value: Any, wanted: str) -> AppendRefusedError:
    return AppendRefusedError(
        f"{place} is {value!r:.60}, a {type(value).__name__}, and declared as {wanted}. Convert it, or declare another."
    )


@dataclass(frozen=True, slots=True)
class Anything:
    """`Any`: what `encode_payload` takes, as serde_json's `Value`."""

    def plain(self, value: Any, place: str, depth: int) -> Any:
        """As `encode_payload` has it."""
        return plain(value, place, depth)


@dataclass(frozen=True, slots=True)
class Scalar:
    """bool, int, float or str; int takes numpy's integers too, and float takes an int that it can hold."""

    type: type

    def plain(self, value: Any, place: str, depth: int) -> Any:
        """The value as exactly this type."""
        wanted, given = self.type, type(value)
        if given is wanted:
            return checked_int(value, place) if wanted is int else value
        if isinstance(value, bool):
            raise _refused(place, value, _NAMES[wanted])
        if wanted is int and hasattr(value, "__index__"):
            return checked_int(operator.index(value), place)
        if wanted is float and isinstance(value, float):
            return float(value)
        if wanted is float and hasattr(value, "__index__"):
            return _exact(operator.index(value), place)
        if wanted is str and isinstance(value, str) and not isinstance(value, Enum):
            return str(value)
        raise _refused(place, value, _NAMES[wanted])


def _exact(value: int, place: str) -> float:
    if abs(value) <= 1 << 53 or (abs(value) < 1 << 1023 and int(float(value)) == value):
        return float(value)
    raise AppendRefusedError(f"{place} is {value}, which no float holds exactly. Declare it as int.")


@dataclass(frozen=True, slots=True)
class OneOf:
    """A union of scalars: what is stored is the value itself, as serde's untagged enum."""

    types: frozenset[type]

    def plain(self, value: Any, place: str, depth: int) -> Any:
        """The value, if it is of exactly one of these types."""
        if type(value) not in self.types:
            raise _refused(place, value, " or ".join(sorted(_NAMES[one] for one in self.types)))
        return checked_int(value, place) if type(value) is int else value


@dataclass(frozen=True, slots=True)
class Maybe:
    """`X | None`: serde's Option."""

    inner: Shape

    def plain(self, value: Any, place: str, depth: int) -> Any:
        """None, or what the inner shape gives."""
        return None if value is None else self.inner.plain(value, place, depth)


@dataclass(frozen=True, slots=True)
class Choice:
    """An Enum, stored by value, or a Literal: text as serde's unit variants, or ints as serde_repr's."""

    type: type | None
    values: frozenset[str | int]

    def plain(self, value: Any, place: str, depth: int) -> Any:
        """The stored value."""
        if self.type is not None and isinstance(value, self.type):
            value = value.value  # type: ignore[attr-defined]
        elif self.type is not None or type(value) not in (int, str) or value not in self.values:
            wanted = f"one of {sorted(self.values, key=str)}" if self.type is None else f"a {self.type.__qualname__}"
            raise _refused(place, value, wanted)
        return checked_int(value, place) if type(value) is int else value


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list, or a tuple of any length: serde's Vec."""

    type: type
    item: Shape

    def plain(self, value: Any, place: str, depth: int) -> Any:
        """A list of the items' plain forms."""
        if not isinstance(value, self.type):
            raise _refused(place, value, f"a {self.type.__name__}")
        check_depth(place, depth)
        items: Any = value
        shape, below = self.item, depth + 1
        return [shape.plain(item, f"{place}[{index}]", below) for index, item in enumerate(items)]


@dataclass(frozen=True, slots=True)
class Row:
    """A tuple of known length: serde's tuple, an array."""

    items: tuple[Shape, ...]

    def plain(self, value: Any, place: str, depth: int) -> Any:
        """A list of the items' plain forms."""
        if not isinstance(value, tuple) or len(value) != len(self.items):
            raise _refused(place, value, f"a tuple of {len(self.items)}")
        check_depth(place, depth)
        pairs = enumerate(zip(self.items, value, strict=True))
        return [shape.plain(item, f"{place}[{index}]", depth + 1) for index, (shape, item) in pairs]


@dataclass(frozen=True, slots=True)
class Table:
    """A dict with text keys, stored in ascending order: serde's BTreeMap<String, _>."""

    value: Shape

    def plain(self, value: Any, place: str, depth: int) -> Any:
        """A dict of the values' plain forms."""
        if not isinstance(value, dict):
            raise _refused(place, value, "a dict")
        check_depth(place, depth)
        shape, below = self.value, depth + 1
        return {key: shape.plain(value[key], f"{place}.{key}", below) for key in sorted_keys(value, place)}


@dataclass(slots=True, eq=False)
class Struct:
    """A dataclass, msgspec Struct or pydantic model: attributes in order, each with its stored name and shape."""

    type: type
    fields: Mapping[str, tuple[str, Shape]]

    def plain(self, value: Any, place: str, depth: int) -> Any:
        """A dict of the fields' plain forms, in their order."""
        if type(value) is not self.type:
            raise _refused(place, value, f"a {self.type.__qualname__}")
        check_depth(place, depth)
        below = depth + 1
        return {
            stored: shape.plain(getattr(value, name), f"{place}.{name}", below)
            for name, (stored, shape) in self.fields.items()
        }

    def __repr__(self) -> str:
        # Its fields may hold it: a tree has children of its own type.
        return f"Struct({self.type.__qualname__})"
