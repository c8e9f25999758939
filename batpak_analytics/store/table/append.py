"""`Store.append_frame`: a table as events, in atomic batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from batpak_analytics.errors import AppendFrameError, FenceActiveError, StoreClosedError
from batpak_analytics.format.layout import ID_SIZE, MAX_BATCH_RECOVERY_ITEMS
from batpak_analytics.frames.progress import Bar
from batpak_analytics.markup import plural
from batpak_analytics.store.config import MAX_BATCH_BYTES
from batpak_analytics.store.table.roles import roles_of
from batpak_analytics.store.table.rows import RowRefusedError, Rows, rows_of
from batpak_analytics.store.table.source import blocks, plain, source_of

DEFAULT_BATCH_ROWS = 16_384
BLOCK_BYTES = 4 * MAX_BATCH_BYTES
"""Of Arrow data that is encoded at a time; two such blocks are held."""
EVENT_ID = pa.binary(ID_SIZE)

Write = Callable[[Rows], tuple[int, Any]]
"""Writes one batch, and gives its first sequence and the ids of its events."""
Progress = bool | Callable[[int, int | None], Any] | None


@dataclass(frozen=True, slots=True)
class AppendedFrame:
    """The rows of a table that are events now; all of them are on disk.

    ``first_sequence`` and ``last_sequence`` are None where there are none. ``event_ids`` has the id of each row, in the
    type of ``event_id`` in scans (`fixed_size_binary[16]`). ``ranges`` are the sequences of each batch, as (first,
    last): between two of them, other threads may have appended.
    """

    rows: int
    first_sequence: int | None
    last_sequence: int | None
    event_ids: Any
    ranges: tuple[tuple[int, int], ...]

    def __repr__(self) -> str:
        where = f", sequences {self.first_sequence} to {self.last_sequence}" if self.rows else ""
        return f"AppendedFrame({plural(self.rows, 'row')}{where}, {plural(len(self.ranges), 'batch', 'batches')})"


class _Done:
    """What is on disk so far."""

    def __init__(self) -> None:
        self._ids: list[Any] = []
        self._ranges: list[tuple[int, int]] = []
        self.rows = 0

    def add(self, first: int, ids: Any) -> None:
        self._ids.append(pa.FixedSizeBinaryArray.from_buffers(EVENT_ID, len(ids), [None, pa.py_buffer(ids)]))
        self._ranges.append((first, first + len(ids) - 1))
        self.rows += len(ids)

    def result(self) -> AppendedFrame:
        ids = pa.concat_arrays(self._ids) if self._ids else pa.array([], EVENT_ID)
        first, last = (self._ranges[0][0], self._ranges[-1][1]) if self._ranges else (None, None)
        return AppendedFrame(self.rows, first, last, ids, tuple(self._ranges))


def append_frame(
    write: Write,
    max_bytes: int,
    table: Any,
    *,
    batch_rows: int | None = None,
    progress: Progress = None,
    payload: Sequence[str] | None = None,
    **parts: Any,
) -> AppendedFrame:
    """See `Store.append_frame`; `write` takes the store's lock for one batch, `max_bytes` bounds a payload."""
    rows = DEFAULT_BATCH_ROWS if batch_rows is None else batch_rows
    if not 1 <= rows <= MAX_BATCH_RECOVERY_ITEMS:
        raise ValueError(f"batch_rows={rows} is out of range. Pass a number from 1 to {MAX_BATCH_RECOVERY_ITEMS}.")
    source = source_of(table)
    roles = roles_of(source.schema.names, payload=payload, **parts)
    none = pa.RecordBatch.from_arrays([pa.array([], field.type) for field in source.schema], schema=source.schema)
    next_blocks = blocks(source.batches, roles.columns, rows, BLOCK_BYTES)
    # What is wrong with all rows is said before any of them is read.
    rows_of(plain(none.select(roles.columns)), roles, max_bytes)
    done, bar = _Done(), Bar("appending events") if progress is True else None
    report = bar or progress or None
    try:
        for encoded in _one_ahead(lambda block: rows_of(block, roles, max_bytes), next_blocks):
            for part in encoded.parts(MAX_BATCH_BYTES):
                done.add(*write(part))
                if callable(report):
                    report(done.rows, source.rows)
    except (FenceActiveError, StoreClosedError) as error:
        if not done.rows:
            raise
        raise _failure(done, error, None) from error
    except RowRefusedError as error:
        raise _failure(done, error.__cause__, done.rows + error.row) from error.__cause__
    except Exception as error:
        raise _failure(done, error, None) from error
    except BaseException as interrupt:
        interrupt.add_note(_kept(done))
        raise
    finally:
        if bar is not None:
            bar.close()
    return done.result()


def _one_ahead(make: Callable[[pa.RecordBatch], Rows], blocks_: Iterable[pa.RecordBatch]) -> Iterator[Rows]:
    """What is made of each block; the next is made in a second thread while one is written and synced."""
    with ThreadPoolExecutor(1, "batpak-rows") as second:
        waiting: Future[Rows] | None = None
        for block in blocks_:
            following = second.submit(make, block)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()


def _failure(done: _Done, cause: BaseException | None, row: int | None) -> AppendFrameError:
    what = "The table could not be appended to its end" if row is None else f"Row {row} was refused"
    return AppendFrameError(f"{what}: {str(cause).rstrip('.')}. {_kept(done)}", appended=done.result(), row=row)


def _kept(done: _Done) -> str:
    if not done.rows:
        return "Nothing of the table was written. Append it again when the reason is gone."
    return f"The first {done.rows} rows are events, on disk. Go on from row {done.rows} when the reason is gone."
