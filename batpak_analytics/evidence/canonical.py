"""The canonical bytes of the reference's evidence reports, and the hash that names a report (spec engine-read 12.1).

A report's *body* is a frozen dataclass whose fields stand in the reference's order. The same facts give the same bytes
in both engines, so two reports agree exactly when their hashes do; a body never holds the time at which it was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Generic, TypeVar

from blake3 import blake3

from batpak_analytics.format import codec

B = TypeVar("B")
C = TypeVar("C", bound="Case")


class Id(bytes):
    """An event id in a body: 16 big-endian bytes, which are packed as ``bin``. Other bytes become an array."""

    __slots__ = ()

    def __repr__(self) -> str:
        return self.hex()


@dataclass(frozen=True)
class Case:
    """One case of a Rust enum, named as its class. Without fields it is that name, otherwise a map of one entry."""


@dataclass(frozen=True)
class Value(Case):
    """A case that wraps one value, as ``Known(3)``: the value stands in the map itself, without a field's name."""

    value: Any


@dataclass(frozen=True)
class Known(Value):
    """A fact that was found out."""


@dataclass(frozen=True)
class Unavailable(Case):
    """A fact that could not be found out, and why."""

    reason: str


def canonical(value: Any) -> bytes:
    """The canonical MessagePack of a body or of a part of one.

    Raises ``TypeError`` for a value that no body may hold (a float, a dict, any other object).
    """
    if value is None:
        return codec.NIL
    if isinstance(value, bool):
        return codec.pack_bool(value)
    if isinstance(value, int):
        return codec.pack_int(value)
    if isinstance(value, str):
        return codec.pack_str(value)
    if isinstance(value, Id):
        return codec.pack_bin16(value)
    if isinstance(value, bytes):
        return codec.pack_int_array(value)
    if isinstance(value, (tuple, list)):
        return codec.pack_array([canonical(one) for one in value])
    if isinstance(value, Case):
        return _case(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _struct(value)
    raise TypeError(
        f"A report's body cannot hold {value!r}. Use dataclasses, tuples, text, integers, booleans, bytes and None."
    )


def _struct(value: Any) -> bytes:
    return codec.pack_map([(field.name, canonical(getattr(value, field.name))) for field in fields(value)])


def _case(value: Case) -> bytes:
    name = type(value).__name__
    if isinstance(value, Value):
        return codec.pack_map([(name, canonical(value.value))])
    if not fields(value):
        return codec.pack_str(name)
    return codec.pack_map([(name, _struct(value))])


def digest(value: Any) -> bytes:
    """BLAKE3 of the canonical bytes: a body's hash, and the id of a report from its fingerprint."""
    return blake3(canonical(value)).digest()


def fingerprint(body: Any, names: Iterable[str]) -> bytes:
    """The id of a report: the digest of those fields of its body that `names` lists, in that order."""
    return blake3(codec.pack_map([(name, canonical(getattr(body, name))) for name in names])).digest()


def in_order(findings: Iterable[C], cases: Sequence[type[C]]) -> tuple[C, ...]:
    """Findings as a body holds them: by the order in which `cases` declares them, then by their fields."""
    return tuple(sorted(findings, key=lambda one: (cases.index(type(one)), _fields_of(one))))


def _fields_of(case: Case) -> list[Any]:
    values = (getattr(case, field.name) for field in fields(case))
    return [value if isinstance(value, (int, str, bytes)) else canonical(value) for value in values]


@dataclass(frozen=True)
class Evidence(Generic[B]):
    """A body with the hash that stands for it; `diagnostics` are words for people, which the hash leaves out."""

    body: B
    diagnostics: tuple[str, ...] = ()

    @property
    def body_bytes(self) -> bytes:
        """The canonical bytes of the body."""
        return canonical(self.body)

    @property
    def body_hash(self) -> str:
        """BLAKE3 of `body_bytes`, in hexadecimal."""
        return digest(self.body).hex()
