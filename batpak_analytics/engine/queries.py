"""The questions that a `Reader` and a `Store` both answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from batpak_analytics.engine import ancestry
from batpak_analytics.engine.entries import Entries, entry_of
from batpak_analytics.engine.ids import Place
from batpak_analytics.engine.point_read import EventId, id_bytes, not_found, read_event, read_value
from batpak_analytics.engine.region import Region
from batpak_analytics.engine.select import page_entries, region_entries, stream_entries
from batpak_analytics.engine.snapshot import Snapshot
from batpak_analytics.model import AncestorWalk, Event, IndexEntry


def _region(given: Region | None) -> Region:
    if given is not None and not isinstance(given, Region):
        raise TypeError(f"{given!r} is not a Region. Give one, as in query(bp.Region(entity='player', kind=0xF001)).")
    return Region() if given is None else given


class Queries(ABC):
    """Point reads and queries of what is visible: of a reader's view, or of a store as it is now.

    Events behind a fence that is open are not visible in the store that holds it, and cancelled ones nowhere.
    """

    @property
    @abstractmethod
    def path(self) -> Path:
        """The store's directory."""

    @abstractmethod
    def _snapshot(self) -> Snapshot:
        """What is visible now."""

    @abstractmethod
    def _find(self, event_id: bytes) -> Place | None:
        """The visible event with this id, the later one where two share it."""

    def _place(self, event_id: EventId) -> Place:
        key = id_bytes(event_id)
        place = self._find(key)
        if place is None:
            raise not_found(key, str(self.path))
        return place

    def get(self, event_id: EventId) -> Event:
        """The event with this id, its `payload` decoded to the value that 0.9.0 gives.

        `event_id` is 32 hexadecimal digits, a `uuid.UUID`, 16 bytes or an int. Raises `EventNotFoundError`,
        `PayloadEncryptedError`, `PayloadUndecodableError`, `CrcMismatchError` or `CorruptFrameError`.

        Cost: the first call sorts the ids of the store, 0.1 s and 12 MB for a million; then a search and one read.
        """
        return read_value(self._place(event_id))

    def get_raw(self, event_id: EventId) -> bytes:
        """The payload bytes as they are stored: MessagePack, or ciphertext for an encrypted event. Raises and costs as
        `get`.
        """
        return bytes(read_event(self._place(event_id)).payload)

    def query(self, region: Region | None = None) -> Entries:
        """The index entries of every event in the region, by global sequence; of all events where none is given.

        The store's own events are among them, as in batpak; `get` gives the payload of one. Cost: one pass over the
        rows of the index, and 8 bytes for each event found.

        >>> import batpak_analytics as bp
        >>> [entry.global_sequence for entry in bp.open_reader(bp.demo_store()).query(bp.Region(entity="player"))]
        [1, 2, 4]
        """
        return region_entries(self._snapshot(), _region(region))

    def query_after(self, sequence: int | None, limit: int, region: Region | None = None) -> Entries:
        """The first `limit` events of the region after this global sequence; None begins at the first event.

        The sequence of the last entry asks for the next page. Pages hold while events are appended; a compaction that
        drops events renumbers those that stay. Cost: a search, and the rows up to the last one found.
        """
        for name, value in (("sequence", sequence), ("limit", limit)):
            if value is not None and value < 0:
                raise ValueError(f"{name}={value}: give an int from 0 on.")
        return page_entries(self._snapshot(), _region(region), sequence, limit)

    def stream(self, entity: str, lane: int | None = None) -> Entries:
        """The events of exactly this entity, on one lane or on all, by (wall_ms, clock, id): the order in which batpak
        replays them. Cost: as `query`.
        """
        return stream_entries(self._snapshot(), entity, lane)

    def latest(self, entity: str, lane: int = 0) -> IndexEntry | None:
        """The last visible event of the (entity, lane), None where there is none. Cost: as `query`.

        The reference gives nothing when the last event is hidden (trap T-30); here the last visible one is given.
        """
        found = self.stream(entity, lane)
        return found[-1] if found else None

    def walk_ancestors(self, event_id: EventId, limit: int | None = None) -> AncestorWalk:
        """The event and those that its hash chain leads to on its (entity, lane), newest first, at most `limit`.

        The index alone is read: damage to a frame does not end the walk, and `get` reads what is wanted. Cost: one
        pass over the rows of the index, then a search a step.
        """
        place = self._find(id_bytes(event_id))
        if place is None:
            return AncestorWalk((), "no-anchor")
        anchor = entry_of(place.segment, place.segment.rows[place.row].tolist(), place.global_sequence)
        return ancestry.walk(anchor, self.stream(anchor.entity, anchor.position.lane), limit)
