"""`Store`, the facade of the write side: it opens, and gives each of its parts what it has to know of the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batpak_analytics.copies import Copies
from batpak_analytics.engine.ids import Place
from batpak_analytics.engine.queries import Queries
from batpak_analytics.engine.snapshot import Snapshot
from batpak_analytics.markup import Html, facts, plural, titled
from batpak_analytics.projection.methods import States
from batpak_analytics.store.appending import Appending
from batpak_analytics.store.compacting import Compacting
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.copies.source import CopySource
from batpak_analytics.store.fence import Fence
from batpak_analytics.store.files import Files
from batpak_analytics.store.imports.door import Imports
from batpak_analytics.store.marks import Mark, Waiting, Watermarks, covers, look, marks_of
from batpak_analytics.views import Views

if TYPE_CHECKING:
    from batpak_analytics.reader import Reader
    from batpak_analytics.store.compact import Site
    from batpak_analytics.store.imports.importing import Target


class Store(Appending, Queries, Waiting, Views, Copies, Imports, States, Compacting):
    """A store opened for writing, in the bytes of batpak 0.9.0. Threads may share it; a forked child may not.

    As a context manager it closes itself, and after an exception in the block too.
    """

    @classmethod
    def open(
        cls, path: str | PathLike[str], *, config: StoreConfig | None = None, files: Files | None = None
    ) -> Store:  # fmt: skip
        """Open the store at `path` for writing; the directory is created if it is missing.

        Holds the directory's lock until the store is closed, so no other writer of either engine can open it;
        readers are not affected. Appends one event of its own, as every open of batpak does, and syncs it.

        Raises
        ------
        StoreLockedError
            Another writer has it open.
        StoreNeedsRepairError
            Something in it is damaged. Nothing was changed. What a crash leaves (a torn write, a batch without its
            end, a compaction half-way) is no reason: it is made harmless, in new files that take the names of the old.
        StoreEncryptedError
            It seals payloads with keys, which this writer does not, and `allow_plaintext` was not asked for.
        WriteFailedError
            The disk refused.
        PayloadCollisionError, UpcastChainError, PayloadDeclarationError
            The registered payload types contradict each other; nothing was touched (`PayloadRegistry.validate`).

        Cost: that of `open_reader`, one pass over the index rows, and four syncs.

        Examples
        --------
        >>> import tempfile
        >>> import batpak_analytics as bp
        >>> with tempfile.TemporaryDirectory() as directory, bp.Store.open(directory) as store:
        ...     store.append("order:1", "shop", 0x1001, {"total": 12}).global_sequence
        1
        """
        return cls(path, config=config, files=files)

    @property
    def path(self) -> Path:
        """The store's directory."""
        return self._path

    @property
    def last_sequence(self) -> int | None:
        """The global sequence of the latest event."""
        with self._lock:
            return self._running().last_sequence

    @property
    def durable_sequence(self) -> int | None:
        """The latest global sequence that is known to be on disk."""
        with self._lock:
            return self._running().durable_sequence

    @contextmanager
    def _turn(self) -> Iterator[Target]:
        from batpak_analytics.store.imports.importing import Target

        with self._lock:
            yield Target(self._running(), self._history, self._live.find, self._config)

    def _site(self) -> Site:
        site: Site = import_module("batpak_analytics.store.compact").Site(
            self._files, self._path, self._lock, self._running, self._live, self._history,
            lambda: self._reading().view, self._config.clock, self._first_own,
        )  # fmt: skip
        return site

    def _mark(self, mark: Mark, sequence: int, *, push: bool) -> int | None:
        last = self._last_marks
        if last is not None and covers(getattr(last, mark), sequence):
            return sequence  # which it came to before the store was closed
        return look(self._running(), mark, sequence, push=push)

    def _marks(self) -> Watermarks:
        return marks_of(self._running())

    def reader(self) -> Reader:
        """A new reader of this store; it sees everything appended so far, and what follows after its `refresh`.

        The store's own queries always see everything, and hold back what is behind a fence that is open. A reader
        shows one moment until it is refreshed, does scans as well, and shows the events of an open fence, as every
        reader does. It outlives the store. Cost: that of `open_reader`.
        """
        self._check_open()
        opened: Reader = import_module("batpak_analytics.reader").open_reader(self._path)
        return opened

    def _reading(self) -> Reader:
        """A reader that is kept, at the store as it is now. Of an open fence it shows what is written, as any does."""
        self._check_open()
        if self._own_reader is None:
            self._own_reader = self.reader()
            return self._own_reader
        return self._own_reader.refresh()

    def _keys_in_use(self) -> Callable[[], Iterable[bytes]]:
        return lambda: self._history.keys

    def _to_copy(self) -> tuple[Path, Callable[[], Any], Any]:
        return self._path, self._pin, self._files

    def _pin(self) -> CopySource:
        """The store as it is now, on disk, behind a fence of its own as the reference does it."""
        fence = Fence(self)
        with self._lock:
            writer = self._running()
            writer.begin_fence(fence)
            writer.end_fence(fence, keep=True)  # which syncs
            self._fences += 1
            segments, keys = self._live.snapshot().segments, self._history.encoded()
            return CopySource(self._path, segments, writer.hidden, keys, self._fences)

    def _snapshot(self) -> Snapshot:
        with self._lock:
            self._running()
            return self._live.snapshot()

    def _payload_registry(self) -> Any:
        return self._payloads

    def _find(self, event_id: bytes) -> Place | None:
        with self._lock:
            shown_below = self._running().shown_below
            place = self._live.find(event_id)
        fenced = place is not None and shown_below is not None and place.global_sequence >= shown_below
        return None if fenced else place

    def _before_end(self) -> None:
        self._finish_compaction()

    def __repr__(self) -> str:
        return f"Store({str(self._path)!r}{'' if self._writer else ', closed'})"

    def _repr_html_(self) -> Html:
        report = self._report
        found = f"{plural(report.events, 'event')} in {plural(report.segments, 'segment')}"
        known: dict[str, Any] = {"state": "closed", "found on opening": found, "repairs": len(report.repairs)}
        if self._writer is not None and os.getpid() == self._owner:
            marks = self.watermarks()
            known |= {"state": "open for writing", "last sequence": marks.written, "last on disk": marks.durable}
        return facts(titled("Store", self._path, ""), known)
