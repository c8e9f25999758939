"""Which class stands for which event kind, in which version, and how older versions become the current one."""

from __future__ import annotations

import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypeVar

from batpak_analytics.errors import (
    BatpakWarning,
    PayloadCollisionError,
    PayloadDeclarationError,
    UpcastChainError,
)
from batpak_analytics.format import layout
from batpak_analytics.model import EventKind
from batpak_analytics.payloads.types import PayloadType
from batpak_analytics.payloads.upcasts import Step, StepFunction, Steps

T = TypeVar("T")
Class = TypeVar("Class", bound=type)
Function = TypeVar("Function", bound=StepFunction)
Validation = Literal["fail", "warn", "silent"]


class PayloadCollision(NamedTuple):
    """Two registered types of one kind, by name."""

    kind: EventKind
    first: str
    second: str


class IncompleteChain(NamedTuple):
    """A type whose versions in `missing` have no step to the next one."""

    kind: EventKind
    name: str
    current_version: int
    missing: tuple[int, ...]


class PayloadRegistry:
    """Payload types and the steps between their versions.

    There is one for the process, which `event_payload` and `upcast` fill and every store uses; make another one for a
    test or a notebook, fill it by its own `event_payload` and `upcast`, and give it to `StoreConfig(payloads=...)`
    and `Event.decode`. Threads may share it.

    A class defined again under the same module and qualified name takes the place of the one before, so a cell of a
    notebook may be run twice, and a module reloaded.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import batpak_analytics as bp
    >>> mine = bp.PayloadRegistry()
    >>> @mine.event_payload(category=0x1, type_id=0x001)
    ... @dataclass
    ... class Paid:
    ...     cents: int
    >>> mine.kind_of(Paid)
    EventKind(0x1001)
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._types: dict[str, PayloadType] = {}
        self._by_class: dict[type, PayloadType] = {}
        self._by_kind: dict[int, list[PayloadType]] = {}
        self._steps: dict[tuple[int, int], Step] = {}

    def event_payload(self, *, category: int, type_id: int, version: int = 1) -> Callable[[Class], Class]:
        """As `event_payload`, for this registry."""
        kind = _checked_kind(category, type_id)
        _check_number("version", version, 1, layout.U16_MAX)

        def register(cls: Class) -> Class:
            if not isinstance(cls, type):
                raise PayloadDeclarationError(f"{cls!r:.60} is no class. Put the registration above a class.")
            made = PayloadType(cls, kind, version)
            try:
                _ = made.shape
            except PayloadDeclarationError as error:
                if not isinstance(error.__cause__, NameError):  # its annotations may name what comes later
                    raise
            self._add(made)
            return cls

        return register

    def _add(self, made: PayloadType) -> None:
        with self._lock:
            old = self._types.get(made.name)
            if old is not None and old.cls is made.cls and (old.kind, old.version) != (made.kind, made.version):
                raise PayloadDeclarationError(
                    f"{made.cls.__qualname__} is registered as kind {old.kind}, version {old.version}, already. "
                    f"Register a class once."
                )
            if old is not None:
                self._by_class.pop(old.cls, None)
            self._types[made.name] = self._by_class[made.cls] = made
            by_kind: dict[int, list[PayloadType]] = defaultdict(list)
            for one in self._types.values():
                by_kind[one.kind].append(one)
            self._by_kind = dict(by_kind)
            if old is not None and old.cls is not made.cls:
                self._let_steps_be_replaced(old.kind)

    def _let_steps_be_replaced(self, kind: EventKind) -> None:
        """The definitions after that of the class will be run again too; until then the old ones hold."""
        for key, step in list(self._steps.items()):
            if key[0] == kind:
                self._steps[key] = replace(step, replaceable=True)
        if not self._of_kind(kind):
            self._steps = {key: step for key, step in self._steps.items() if key[0] != kind}

    def upcast(self, payload: type | int, *, from_version: int) -> Callable[[Function], Function]:
        """As `upcast`, for this registry."""
        _check_number("from_version", from_version, 1, layout.U16_MAX - 1)
        if isinstance(payload, type):
            known = self.type_of(payload)
            kind = known.kind
            if from_version >= known.version:
                raise PayloadDeclarationError(
                    f"{known} needs no step from version {from_version}. Raise its version, or mend from_version."
                )
        else:
            _check_number("The kind", payload, 0, layout.U16_MAX)
            kind = _checked_kind(payload >> 12, payload & 0x0FFF)

        def register(function: Function) -> Function:
            if not callable(function):
                raise PayloadDeclarationError(f"{function!r:.60} is no function. Put the step above one.")
            with self._lock:
                old = self._steps.get((kind, from_version))
                if old is not None and not old.may_give_way_to(function):
                    raise PayloadDeclarationError(
                        f"Kind {kind} has a step from version {from_version} already, {_where(old.function)}; this one "
                        f"is {_where(function)}. Remove one of them, or mend its from_version."
                    )
                self._steps[kind, from_version] = Step.of(function)
            return function

        return register

    def type_of(self, cls: type) -> PayloadType:
        """What `cls` is registered as. Raises `PayloadDeclarationError` if it is not."""
        found = self._by_class.get(cls)
        if found is not None:
            return found
        anew = self._types.get(f"{cls.__module__}.{cls.__qualname__}")
        if anew is not None:
            raise PayloadDeclarationError(
                f"{cls.__qualname__} was defined anew since, and this is the class of before. Make the value again."
            )
        raise PayloadDeclarationError(
            f"{cls.__module__}.{cls.__qualname__} is not registered here. Put @event_payload(...) above it, or give "
            f"the registry that it is in."
        )

    def kind_of(self, cls: type) -> EventKind:
        """The kind that instances of `cls` are stored with, for filters. Raises `PayloadDeclarationError`."""
        return self.type_of(cls).kind

    def knows(self, cls: type) -> bool:
        """Whether `cls` itself is registered."""
        return cls in self._by_class

    def type_for(self, kind: int) -> PayloadType | None:
        """The type of a kind, if one is registered. Raises `PayloadCollisionError` if two are."""
        found = self._of_kind(kind)
        if len(found) > 1:
            raise _collision_error(list(_pairs(found)))
        return found[0] if found else None

    def _of_kind(self, kind: int) -> list[PayloadType]:
        return self._by_kind.get(kind, [])

    @property
    def steps(self) -> Steps:
        """The steps by kind and version."""
        return self._steps

    def collisions(self) -> list[PayloadCollision]:
        """Every pair of types that share a kind, in the order of kinds."""
        return [pair for _, types in sorted(self._by_kind.items()) for pair in _pairs(types)]

    def incomplete_chains(self) -> list[IncompleteChain]:
        """Every kind with versions that no step lifts, in order; of two types that collide the newer version counts."""
        with self._lock:
            newest: dict[EventKind, PayloadType] = {}
            for one in sorted(self._types.values(), key=lambda one: one.version):
                newest[one.kind] = one
            gaps = [(one, self._missing(one)) for _, one in sorted(newest.items())]
        return [IncompleteChain(one.kind, one.name, one.version, missing) for one, missing in gaps if missing]

    def _missing(self, one: PayloadType) -> tuple[int, ...]:
        return tuple(version for version in range(1, one.version) if (one.kind, version) not in self._steps)

    def validate(self, mode: Validation = "fail", *, stacklevel: int = 2) -> None:
        """Check all that is registered, as every `Store.open` does.

        Raises `PayloadCollisionError`, then `UpcastChainError`, then `PayloadDeclarationError` for annotations that
        cannot be resolved; `"warn"` warns of each instead, every time, and `"silent"` does nothing.
        `stacklevel` is that of `warnings.warn`.
        """
        if mode == "silent":
            return
        for error in self._errors():
            if mode == "fail":
                raise error
            warnings.warn(str(error), BatpakWarning, stacklevel=stacklevel)

    def _errors(self) -> Iterator[Exception]:
        collisions, gaps = self.collisions(), self.incomplete_chains()
        if collisions:
            yield _collision_error(collisions)
        if gaps:
            told = "; ".join(
                f"{one.name} (kind {one.kind}) is of version {one.current_version} and lacks the steps from "
                f"{', '.join(map(str, one.missing[:10]))}{', ...' if len(one.missing) > 10 else ''}"
                for one in gaps
            )
            yield UpcastChainError(f"{told}. Register them with @upcast.", faults=gaps)
        with self._lock:
            types = list(self._types.values())
        for one in types:
            try:
                _ = one.shape
            except PayloadDeclarationError as error:
                yield error

    def __repr__(self) -> str:
        return f"PayloadRegistry({len(self._types)} types, {len(self._steps)} steps)"


def _pairs(types: list[PayloadType]) -> Iterator[PayloadCollision]:
    for other in types[1:]:
        yield PayloadCollision(other.kind, types[0].name, other.name)


def _collision_error(collisions: list[PayloadCollision]) -> PayloadCollisionError:
    told = "; ".join(f"kind {one.kind} is both {one.first} and {one.second}" for one in collisions)
    return PayloadCollisionError(f"{told}. Give each its own category and type_id.", faults=collisions)


def _checked_kind(category: int, type_id: int) -> EventKind:
    _check_number("category", category, 1, 15)
    if category == layout.CATEGORY_EFFECT:
        raise PayloadDeclarationError(f"category 0x{category:X} is kept for batpak's effects. Use another one.")
    _check_number("type_id", type_id, 0, 0x0FFF)
    return EventKind(category << 12 | type_id)


def _check_number(name: str, value: int, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise PayloadDeclarationError(f"{name} is {value!r:.40}. Pass an int from {least} to {most}.")


def _where(function: Any) -> str:
    code = getattr(function, "__code__", None)
    name = getattr(function, "__qualname__", repr(function))
    return name if code is None else f"{name} in {code.co_filename}, line {code.co_firstlineno}"
