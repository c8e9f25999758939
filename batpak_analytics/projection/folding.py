"""Events from their frames into one state or several: typed, lifted and without keys by the same rules everywhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from batpak_analytics.engine.entries import Entries
from batpak_analytics.engine.ids import Place
from batpak_analytics.engine.point_read import read_event, read_value
from batpak_analytics.errors import PayloadEncryptedError, ProjectionError
from batpak_analytics.format.sidecars.keyset import Keyset
from batpak_analytics.model import Event
from batpak_analytics.projection.block import Block, typed_by
from batpak_analytics.projection.protocol import Fold

AT_ONCE: Final = 4096
BYTES_AT_ONCE: Final = 32 << 20
"""Events that are read together, and the bytes of their frames; one that is larger is read alone."""
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

    def take(self, event: Any) -> None:
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


def fold_entries(foldings: Sequence[Folding], entries: Entries, keyset: Keyset | None, start: int = 0) -> None:
    """Fold the events from `start` on into all foldings that want them, in order; each frame is read once.

    Every payload is decoded, also where `apply` looks at none: whether there is a state must not hang on that.

    Raises `PayloadEncryptedError` for one that is sealed and not shredded, `PayloadUndecodableError`,
    `TypedDecodeError`, `CorruptError` and `ProjectionError`, which has the last good state: it is folded anew.
    """
    tables: dict[int, Any] = {}
    makers = [typed_by(one.fold.types, one.fold.registry) for one in foldings]
    for part in _parts(entries[start:]):
        block = Block.read(part, tables)
        columns = [block.columns(typed) for typed in makers]
        kinds = part.column("kind").tolist()
        for at, row, closer in zip(range(len(part)), block.order.tolist(), block.closer.tolist(), strict=True):
            kind = kinds[at]
            for folding, events in zip(foldings, columns, strict=True):
                if folding.fold.kinds is not None and kind not in folding.fold.kinds:
                    continue
                event = _by_itself(folding, part.place(at), kind, keyset) if closer else events.row(row)
                if event is None:
                    folding.skip()
                    continue
                _ = event.payload  # an object of its own for each folding: one may change it
                try:
                    folding.take(event)
                except ProjectionError as error:
                    error.state = _last_good(folding, entries, keyset)
                    raise


def _last_good(failed: Folding, entries: Entries, keyset: Keyset | None) -> Any:
    """The state before the event at which a folding failed: that `apply` may have changed half of the state it had."""
    before, fold = Folding(failed.fold), failed.fold
    wanted = entries if fold.kinds is None else entries.taken(np.isin(entries.column("kind"), sorted(fold.kinds)))
    try:
        fold_entries([before], wanted[: failed.position - 1], keyset)
    except Exception:  # not the same twice; then there is no last good state
        return None
    return before.state


def _parts(entries: Entries) -> Iterator[Entries]:
    ends = np.cumsum(entries.column("length"), dtype=np.uint64)
    first, read = 0, 0
    while first < len(entries):
        fits = int(np.searchsorted(ends, read + BYTES_AT_ONCE, side="right"))
        last = min(max(fits, first + 1), first + AT_ONCE, len(entries))
        yield entries[first:last]
        first, read = last, int(ends[last - 1])


def _by_itself(folding: Folding, place: Place, kind: int, keyset: Keyset | None) -> Event | None:
    """The event as its frame has it; None where its key is gone."""
    try:
        return _event_at(place, folding.fold.types.get(kind), folding.fold.registry)
    except PayloadEncryptedError:
        if not _is_shredded(place, keyset):
            raise
        return None


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


def _failed(fold: Fold[Any], event: Any, position: int, error: Exception) -> ProjectionError:
    why = str(error) if isinstance(error, ProjectionError) else f"{type(error).__name__}: {error}."
    return ProjectionError(
        f"{fold.name} failed at event {event.event_id.hex()} of {event.entity!r} (global sequence "
        f"{event.global_sequence}, number {position} of the replay): {why} Mend apply; the stored event is intact, and "
        f"get() shows it.",
        position=position, event_id=event.event_id, global_sequence=event.global_sequence, entity=event.entity,
        kind=event.kind,
    )  # fmt: skip
