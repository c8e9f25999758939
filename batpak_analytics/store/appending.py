"""Appending to a `Store`: single events, batches, tables, and behind fences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from batpak_analytics.model import Receipt
from batpak_analytics.store.fence import Fence
from batpak_analytics.store.items import BatchItem, Draft, make_draft
from batpak_analytics.store.lifetime import Lifetime

if TYPE_CHECKING:
    from batpak_analytics.store.table.append import AppendedFrame
    from batpak_analytics.store.table.rows import Rows


class Appending(Lifetime):
    """An open store that takes events. Each append has a turn of its own; threads come one after the other."""

    _fences = 0

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
