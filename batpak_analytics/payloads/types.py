"""One registered payload type: its kind and version, its bytes, and its instances back from them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import msgspec

from batpak_analytics.errors import AppendRefusedError, PayloadDeclarationError
from batpak_analytics.model import EventKind
from batpak_analytics.payloads.annotations import Family, family_of, shape_of
from batpak_analytics.payloads.plain import pack
from batpak_analytics.payloads.shapes import Struct


class PayloadType:
    """A class and the kind and version that its instances are stored with."""

    def __init__(self, cls: type, kind: EventKind, version: int) -> None:
        self.cls, self.kind, self.version = cls, kind, version
        self.family: Family = family_of(cls)

    @property
    def name(self) -> str:
        """Module and qualified name: a class defined anew under it takes the place of the one before."""
        return f"{self.cls.__module__}.{self.cls.__qualname__}"

    @cached_property
    def shape(self) -> Struct:
        """What the annotations say. Raises `PayloadDeclarationError`."""
        try:
            return shape_of(self.cls)
        except NameError as error:
            raise PayloadDeclarationError(
                f"An annotation of {self.cls.__qualname__} cannot be resolved ({error}). "
                f"Define the class that it names at the top level of {self.cls.__module__}."
            ) from error

    def encode(self, value: Any) -> bytes:
        """The payload bytes of an instance; raises `AppendRefusedError` for what its own type could not read back."""
        packed = pack(self.shape.plain(value, self.cls.__qualname__, 0))
        try:
            self.from_bytes(packed)
        except Exception as error:
            raise AppendRefusedError(
                f"This {self.cls.__qualname__} would not be read back: {error}. Give it values that its type allows."
            ) from error
        return packed

    @cached_property
    def from_bytes(self) -> Callable[[bytes], Any]:
        """Exactly one MessagePack value to an instance; raises whatever the library does."""
        if self.family == "pydantic":
            read, build = msgspec.msgpack.Decoder().decode, self.from_value
            return lambda packed: build(read(packed))
        return msgspec.msgpack.Decoder(self.cls).decode

    @cached_property
    def from_value(self) -> Callable[[Any], Any]:
        """A decoded value to an instance; raises whatever the library does."""
        if self.family == "pydantic":
            validate: Callable[[Any], Any] = sys.modules["pydantic"].TypeAdapter(self.cls).validate_python
            return validate
        return partial(msgspec.convert, type=self.cls)

    def __repr__(self) -> str:
        return f"{self.cls.__qualname__} (kind {self.kind}, version {self.version})"
