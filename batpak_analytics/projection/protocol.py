"""What a projection is: where it starts, how an event moves it, and which events it wants.

A projection is any object with `initial()` and `apply(state, event)`. `fold_of` brings it to one form, `Fold`, which
everything that folds events works with.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar, overload, runtime_checkable

from batpak_analytics.errors import ProjectionDeclarationError, ProjectionError
from batpak_analytics.format.layout import U16_MAX, U64_MAX

S = TypeVar("S")
Apply = Callable[[S, Any], S]


@runtime_checkable
class Projection(Protocol[S]):
    """How a state follows from events.

    Any object with these two methods is one. It may have these attributes too:

    - `kinds`: the kinds it wants, as ints, `category(n)`, or classes registered with `event_payload`. Of a class,
      `event.payload` is an instance, lifted by the registered upcasts; of an int, plain JSON. None (the default) or
      nothing at all for all kinds.
    - `entity`: the one entity it is about, matched exactly. None for all.
    - `version`: an int that changes with what `apply` does, so that caches keep states apart. 0 if absent.
    - `reads`: the payload fields that it looks at. Then `event.payload` has only these in a replay, which is faster
      where payloads have many others. None for all.
    - `registry`: the `PayloadRegistry` of the classes in `kinds`; that of the process if absent.

    `apply` gets the state and an event with the attributes of `Event`, and returns the new state: another object, or
    the same one, changed. It must depend on nothing else: not on time, chance or what it saw before.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> class Balance:
    ...     kinds = {0x1001, 0x1002}
    ...     def initial(self):
    ...         return {"total": 0}
    ...     def apply(self, state, event):
    ...         state["total"] += event.payload["cents"]
    ...         return state
    >>> isinstance(Balance(), bp.Projection)
    True
    """

    def initial(self) -> S:
        """The state before any event; a new object each time if it can be changed."""
        ...

    def apply(self, state: S, event: Any) -> S:
        """The state after `event`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Fold(Generic[S]):
    """A projection in the one form that is worked with.

    `kinds` is None for all. A state may be None where the first one is, `may_be_none`; elsewhere None is what an
    `apply` gives that changed the state and forgot to return it. `types`
    has the registered class of each kind that was given as a class. `name` is that of the class or function, with its
    module.
    """

    initial: Callable[[], S]
    apply: Apply[S]
    kinds: frozenset[int] | None
    entity: str | None
    version: int
    types: Mapping[int, type]
    registry: Any
    name: str
    projection: Any
    may_be_none: bool
    reads: tuple[str, ...] | None = None

    def step(self, state: S, event: Any) -> S:
        """The state after one event; raises what `apply` does, and `ProjectionError` where it gave None."""
        new = self.apply(state, event)
        if new is None and not self.may_be_none:
            raise returned_none(self)
        return new


def returned_none(fold: Fold[Any]) -> ProjectionError:
    """The error for an `apply` that changed the state and forgot to return it."""
    return ProjectionError(
        f"apply of {fold.name} returned None. Return the new state, also where it is the same object, changed."
    )


@dataclass(frozen=True, slots=True, eq=False)
class FunctionProjection(Generic[S]):
    """A projection made of a function; `fold` makes it. It can still be called as the function."""

    function: Apply[S]
    start: Any
    kinds: Any = None
    entity: str | None = None
    version: int = 0
    registry: Any = None
    reads: Any = None

    def initial(self) -> S:
        """What was given as `initial=`: called if it can be, copied if not."""
        value: S = self.start() if callable(self.start) else copy.deepcopy(self.start)
        return value

    def apply(self, state: S, event: Any) -> S:
        """What the function gives."""
        return self.function(state, event)

    def __call__(self, state: S, event: Any) -> S:
        """As the function."""
        return self.function(state, event)

    def __repr__(self) -> str:
        return f"fold({name_of(self.function)})"


@overload
def fold(
    apply: Apply[S], *, initial: Any, kinds: Any = None, entity: str | None = None, version: int = 0,
    registry: Any = None, reads: Any = None,
) -> FunctionProjection[S]: ...  # fmt: skip


@overload
def fold(
    apply: None = None, *, initial: Any, kinds: Any = None, entity: str | None = None, version: int = 0,
    registry: Any = None, reads: Any = None,
) -> Callable[[Apply[S]], FunctionProjection[S]]: ...  # fmt: skip


def fold(
    apply: Apply[S] | None = None, *, initial: Any, kinds: Any = None, entity: str | None = None, version: int = 0,
    registry: Any = None, reads: Any = None,
) -> Any:  # fmt: skip
    """A projection from a function of state and event, which returns the new state; also as a decorator.

    `initial` is the first state, copied for each fold, or a function that makes it (`dict`, a dataclass). The rest is
    as `Projection` describes it. Raises `ProjectionDeclarationError`.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> seen = bp.fold(lambda n, event: n + 1, initial=0)
    >>> seen.initial()
    0
    >>> @bp.fold(initial=dict, kinds={0xF001})
    ... def last_seen(state, event):
    ...     state[event.entity] = event.global_sequence
    ...     return state
    >>> last_seen.initial()
    {}
    """
    if apply is None:
        return lambda function: fold(
            function, initial=initial, kinds=kinds, entity=entity, version=version, registry=registry, reads=reads
        )
    if not callable(apply):
        raise ProjectionDeclarationError(f"{apply!r:.60} cannot be called. Give a function of (state, event).")
    made = FunctionProjection(apply, initial, kinds, entity, version, registry, reads)
    fold_of(made)
    return made


def fold_of(given: Any, *, registry: Any = None) -> Fold[Any]:
    """`given` as a `Fold`; raises `ProjectionDeclarationError` for what is no projection.

    `registry` is for classes in `kinds` where the projection names none.
    """
    if isinstance(given, type):
        raise ProjectionDeclarationError(
            f"{given.__qualname__} is a class. Give an instance of it: {given.__name__}()."
        )
    if not callable(getattr(given, "initial", None)) or not callable(getattr(given, "apply", None)):
        hint = " For a function, use bp.fold(function, initial=...)." if callable(given) else ""
        raise ProjectionDeclarationError(
            f"{given!r:.60} is no projection: it needs the methods initial() and apply(state, event).{hint}"
        )
    entity, version = getattr(given, "entity", None), getattr(given, "version", 0)
    if entity is not None and not isinstance(entity, str):
        raise ProjectionDeclarationError(f"entity is {entity!r:.60}. Give one entity as a str, or None for all.")
    if isinstance(version, bool) or not isinstance(version, int) or not 0 <= version <= U64_MAX:
        raise ProjectionDeclarationError(f"version is {version!r:.60}. Give an int from 0 to 2**64 - 1.")
    chosen = getattr(given, "registry", None) or registry
    kinds, types, chosen = kinds_of(getattr(given, "kinds", None), chosen)
    # A function's own, without a call between.
    apply = given.function if isinstance(given, FunctionProjection) else given.apply
    name = name_of(apply if isinstance(given, FunctionProjection) else type(given))
    return Fold(
        given.initial, apply, kinds, entity, version, types, chosen, name, given, given.initial() is None, _reads(given)
    )


def name_of(thing: Any) -> str:
    """Module and qualified name of a class or function."""
    name = getattr(thing, "__qualname__", None)
    return f"{thing.__module__}.{name}" if name else f"{type(thing).__module__}.{type(thing).__qualname__}"


def kinds_of(given: Any, registry: Any) -> tuple[frozenset[int] | None, Mapping[int, type], Any]:
    """The kinds, the class of each that was given as one, and the registry of those."""
    if given is None:
        return None, MappingProxyType({}), registry
    single = isinstance(given, (int, type)) or hasattr(given, "kinds")
    if not single and (isinstance(given, (str, bytes)) or not isinstance(given, Iterable)):
        raise ProjectionDeclarationError(f"kinds is {given!r:.60}. Give kinds as ints or registered classes.")
    kinds: set[int] = set()
    types: dict[int, type] = {}
    for item in (given,) if single else given:
        if isinstance(item, type):
            registry = registry or _default_registry()
            kind = int(registry.kind_of(item))
            types[kind] = item
            kinds.add(kind)
        elif hasattr(item, "kinds"):
            kinds.update(item.kinds())
        else:
            kinds.add(_checked_kind(item))
    return frozenset(kinds) or None, MappingProxyType(types), registry


def _reads(given: Any) -> tuple[str, ...] | None:
    """The top-level payload fields that a projection says it looks at."""
    fields = getattr(given, "reads", None)
    if fields is None:
        return None
    names = (fields,) if isinstance(fields, str) else tuple(fields) if isinstance(fields, Iterable) else (fields,)
    if not all(isinstance(name, str) for name in names):
        raise ProjectionDeclarationError(f"reads is {fields!r:.60}. Give the names of payload fields, or None for all.")
    return tuple(dict.fromkeys(names))


def _default_registry() -> Any:
    from batpak_analytics.payloads.default import default_registry

    return default_registry


def _checked_kind(item: Any) -> int:
    try:
        kind = item.__index__()
    except AttributeError:
        kind = None
    if kind is None or isinstance(item, bool) or not 0 <= kind <= U16_MAX:
        raise ProjectionDeclarationError(
            f"kinds holds {item!r:.60}. Give ints from 0 to {U16_MAX}, category(n), or classes registered with "
            f"event_payload."
        )
    return int(kind)
