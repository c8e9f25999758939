"""`Store`, the facade of the write side: it takes the lock, keeps threads apart and delegates."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from batpak_analytics.copies import Copies
from batpak_analytics.engine.ids import Place
from batpak_analytics.engine.queries import Queries
from batpak_analytics.engine.snapshot import Snapshot
from batpak_analytics.errors import BatpakError, StoreClosedError, WriteFailedError
from batpak_analytics.format import layout
from batpak_analytics.markup import Html, facts, plural, titled
from batpak_analytics.model import EventKind, Receipt
from batpak_analytics.payloads.default import default_registry
from batpak_analytics.projection.methods import States
from batpak_analytics.store.compacting import Compacting
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.copies.source import CopySource
from batpak_analytics.store.fence import Fence
from batpak_analytics.store.files import Files
from batpak_analytics.store.idempotency import KeyHistory
from batpak_analytics.store.imports.door import Imports
from batpak_analytics.store.items import BatchItem, Draft, make_draft
from batpak_analytics.store.lifecycle import closed_payload, opened_payload
from batpak_analytics.store.live import LiveRows
from batpak_analytics.store.marks import Mark, Turns, Waiting, Watermarks, covers, look, marks_of
from batpak_analytics.store.recovered import recover
from batpak_analytics.store.report import OpenReport
from batpak_analytics.store.writer import Writer
from batpak_analytics.views import Views

if TYPE_CHECKING:
    from batpak_analytics.reader import Reader
    from batpak_analytics.store.compact import Site
    from batpak_analytics.store.imports.importing import Target
    from batpak_analytics.store.table.append import AppendedFrame
    from batpak_analytics.store.table.rows import Rows


class Store(Queries, Waiting, Views, Copies, Imports, States, Compacting):
    """A store opened for writing, in the bytes of batpak 0.9.0. Threads may share it; a forked child may not.

    As a context manager it closes itself, and after an exception in the block too.
    """

    def __init__(self, path: Path, config: StoreConfig, files: Files) -> None:
        """Use `Store.open`."""
        self._lock = Turns()
        self._owner = os.getpid()
        self._config = config
        self._payloads = config.payloads or default_registry
        self._payloads.validate(config.payload_validation, stacklevel=4)
        self._files = files
        self._writer: Writer | None = None
        self._last_marks: Watermarks | None = None
        self._own_reader: Reader | None = None
        self._fences = 0
        try:
            files.make_directory(path)
        except OSError as error:
            raise WriteFailedError(
                f"{path} could not be created durably ({error.strerror or error}). Nothing was written; free or "
                f"replace the disk, or give another directory.",
                path=path,
            ) from error
        self._path = path.resolve()
        self._held: int | None = files.lock(self._path / layout.LOCK_NAME)
        try:
            self._begin()
        except BaseException:
            self._let_go()
            raise

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
        return cls(Path(fspath(path)), config or StoreConfig(), files or Files())

    def _begin(self) -> None:
        started = time.perf_counter_ns()
        try:
            state = recover(
                self._path, self._files, self._config.clock() * 1000, allow_plaintext=self._config.allow_plaintext
            )
            lanes = len(state.heads)  # before the store's own event joins them
            live = LiveRows(state.view)
            history = KeyHistory.load(self._path, live.find)
        except BatpakError:
            raise
        except OSError as error:
            raise WriteFailedError(
                f"Repairing what a crash left in {self._path} failed ({error.strerror or error}). Every segment "
                f"is as it was, or repaired. Free or replace the disk, then open the store again.",
                path=self._path,
            ) from error
        writer = Writer(self._files, self._path, self._config, state, history)
        live.follow(writer)
        self._first_own = writer.segment.segment_id
        try:
            # Whole milliseconds, never before the last point of the store: so 0.9.0 takes it up.
            wall_ms = max(state.wall_ms, writer.now_us() // 1000)
            elapsed_us = (time.perf_counter_ns() - started) // 1000
            writer.append(
                _lifecycle(layout.KIND_OPEN_COMPLETED, opened_payload(state, elapsed_us)),
                at_us=wall_ms * 1000,
                remember=True,
            )
            writer.sync()
        except BaseException:
            writer.abandon()
            raise
        self._writer, self._history, self._live = writer, history, live
        self._report = OpenReport(
            state.segments, state.events, lanes, writer.last_sequence or 0, state.image,
            tuple(state.repairs), (time.perf_counter_ns() - started) / 1e9,
        )  # fmt: skip

    @property
    def path(self) -> Path:
        """The store's directory."""
        return self._path

    @property
    def open_report(self) -> OpenReport:
        """What opening found, and what it repaired."""
        return self._report

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

    def append(
        self,
        entity: str,
        scope: str,
        kind: int | None,
        payload: Any = None,
        *,
        expected_clock: int | None = None,
        fence: Fence | None = None,
        **options: Any,
    ) -> Receipt:
        """Append one event; readers see it when this returns, and it is on disk if the receipt says so.

        `options` are the further fields of `BatchItem`: raw, correlation_id, causation_id, lane, depth, branch_root,
        flags, payload_version, extensions, idempotency_key. With a key that was used before, nothing is written and the
        receipt of then is given, `replayed`. With `expected_clock` it is written only if that is the latest clock of
        the (entity, lane), -1 for a lane without events.

        Raises `AppendRefusedError` or `ClockMismatchError` with nothing written, `WriteFailedError` when the disk
        fails, `StoreClosedError` afterwards. Cost: one write; a sync when the cadence is due.
        """
        draft = self._draft(BatchItem(entity, scope, kind, payload, **options))
        with self._lock:
            return self._running().append(draft, expected_clock, fence=fence)

    def append_typed(
        self,
        entity: str,
        scope: str,
        payload: Any,
        *,
        expected_clock: int | None = None,
        fence: Fence | None = None,
        **options: Any,
    ) -> Receipt:
        """As `append`, with the kind and version that the payload's class is registered with (`event_payload`).

        Raises `PayloadDeclarationError` for an instance of a class that is not registered, and `AppendRefusedError`
        for one that holds what its class would not read back.
        """
        return self.append(entity, scope, None, payload, expected_clock=expected_clock, fence=fence, **options)

    def append_batch(self, items: Iterable[BatchItem], *, fence: Fence | None = None) -> list[Receipt]:
        """Append all items or none, one after the other in the order of the store; they are on disk on return.

        Raises as `append` does. Cost: one write and one sync.
        """
        drafts = [self._draft(item) for item in items]
        with self._lock:
            return self._running().append_batch(drafts, fence)

    def _draft(self, item: BatchItem) -> Draft:
        return make_draft(item, self._config.append_max_bytes, self._payloads)

    def append_frame(
        self,
        table: Any,
        *,
        entity: Any,
        scope: Any,
        kind: Any,
        payload: Sequence[str] | None = None,
        correlation_id: Any = None,
        causation_id: Any = None,
        batch_rows: int | None = None,
        progress: bool | Callable[[int, int | None], Any] | None = None,
    ) -> AppendedFrame:
        """Append the rows of a table as events, in atomic batches, much faster than one by one.

        Parameters
        ----------
        table
            A pandas DataFrame (its index is left out), an Arrow table, batch or reader, or anything that has
            ``__arrow_c_stream__``. What comes in batches is read batch by batch, in bounded memory.
        entity, kind, correlation_id, causation_id
            Text names a column; anything else is the value of all rows. `column` and `literal` say it outright. Ids in
            columns are 32 hexadecimal digits (hyphens may be between them) or 16 bytes; null is none.
        scope
            Text is the scope of all rows; ``bp.column("region")`` takes it from a column.
        payload
            The columns that payloads are made of, as maps with ascending keys; None for all that are not used
            otherwise. Nulls become nil. NaN stays NaN, except in pandas columns of objects, where it is no value.
            Float32 keeps its width. Times, dates and durations become integers of their unit, categories their values.
        batch_rows
            Rows of a batch, 16,384 by default, and at most 1,000,000, which is what batpak takes for a batch when it
            recovers. Payloads of one batch are at most 16 MiB, the reference's greatest batch, or one row. Each batch
            costs a sync. `batch_max_items` and `batch_max_bytes` of the configuration are about `append_batch` only.
        progress
            True draws a bar; a function is called with the rows appended so far and in all (None where unknown).

        Raises
        ------
        AppendFrameError
            A row breaks a rule of `append`, or a batch could not be written; it names the row, and what is on disk. No
            row of the batch of a refused row is written.
        UnknownColumnError, AppendRefusedError, TypeError, ValueError
            The arguments are wrong; nothing was written. So too `FenceActiveError`: a table is not put behind a fence.

        Cost: about a microsecond of a processor for each row, and one write and sync for each batch.

        Examples
        --------
        >>> import tempfile
        >>> import batpak_analytics as bp
        >>> import pyarrow as pa
        >>> table = pa.table({"order": ["order:1", "order:2"], "total": [12.5, 3.0]})
        >>> with tempfile.TemporaryDirectory() as directory, bp.Store.open(directory) as store:
        ...     done = store.append_frame(table, entity="order", scope="shop", kind=0x1001)
        >>> done.rows, done.first_sequence, done.last_sequence
        (2, 1, 2)
        """
        from batpak_analytics.store.table.append import append_frame

        return append_frame(
            self._append_rows, self._config.append_max_bytes, table, entity=entity, scope=scope, kind=kind,
            payload=payload, correlation_id=correlation_id, causation_id=causation_id, batch_rows=batch_rows,
            progress=progress,
        )  # fmt: skip

    def _append_rows(self, rows: Rows) -> tuple[int, Any]:
        with self._lock:
            return self._running().append_rows(rows)

    @contextmanager
    def _turn(self) -> Iterator[Target]:
        from batpak_analytics.store.imports.importing import Target

        with self._lock:
            yield Target(self._running(), self._history, self._live.find, self._config)

    def begin_fence(self) -> Fence:
        """A fence to submit events to, which are kept or taken back together; one at a time.

        Raises `FenceActiveError` while another one is open. `close` and `drop` cancel it.
        """
        fence = Fence(self)
        with self._lock:
            self._running().begin_fence(fence)
            self._fences += 1
        return fence

    def end_fence(self, fence: Fence, *, keep: bool) -> None:
        """What `Fence.commit` and `Fence.cancel` do."""
        with self._lock:
            self._running().end_fence(fence, keep=keep)

    def sync(self) -> None:
        """Return when every event appended so far, by any thread, is on disk. Raises `WriteFailedError`."""
        with self._lock:
            self._running().sync()

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

    def _check_open(self) -> None:
        with self._lock:
            self._running()

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

    def close(self) -> None:
        """Append the closing event, seal the segment and let go of the lock. A second close does nothing.

        Raises `WriteFailedError` when the disk fails; the store is closed then too.
        """
        self._end(say_so=True)

    def drop(self) -> None:
        """End without a closing event, as a dropped handle of batpak does; every event is kept and synced."""
        self._end(say_so=False)

    def _end(self, *, say_so: bool) -> None:
        with self._lock:
            writer, self._writer = self._writer, None
            try:
                if writer is None:
                    return
                if os.getpid() != self._owner:
                    writer.abandon()
                    return
                try:
                    if not writer.stopped:
                        writer.cancel_fence()
                        self._finish_compaction()
                        if say_so:
                            _append_closing(writer)
                finally:
                    stopped = writer.stopped
                    writer.finish()
                    self._live.close()
                    if self._own_reader is not None:
                        self._own_reader.close()
                    self._last_marks = marks_of(writer)
                    if not stopped:  # keys of events that may be lost would keep them from being appended again
                        self._save_history(writer)
            finally:
                self._let_go()

    def _save_history(self, writer: Writer) -> None:
        """On a drop too: the reference forgets keys then whose events are compacted away later (trap T11)."""
        try:
            self._history.save(self._files)
        except OSError as error:
            raise WriteFailedError(
                f"The list of idempotency keys in {self._path} could not be written ({error.strerror or error}). All "
                f"events are safe, and the keys of those that a compaction does not drop. Free or replace the disk.",
                durable_sequence=writer.durable_sequence,
                written_sequence=writer.last_sequence,
                path=self._path / layout.IDEMPOTENCY_NAME,
            ) from error

    def _running(self) -> Writer:
        if os.getpid() != self._owner:
            raise StoreClosedError(
                f"{self._path} was opened by the process that this one was forked from. Open it there only.",
                path=self._path,
            )
        if self._writer is None:
            raise StoreClosedError(f"{self._path} is closed. Open it again with Store.open().", path=self._path)
        return self._writer

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._files.close(held)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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


def _append_closing(writer: Writer) -> None:
    sequence = writer.last_sequence
    assert sequence is not None  # the opening event is there
    draft = _lifecycle(layout.KIND_CLOSE_COMPLETED, closed_payload(writer.wall_ms, sequence))
    writer.append(draft, at_us=writer.wall_ms * 1000, remember=True)


def _lifecycle(kind: int, payload: bytes) -> Draft:
    return Draft(
        layout.LIFECYCLE_ENTITY, layout.LIFECYCLE_SCOPE, EventKind(kind), payload,
        None, None, 0, 0, 0, 0, {}, len(payload),
    )  # fmt: skip
