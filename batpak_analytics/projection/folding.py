"""Events from their frames into one state or several: typed, lifted and without keys by the same rules everywhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Final

from batpak_analytics.engine.ids import Place
from batpak_analytics.engine.point_read import read_event, read_value
from batpak_analytics.errors import PayloadEncryptedError, ProjectionError
from batpak_analytics.format.sidecars.keyset import Keyset
from batpak_analytics.model import Event
from batpak_analytics.projection.protocol import Fold

NOTHING: Final = object()
"""The state of a folding that was given no event yet."""


class Folding:
    """A state on its way through a replay: `skipped` events had lost their key, `position` counts all."""

    def __init__(self, fold: Fold[Any], state: Any = NOTHING, *, position: int = 0, skipped: int = 0) -> None:
        self.fold, self._state, self.position, self.skipped = fold, state, position, skipped

    @property
    def state(self) -> Any:
        """None where no event was folded."""
        return None if self._state is NOTHING else self._state

    @property
    def is_empty(self) -> bool:
        """Whether no event was folded."""
        return self._state is NOTHING

    def take(self, event: Event) -> None:
        """Go on by one event. Raises `ProjectionError`, which names it."""
        self.position += 1
        try:
            state = self.fold.initial() if self._state is NOTHING else self._state
            self._state = self.fold.step(state, event)
        except Exception as error:
            raise _failed(self.fold, event, self.position, error) from error

    def skip(self) -> None:
        """Go on without the event: its payload is gone for good."""
        self.position += 1
        self.skipped += 1


def fold_places(foldings: Sequence[Folding], places: Iterable[Place], keyset: Keyset | None) -> None:
    """Fold the events at these places into all foldings that want them; each frame is read once for each form.

    Raises `PayloadEncryptedError` for one that is sealed and not shredded, `PayloadUndecodableError`,
    `TypedDecodeError`, `CorruptError` and `ProjectionError`.
    """
    for place in places:
        kind = int(place.segment.rows["kind"][place.row])
        wanting = [one for one in foldings if one.fold.kinds is None or kind in one.fold.kinds]
        events: dict[tuple[Any, int], Event] = {}
        try:
            for one in wanting:
                cls, registry = one.fold.types.get(kind), one.fold.registry
                if (cls, id(registry)) not in events:
                    events[cls, id(registry)] = _event_at(place, cls, registry)
        except PayloadEncryptedError:
            if not _is_shredded(place, keyset):
                raise
            for one in wanting:
                one.skip()
            continue
        for one in wanting:
            one.take(events[one.fold.types.get(kind), id(one.fold.registry)])


def _event_at(place: Place, cls: type | None, registry: Any) -> Event:
    """The event with its payload as JSON, or as an instance of its registered class."""
    if cls is None:
        return read_value(place)
    from batpak_analytics.payloads.decoding import decode

    event = read_event(place, bytes)
    return dataclasses.replace(event, payload=decode(event, cls, registry))


def _is_shredded(place: Place, keyset: Keyset | None) -> bool:
    """Whether the key is known to be gone. Where there is no keyset, it may be elsewhere."""
    sealed = read_event(place).payload_encryption
    return keyset is not None and sealed is not None and sealed.keyscope_id not in keyset.scopes


def _failed(fold: Fold[Any], event: Event, position: int, error: Exception) -> ProjectionError:
    why = str(error) if isinstance(error, ProjectionError) else f"{type(error).__name__}: {error}."
    return ProjectionError(
        f"{fold.name} failed at event {event.event_id.hex()} of {event.entity!r} (global sequence "
        f"{event.global_sequence}, number {position} of the replay): {why} Mend apply; the stored event is intact, and "
        f"get() shows it.",
        position=position, event_id=event.event_id, global_sequence=event.global_sequence, entity=event.entity,
        kind=event.kind,
    )  # fmt: skip
