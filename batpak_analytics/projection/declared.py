"""What a projection says of itself beyond `Fold`, for those who keep, bound or report its states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from batpak_analytics.errors import ProjectionDeclarationError, ProjectionStateError
from batpak_analytics.format.sidecars import projection_cache
from batpak_analytics.projection.protocol import Fold

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
                f"Give it one that stays the same as long as `version` does: id = 'shop.balance'."
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
