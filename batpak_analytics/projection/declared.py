"""What a projection says of itself beyond `Fold`, for those who keep, bound or report its states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from batpak_analytics.errors import ProjectionDeclarationError, ProjectionStateError
from batpak_analytics.format.sidecars import projection_cache
from batpak_analytics.projection.protocol import Fold, fold_of

Hook = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Declared:
    """A fold with its `id`, its state contract, and how its states become plain JSON and come back."""

    fold: Fold[Any]
    id: str | None
    incremental: bool
    max_cardinality: int | None
    cardinality: Hook | None
    dump: Hook | None
    load: Hook | None

    @property
    def name(self) -> str:
        """What reports call it: its id, or where it is defined."""
        return self.id or self.fold.name

    def key(self, entity: str) -> bytes:
        """Under which its state for this entity is kept; raises `ProjectionDeclarationError` without an id."""
        if self.id is None:
            raise ProjectionDeclarationError(
                f"{self.fold.name} has no id, so a kept state could be taken for that of another projection. "
                f"Give it one: bp.declare(projection, 'shop.balance'), or an attribute `id`."
            )
        kinds = b"".join(kind.to_bytes(2, "little") for kind in sorted(self.fold.kinds or ()))
        return projection_cache.key(entity, _short(self.id.encode()), self.fold.version, _short(kinds))

    def check(self, state: Any) -> None:
        """Raise `ProjectionStateError` for a state that is larger than declared, or of unknown size; None is empty."""
        if self.max_cardinality is None or state is None:
            return
        try:
            size = int((self.cardinality or len)(state))
        except TypeError as error:
            raise ProjectionStateError(
                f"{self.name} declares max_cardinality={self.max_cardinality}, and the size of its "
                f"{type(state).__name__} is not known. Give the projection a method cardinality(state).",
                expected=self.max_cardinality,
            ) from error
        if size > self.max_cardinality:
            raise ProjectionStateError(
                f"The state of {self.name} holds {size} entries, and it declares max_cardinality="
                f"{self.max_cardinality}. Raise the bound, or keep less in the state.",
                expected=self.max_cardinality,
                actual=size,
            )


@dataclass(frozen=True, slots=True, eq=False)
class Declaration:
    """A projection with what `declare` was told; everything else is that of the projection."""

    projection: Any
    id: str
    incremental: bool
    max_cardinality: int | None
    cardinality: Hook | None
    dump: Hook | None
    load: Hook | None

    def initial(self) -> Any:
        """As the projection's."""
        return self.projection.initial()

    def apply(self, state: Any, event: Any) -> Any:
        """As the projection's."""
        return self.projection.apply(state, event)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.projection, name)


def declare(
    projection: Any,
    id: str,
    *,
    incremental: bool = False,
    max_cardinality: int | None = None,
    cardinality: Hook | None = None,
    dump: Hook | None = None,
    load: Hook | None = None,
) -> Declaration:
    """The same projection, under a name of its own, so that its states can be kept in a cache.

    Parameters
    ----------
    projection
        Any that `project` takes.
    id
        The name, for caches and reports. It means these events and this `apply` for ever: raise `version` when either
        changes.
    incremental
        Let what is new be applied to a kept state. `apply` must depend on state and event alone.
    max_cardinality, cardinality
        The most entries that a state may hold, and what counts them (`len`, where it is not given).
    dump, load
        What makes plain JSON of a state, and the state of that again; for states that are not plain JSON themselves.

    A class may have all of these as attributes and methods instead. Raises `ProjectionDeclarationError`.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> count = bp.declare(bp.Count(), "shop.count", incremental=True)
    >>> cache = bp.MemoryCache()
    >>> reader = bp.open_reader(bp.demo_store())
    >>> [reader.project(count, "player:alice", cache=cache) for _ in range(2)]
    [3, 3]
    """
    if isinstance(projection, Declaration):
        raise ProjectionDeclarationError(f"{projection.id} is declared already. Declare what it was made of.")
    made = Declaration(projection, id, incremental, max_cardinality, cardinality, dump, load)
    fold_of(projection)
    declared(fold_of(made))
    return made


def declared(fold: Fold[Any]) -> Declared:
    """What the projection of a fold says of itself. Raises `ProjectionDeclarationError` for what cannot be meant."""
    given = fold.projection
    name, bound = getattr(given, "id", None), getattr(given, "max_cardinality", None)
    if name is not None and (not isinstance(name, str) or not name):
        raise ProjectionDeclarationError(f"id is {name!r:.60}. Give a text that names this projection and no other.")
    if bound is not None and (isinstance(bound, bool) or not isinstance(bound, int) or bound < 0):
        raise ProjectionDeclarationError(f"max_cardinality is {bound!r:.60}. Give an int from 0 on.")
    hooks = {hook: getattr(given, hook, None) for hook in ("cardinality", "dump", "load")}
    for hook, function in hooks.items():
        if function is not None and not callable(function):
            raise ProjectionDeclarationError(f"{hook} is {function!r:.60}. Make it a method of (state).")
    if (hooks["dump"] is None) != (hooks["load"] is None):
        raise ProjectionDeclarationError("dump and load go together: one gives what the other takes. Give both.")
    return Declared(fold, name, bool(getattr(given, "incremental", False)), bound, **hooks)


def _short(data: bytes) -> bytes:
    return blake3(data).digest(length=8)
