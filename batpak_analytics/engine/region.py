"""`Region`: which events a query is about, by the rules of the reference's regions (engine-read 3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from batpak_analytics.format.layout import CATEGORY_MAX, U16_MAX, U32_MAX


@dataclass(frozen=True, slots=True)
class Region:
    """The events that meet every part that is given; without parts, all of them, the store's own included.

    Parameters
    ----------
    entity
        A namespace: the entity itself, and those that begin with it and a colon. ``"user"`` is ``user`` and ``user:1``,
        not ``users``.
    scope
        Exactly this scope.
    kind, category
        One event kind, or the top four bits of it; one of the two at most.
    clock
        ``(first, last)``, both included, of the clock of the event's (entity, lane): no time, no sequence.
    lane
        Exactly this lane.

    Raises `ValueError` or `TypeError` for a part that no event can have.

    >>> import batpak_analytics as bp
    >>> reader = bp.open_reader(bp.demo_store())
    >>> len(reader.query(bp.Region(entity="player", clock=(1, 9))))
    1
    """

    entity: str | None = None
    scope: str | None = None
    kind: int | None = None
    category: int | None = None
    clock: tuple[int, int] | None = None
    lane: int | None = None

    def __post_init__(self) -> None:
        for name in ("entity", "scope"):
            text = getattr(self, name)
            if text is not None and not isinstance(text, str):
                raise TypeError(f"{name}={text!r}: give a str.")
        for name, top in (("kind", U16_MAX), ("category", CATEGORY_MAX), ("lane", U32_MAX)):
            if getattr(self, name) is not None:
                _check_integer(getattr(self, name), name, top)
        if self.kind is not None and self.category is not None:
            raise ValueError("kind= and category= both restrict the kind. Give one of them.")
        if self.clock is not None:
            _check_clock(self.clock)


def _check_integer(value: object, name: str, top: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r}: give an int from 0 to {top}.")
    if not 0 <= value <= top:
        raise ValueError(f"{name}={value!r} is out of range. Give an int from 0 to {top}.")


def _check_clock(clock: object) -> None:
    if not isinstance(clock, tuple) or len(clock) != 2:
        raise TypeError(f"clock={clock!r}: give a pair of ints, the first and the last clock.")
    for end in clock:
        _check_integer(end, "clock", U32_MAX)
    if clock[0] > clock[1]:
        raise ValueError(f"clock={clock!r} ends before it begins. Give the smaller number first.")


def in_namespace(entity: str, wanted: Iterable[str]) -> bool:
    """The reference's match: the entity itself, or anything below it after a colon (engine-read 3.1)."""
    return any(entity == name or entity.startswith(name + ":") for name in wanted)
