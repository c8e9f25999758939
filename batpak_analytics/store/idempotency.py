"""Which keys were used, so that an append that is tried again is not done twice.

A key is the id of its event (engine-write 10). ``index.idemp`` holds the keys of earlier sessions, compacted events
included; a key whose event is in the store is found there even when that file is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from blake3 import blake3

from batpak_analytics.engine.filesystem import DescriptorCache, read_file
from batpak_analytics.engine.view import View, build_view
from batpak_analytics.errors import FormatError, FutureVersionError
from batpak_analytics.format import layout
from batpak_analytics.format.sidecars import idempotency
from batpak_analytics.format.sidecars.idempotency import IdempotencyEntry
from batpak_analytics.format.survey import id_words
from batpak_analytics.model import Receipt
from batpak_analytics.store.files import Files, replace_file
from batpak_analytics.store.items import Draft


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
    """The keys that were used in a store, and what their appends returned. One thread at a time.

    The ids of the store are looked through when a key is asked for that no list has, once; from then on the ids of
    appended events are kept, about 100 bytes each.
    """

    def __init__(self, directory: Path, entries: Iterable[IdempotencyEntry]) -> None:
        self._directory = directory
        self._entries = {entry.key: entry for entry in entries}
        self._receipts: dict[bytes, Receipt] = {}
        self._stored: _StoredIds | None = None
        self._since: set[bytes] = set()

    @classmethod
    def load(cls, directory: Path) -> KeyHistory:
        """Of an existing store. A damaged list counts as none, as in the reference.

        Raises `FutureVersionError` for a list that only a newer batpak understands.
        """
        path = directory / layout.IDEMPOTENCY_NAME
        data = read_file(path)
        try:
            return cls(directory, () if data is None else idempotency.decode(data))
        except FutureVersionError as error:
            raise FutureVersionError(
                f"{path} was written by a newer batpak ({error}), so which keys were used is unknown. "
                f"Update batpak-analytics.",
                path=path,
            ) from error
        except FormatError:
            return cls(directory, ())

    def find(self, key: bytes) -> Receipt | None:
        """The receipt of the append that used the key; its clock and lane are None if its event was compacted away."""
        found = self._receipts.get(key)
        if found is None:
            found = self._among_events(key)
        if found is None and key in self._entries:
            entry = self._entries[key]
            found = Receipt(
                key, entry.global_sequence, None, None, entry.content_hash, entry.segment_id, entry.offset,
                entry.length, True,
            )  # fmt: skip
        return None if found is None else found._replace(replayed=True)

    def _among_events(self, key: bytes) -> Receipt | None:
        if self._stored is None or key in self._since:
            self._stored, self._since = _StoredIds.of(self._directory), set()
        return self._stored.find(key)

    def note(self, event_id: bytes) -> None:
        """Hear of an event that was appended."""
        if self._stored is not None:
            self._since.add(event_id)

    def note_many(self) -> None:
        """Hear that a table was appended: it is in the files, so they are looked through again when need be."""
        self._stored, self._since = None, set()

    def record(self, draft: Draft, receipt: Receipt, prev_hash: bytes) -> None:
        """Keep the key of an event that was appended with one."""
        key = receipt.event_id
        self._receipts[key] = receipt
        self._entries[key] = IdempotencyEntry(
            key, key, receipt.global_sequence, receipt.segment_id, receipt.offset, receipt.length,
            receipt.content_hash, prev_hash, draft.entity, draft.scope, draft.kind, receipt.global_sequence, False,
            draft.extensions,
        )  # fmt: skip

    def save(self, files: Files) -> None:
        """Write the list, at once and durably; cost: a few microseconds a key."""
        data = idempotency.encode(list(self._entries.values()))
        replace_file(files, self._directory / layout.IDEMPOTENCY_NAME, [data])


class _StoredIds(NamedTuple):
    """The ids of a store's visible events, folded to 64 bits and in order; `rows` says where each stands."""

    view: View
    folds: np.ndarray[tuple[int], np.dtype[np.uint64]]
    segments: np.ndarray[tuple[int], np.dtype[np.int64]]
    rows: np.ndarray[tuple[int], np.dtype[np.int64]]

    @classmethod
    def of(cls, directory: Path) -> _StoredIds:
        """As the store is now."""
        descriptors = DescriptorCache()
        try:
            view = build_view(directory, "report", descriptors, {})
        finally:
            descriptors.close()
        folds, segments, rows = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for position, segment in enumerate(view.segments):
            visible = np.flatnonzero(~segment.excluded)
            words = id_words(segment.rows["event_id"])[visible]
            folds.append(words[:, 0] ^ words[:, 1])
            segments.append(np.full(len(visible), position))
            rows.append(visible)
        joined = np.concatenate(folds)
        order = np.argsort(joined, kind="stable")
        return cls(view, joined[order], np.concatenate(segments)[order], np.concatenate(rows)[order])

    def find(self, key: bytes) -> Receipt | None:
        """The receipt of the event with this id, as far as the index knows it."""
        fold = np.uint64(int.from_bytes(key[:8], "big") ^ int.from_bytes(key[8:], "big"))
        low, high = (int(np.searchsorted(self.folds, fold, side)) for side in ("left", "right"))
        for at in range(high - 1, low - 1, -1):
            segment, row = self.view.segments[int(self.segments[at])], int(self.rows[at])
            one = segment.rows[row]
            if one["event_id"].tobytes()[::-1] == key:
                return Receipt(
                    key, int(segment.sequence[row]), int(one["clock"]), int(one["lane"]), one["event_hash"].tobytes(),
                    segment.segment_id, int(one["offset"]), int(one["length"]), False,
                )  # fmt: skip
        return None
