"""Which keys were used, so that an append that is tried again is not done twice.

A key is the id of its event (engine-write 10). ``index.idemp`` holds the keys of earlier sessions, compacted events
included; a key whose event is in the store is found there even when that file is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from blake3 import blake3

from batpak_analytics.engine.filesystem import read_file
from batpak_analytics.engine.ids import Place
from batpak_analytics.errors import FormatError, FutureVersionError
from batpak_analytics.format import layout
from batpak_analytics.format.sidecars import idempotency
from batpak_analytics.format.sidecars.idempotency import IdempotencyEntry
from batpak_analytics.model import Receipt
from batpak_analytics.store.files import Files, replace_file
from batpak_analytics.store.items import Draft

Find = Callable[[bytes], Place | None]


class IdempotencyKey(bytes):
    """16 bytes that name an operation, for `idempotency_key=`."""

    @classmethod
    def for_operation(cls, domain: str, components: Iterable[str]) -> IdempotencyKey:
        """The key that batpak derives for the same operation: equal words, equal key.

        >>> import batpak_analytics as bp
        >>> bp.IdempotencyKey.for_operation("payments", ["order:1", "charge"]).hex()
        'bdbfe7d693774048e567580e58e108cd'
        """
        parts = [part.encode() for part in components]
        framed = [_framed(domain.encode()), len(parts).to_bytes(8, "little"), *map(_framed, parts)]
        return cls(blake3(b"".join(framed)).digest()[: layout.ID_SIZE])


def _framed(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text


class KeyHistory:
    """The keys that were used in a store, and what their appends returned. One thread at a time."""

    def __init__(self, directory: Path, find: Find, entries: Iterable[IdempotencyEntry]) -> None:
        """`find` gives the place of the event with an id."""
        self._directory = directory
        self._find = find
        self._entries = {entry.key: entry for entry in entries}
        self._receipts: dict[bytes, Receipt] = {}

    @classmethod
    def load(cls, directory: Path, find: Find) -> KeyHistory:
        """Of an existing store. A damaged list counts as none, as in the reference.

        Raises `FutureVersionError` for a list that only a newer batpak understands.
        """
        path = directory / layout.IDEMPOTENCY_NAME
        data = read_file(path)
        try:
            return cls(directory, find, () if data is None else idempotency.decode(data))
        except FutureVersionError as error:
            raise FutureVersionError(
                f"{path} was written by a newer batpak ({error}), so which keys were used is unknown. "
                f"Update batpak-analytics.",
                path=path,
            ) from error
        except FormatError:
            return cls(directory, find, ())

    @property
    def keys(self) -> list[bytes]:
        """The keys, as they are now."""
        return list(self._entries)

    def find(self, key: bytes) -> Receipt | None:
        """The receipt of the append that used the key; its clock and lane are None if its event was compacted away."""
        found = self._receipts.get(key)
        if found is None and (place := self._find(key)) is not None:
            found = _receipt_of(place)
        if found is None and key in self._entries:
            entry = self._entries[key]
            found = Receipt(
                key, entry.global_sequence, None, None, entry.content_hash, entry.segment_id, entry.offset,
                entry.length, True,
            )  # fmt: skip
        return None if found is None else found._replace(replayed=True)

    def record(self, draft: Draft, receipt: Receipt, prev_hash: bytes) -> None:
        """Keep the key of an event that was appended with one."""
        key = receipt.event_id
        self._receipts[key] = receipt
        self._entries[key] = IdempotencyEntry(
            key, key, receipt.global_sequence, receipt.segment_id, receipt.offset, receipt.length,
            receipt.content_hash, prev_hash, draft.entity, draft.scope, draft.kind, receipt.global_sequence, False,
            draft.extensions,
        )  # fmt: skip

    def used(self, ids: Iterable[bytes]) -> list[bytes]:
        """Those of these ids that are keys in the list."""
        return [one for one in ids if one in self._entries]

    def forget_places(self, evicted: Iterable[bytes]) -> None:
        """Events were moved by a compaction, and those of these keys dropped; the keys stay used."""
        self._receipts.clear()
        for key in evicted:
            self._entries[key] = replace(self._entries[key], event_evicted=True)

    def save(self, files: Files) -> None:
        """Write the list, at once and durably; cost: a few microseconds a key."""
        data = idempotency.encode(list(self._entries.values()))
        replace_file(files, self._directory / layout.IDEMPOTENCY_NAME, [data])


def _receipt_of(place: Place) -> Receipt:
    """The receipt of the event that stands there, as far as the index knows it."""
    segment, one = place.segment, place.segment.rows[place.row]
    return Receipt(
        one["event_id"].tobytes()[::-1], place.global_sequence, int(one["clock"]), int(one["lane"]),
        one["event_hash"].tobytes(), segment.segment_id, int(one["offset"]), int(one["length"]), False,
    )  # fmt: skip
