"""What opening a store found and did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Repair:
    """One file that was made harmless: `what` was done to it, and `why`."""

    file: str
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class OpenReport:
    """What `Store.open` found, as `Store.open_report`.

    ``segments`` were read, with ``events`` in them, hidden ones included, on ``lanes`` (pairs of an entity and a lane);
    the store's own opening event got ``first_sequence``. ``image`` names batpak's index image that is there and agrees
    with the segments, or is None; none is needed here. ``repairs`` is what a crash had left, in the order it was
    settled; it is empty after a clean close.
    """

    segments: int
    events: int
    lanes: int
    first_sequence: int
    image: str | None
    repairs: tuple[Repair, ...]
    elapsed_seconds: float
