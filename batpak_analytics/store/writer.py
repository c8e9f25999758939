"""The one order of a store: ids, clocks, links, frames, segments and what is on disk. One thread at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from blake3 import blake3

from batpak_analytics import kernels
from batpak_analytics.errors import (
    AppendRefusedError,
    ClockMismatchError,
    FenceActiveError,
    FenceEndedError,
    StoreClosedError,
    WriteFailedError,
)
from batpak_analytics.format import layout
from batpak_analytics.format.event import encode_extensions
from batpak_analytics.format.framing import NO_EXTENSIONS, Start
from batpak_analytics.format.sidecars import visibility
from batpak_analytics.format.sidecars.visibility import HiddenRanges
from batpak_analytics.model import Receipt
from batpak_analytics.store.clock import IdSource, MonotoneClock
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.fence import Fence, hidden_with
from batpak_analytics.store.files import Files, replace_file
from batpak_analytics.store.idempotency import KeyHistory
from batpak_analytics.store.items import Draft, PriorItem
from batpak_analytics.store.placing import LANE, heads_after, lanes_of, string_numbers
from batpak_analytics.store.recovered import Head, Recovered
from batpak_analytics.store.repair import covering
from batpak_analytics.store.segment import ActiveSegment
from batpak_analytics.store.unit import SCRATCH_BYTES, Placed, Scratch, Unit, marker

if TYPE_CHECKING:  # what they are made of needs pyarrow, which a store without tables does without
    from batpak_analytics.store.table.rows import Rows

NO_EVENTS = -1


class Writer:
    """Appends to a store that the caller has locked."""

    def __init__(
        self, files: Files, directory: Path, config: StoreConfig, state: Recovered, history: KeyHistory
    ) -> None:  # fmt: skip
        self._files = files
        self._history = history
        self._directory = directory
        self._config = config
        self._heads = state.heads
        self._clock = MonotoneClock(config.clock)
        self._new_id = IdSource()
        self._scratch = Scratch()
        self._next = state.next_sequence
        self._durable = state.next_sequence
        self._hidden = state.hidden
        self._fence: Fence | None = None
        self._sync_every = config.sync_every
        self._visible = state.next_sequence
        self._unsynced = 0
        self._stopped: WriteFailedError | None = None
        self._midway = False
        """Whether the file and what is known of it may differ; an exception from outside leaves it so."""
        self.wall_ms = state.wall_ms
        with self._disk("opening the store"):
            for path in state.without_footer:
                files.sync_file(path)
            self._segment = ActiveSegment(files, directory, state.next_segment, self._clock() * 1000)

    @property
    def last_sequence(self) -> int | None:
        """The sequence of the latest event; None before the first."""
        return self._next - 1 if self._next else None

    @property
    def durable_sequence(self) -> int | None:
        """The latest sequence that is known to be on disk."""
        return self._durable - 1 if self._durable else None

    @property
    def visible_sequence(self) -> int | None:
        """The latest sequence that was shown: not one behind a fence that is open or was cancelled."""
        return self._visible - 1 if self._visible else None

    @property
    def shown_below(self) -> int | None:
        """The first sequence behind the fence that is open; None where every event is shown."""
        return self._fence.written[0][0] if self._fence is not None and self._fence.written else None

    @property
    def hidden(self) -> HiddenRanges:
        """What cancelled fences hide; another object after each."""
        return self._hidden

    @property
    def segment(self) -> ActiveSegment:
        """The segment being written."""
        return self._segment

    @property
    def stopped(self) -> bool:
        """Whether a failure of the disk, or an interrupt in the middle of a call, ended this writer."""
        return self._midway or self._stopped is not None

    def now_us(self) -> int:
        """The store's clock."""
        return self._clock()

    def append(
        self,
        draft: Draft,
        expected_clock: int | None = None,
        at_us: int | None = None,
        *,
        fence: Fence | None = None,
        remember: bool = False,
    ) -> Receipt:
        """Write one event; it is on disk when the cadence says so. `remember` its id as that of a keyed append.

        A key that was used gives the receipt of then, whatever the clock is now (trap T28).
        """
        if self._midway or self._stopped is not None or fence is not self._fence:
            self._refuse(fence)
        known = self._replayed(draft.key)
        if known is not None:
            return known
        if expected_clock is not None:
            self._check_clock(draft, expected_clock)
        cause = draft.causation
        if isinstance(cause, PriorItem):
            raise AppendRefusedError("PriorItem names an item of a batch. Pass the id of the cause.")
        now = self._clock() if at_us is None else at_us
        self._rotate_if_full()
        unit = Unit()
        placed = self._place(unit, draft, draft.key or self._new_id(now), cause, now)
        self._write(unit, "writing one event", sync=False)
        self._unsynced += 1
        if self._sync_every is not None and self._unsynced >= self._sync_every:
            self.sync()
        return self._receipt(draft, placed, keyed=remember or draft.key is not None)

    def append_batch(self, drafts: Sequence[Draft], fence: Fence | None = None) -> list[Receipt]:
        """Write all or nothing, in one segment, on disk when this returns."""
        if self._midway or self._stopped is not None or fence is not self._fence:
            self._refuse(fence)
        self._check_batch(drafts)
        known = self._replayed_batch(drafts)
        if known is not None or not drafts:
            return known or []
        now = self._clock()
        ids = [draft.key or self._new_id(now) for draft in drafts]
        causes = [_cause(draft, index, ids) for index, draft in enumerate(drafts)]
        self._rotate_if_full()
        unit = Unit()
        unit.frames += marker(layout.KIND_BATCH_BEGIN, self._next, self._clock(), len(drafts))
        for draft, event_id, cause in zip(drafts, ids, causes, strict=True):
            self._place(unit, draft, event_id, cause, now)
        unit.frames += marker(layout.KIND_BATCH_COMMIT, self._next, self._clock(), 0)
        self._write(unit, "writing a batch", sync=True)
        self._unsynced = 0
        self._durable = self._next
        keyed = drafts[0].key is not None
        return [self._receipt(draft, placed, keyed=keyed) for draft, placed in zip(drafts, unit.events, strict=True)]

    def append_rows(self, rows: Rows) -> tuple[int, Any]:
        """Write the rows of a table as `append_batch` does; the first sequence, and the ids."""
        if self._midway or self._stopped is not None or self._fence is not None:
            self._refuse(None)
        now = self._clock()
        events = rows.events(self._new_id.many(now, rows.count))
        lanes = lanes_of(events, self._heads)
        self._rotate_if_full()
        first, unit, segment = self._next, Unit(), self._segment
        begin = marker(layout.KIND_BATCH_BEGIN, first, self._clock(), rows.count)
        start = Start(now, segment.size + len(begin), first, *string_numbers(events, segment.strings))
        frames, footer_rows = self._scratch.frames, self._scratch.rows
        frames[: len(begin)] = begin
        end = kernels.put_frames(frames, len(begin), footer_rows, events, lanes, start)
        commit = marker(layout.KIND_BATCH_COMMIT, first, self._clock(), 0)
        frames[end : end + len(commit)] = commit
        unit.frames = memoryview(frames)[: end + len(commit)]
        unit.rows = memoryview(footer_rows)[: rows.count * layout.FOOTER_ENTRY_SIZE]
        unit.count, unit.heads = rows.count, heads_after(events, lanes)
        unit.wall_ms = unit.heads[events.entity_names[int(events.entities[-1])], LANE].wall_ms
        try:
            self._write(unit, "writing a batch", sync=True)
        finally:
            if len(frames) > SCRATCH_BYTES or sys.exc_info()[0] is not None:
                self._scratch = Scratch()  # too much to keep; or what is raised may hold views of it
        self._unsynced = 0
        self._durable = self._next
        return first, events.event_ids

    def _write(self, unit: Unit, what: str, *, sync: bool) -> None:
        """Write and commit. Where that fails or is interrupted, all of it is cut off: nothing counts before its end."""
        begin, self._midway = self._segment.size, True
        try:
            self._segment.write(unit.frames)
            if sync:
                self._segment.sync()
        except OSError as error:
            self._segment.size = begin
            self._stop(what, error)
        except BaseException:  # Ctrl-C, most of all
            self._segment.size = begin
            with self._disk("cutting off what was interrupted"):
                self._segment.cut()
            self._midway = False
            raise
        self._commit(unit)
        self._midway = False

    def begin_fence(self, fence: Fence) -> None:
        """From here on take only what is submitted to this fence."""
        self.require_running()
        self._check_fence(None)
        self._fence = fence

    def end_fence(self, fence: Fence, *, keep: bool) -> None:
        """Keep its events, or hide them: durably before they are hidden, so that no new event gets their numbers."""
        self.require_running()
        self._check_fence(fence)
        self.sync()
        self._midway = True
        if fence.written and keep:
            self._visible = self._next
        elif fence.written:
            hidden = hidden_with(self._hidden, fence.written)
            with self._disk("hiding the events of a cancelled fence"):
                replace_file(self._files, self._directory / layout.VISIBILITY_NAME, [visibility.encode(hidden)])
            self._hidden = hidden
        self._fence = None
        self._midway = False

    def cancel_fence(self) -> None:
        """End the fence that is open, if one is."""
        if self._fence is not None:
            self.end_fence(self._fence, keep=False)

    def _refuse(self, fence: Fence | None) -> None:
        """Raise for a writer that has stopped, or for a fence that is not the open one."""
        self.require_running()
        self._check_fence(fence)

    def _check_fence(self, fence: Fence | None) -> None:
        if fence is self._fence:
            return
        if fence is None:
            raise FenceActiveError(
                "A visibility fence is open on this store. Submit to it, or commit or cancel it first.",
                path=self._directory,
            )
        raise FenceEndedError("This visibility fence has ended. Begin another one.", path=self._directory)

    def sync(self) -> None:
        """Return when every event appended so far is on disk."""
        self.require_running()
        with self._disk("syncing the segment"):
            self._segment.sync()
        self._durable = self._next
        self._unsynced = 0

    def seal(self) -> None:
        """Seal the segment being written, whatever its size, as one that stays when those before it change; the next
        append begins another.

        Raises OSError where the footer could not be written: the segment is then as it was, and the store goes on.
        """
        self.sync()
        if self._segment.sealed:
            return
        end, self._midway = self._segment.size, True
        try:
            self._segment.write_footer(covering(self._segment.rows, end))
        except OSError:
            self._segment.size = end
            with self._disk("cutting off a footer"):
                self._segment.cut()
            self._midway = False
            raise
        with self._disk("sealing the segment"):
            self._segment.sync()
        self._segment.sealed = True
        self._midway = False

    def finish(self) -> None:
        """Seal the segment, unless a failure ended the writer, and let go of it."""
        try:
            if not self.stopped:
                with self._disk("sealing the segment"):
                    self._segment.seal()
                self._durable = self._next
        finally:
            self._segment.close()

    def abandon(self) -> None:
        """Let go of the segment as it is."""
        self._segment.close()

    def require_running(self) -> None:
        """Raise `StoreClosedError` once a failure of the disk ended this writer."""
        if self._midway and self._stopped is None:
            self._stopped = WriteFailedError(
                "an interrupt came in the middle of a call; the next open shows whether its events are kept, and those "
                "of earlier calls are.",
                durable_sequence=self.durable_sequence,
                written_sequence=self.last_sequence,
                path=self._directory,
            )
        if self._stopped is not None:
            raise StoreClosedError(
                f"The store has stopped: {self._stopped} Nothing was written now; close it and open it again.",
                path=self._directory,
            ) from self._stopped

    def _check_clock(self, draft: Draft, expected: int) -> None:
        head = self._heads.get((draft.entity, draft.lane))
        actual = NO_EVENTS if head is None else head.clock
        if expected != actual:
            raise ClockMismatchError(
                f"The latest clock of {draft.entity!r} on lane {draft.lane} is {actual}, not {expected} "
                f"({NO_EVENTS} means no events). Nothing was written; read the lane again and decide anew.",
                expected=expected,
                actual=actual,
            )

    def _replayed(self, key: bytes | None) -> Receipt | None:
        known = None if key is None else self._history.find(key)
        return None if known is None else known._replace(durable=known.global_sequence < self._durable)

    def _replayed_batch(self, drafts: Sequence[Draft]) -> list[Receipt] | None:
        """The receipts of a batch whose keys were all used, None where none was; a part of a batch is refused."""
        keys = [draft.key for draft in drafts if draft.key is not None]
        if not keys:
            return None
        if len(keys) < len(drafts):
            raise AppendRefusedError(
                f"{len(keys)} of {len(drafts)} items have an idempotency key. Give one to every item, or to none.",
                expected=len(drafts),
                actual=len(keys),
            )
        if len(set(keys)) < len(keys):
            raise AppendRefusedError("Two items have the same idempotency key. Give each one of its own.")
        known = [one for key in keys if (one := self._replayed(key)) is not None]
        if known and len(known) < len(keys):
            raise AppendRefusedError(
                f"{len(known)} of {len(keys)} idempotency keys were used before, so the batch is neither new nor a "
                f"repetition. Append the others by themselves.",
                expected=len(keys),
                actual=len(known),
            )
        return known or None

    def _check_batch(self, drafts: Sequence[Draft]) -> None:
        size = sum(draft.size_bytes for draft in drafts)
        limits = (
            (len(drafts), self._config.batch_max_items, "items", "batch_max_items"),
            (size, self._config.batch_max_bytes, "bytes of payloads and extensions", "batch_max_bytes"),
        )
        for actual, most, what, option in limits:
            if actual > most:
                raise AppendRefusedError(
                    f"The batch has {actual} {what} and may have {most}. Split it, or raise {option}.",
                    expected=most,
                    actual=actual,
                )

    def _place(self, unit: Unit, draft: Draft, event_id: bytes, cause: bytes | None, now_us: int) -> Placed:
        """Add an event to what will be written: its clock and link, its frame, its footer row."""
        lane = draft.entity, draft.lane
        head = unit.heads.get(lane) or self._heads.get(lane)
        clock, wall_ms, prev_hash = 0, now_us // 1000, layout.ZERO_HASH
        if head is not None:
            clock, wall_ms, prev_hash = head.clock + 1, max(wall_ms, head.wall_ms), head.event_hash
            if clock > layout.U32_MAX:
                raise AppendRefusedError(
                    f"{draft.entity!r} has used every clock of lane {draft.lane}. Use another lane."
                )
        segment, strings = self._segment, self._segment.strings
        event_hash = blake3(draft.payload).digest()
        offset, sequence = segment.size + len(unit.frames), self._next + unit.count
        if sequence >= layout.U64_MAX:
            raise AppendRefusedError("The store has used every sequence number. Append to a new one.", actual=sequence)
        length = kernels.put_frame(
            unit.frames, unit.rows, event_id, draft.correlation_id or event_id, cause, now_us, wall_ms, draft.depth,
            draft.lane, clock, draft.kind, draft.flags, draft.payload_version, draft.payload, prev_hash, event_hash,
            draft.entity, draft.scope, encode_extensions(draft.extensions) if draft.extensions else NO_EXTENSIONS,
            strings.setdefault(draft.entity, len(strings)), strings.setdefault(draft.scope, len(strings)), offset,
            sequence,
        )  # fmt: skip
        unit.heads[lane] = Head(wall_ms, clock, event_hash)
        unit.wall_ms = wall_ms
        placed = Placed(event_id, sequence, clock, draft.lane, event_hash, prev_hash, offset, length)
        unit.events.append(placed)
        unit.count += 1
        return placed

    def _rotate_if_full(self) -> None:
        """Seal before creating: a crash between leaves every segment but the last with a footer."""
        if self._segment.size < self._config.segment_max_bytes and not self._segment.sealed:
            return
        self._midway = True
        with self._disk("starting a new segment"):
            self._segment.seal()
            self._durable = self._next
            self._unsynced = 0
            following = ActiveSegment(
                self._files, self._directory, self._segment.segment_id + 1, self._clock() * 1000
            )  # fmt: skip
            following.follow(self._segment)
            self._segment = following
        self._midway = False

    def _commit(self, unit: Unit) -> None:
        """From here on the events that were written count."""
        self._segment.record(unit.rows)
        self._heads.update(unit.heads)
        self.wall_ms = unit.wall_ms
        self._next += unit.count
        if self._fence is None:
            self._visible = self._next
        else:
            self._fence.written += [(placed.sequence, placed.lane) for placed in unit.events]

    def _receipt(self, draft: Draft, placed: Placed, *, keyed: bool) -> Receipt:
        event_id, sequence, clock, lane, event_hash, prev_hash, offset, length = placed
        receipt = Receipt(
            event_id, sequence, clock, lane, event_hash, self._segment.segment_id, offset, length,
            sequence < self._durable,
        )  # fmt: skip
        if keyed:
            self._history.record(draft, receipt, prev_hash)
        return receipt

    @contextmanager
    def _disk(self, what: str) -> Iterator[None]:
        """Stop for good when the disk fails: what a failed sync left behind cannot be known without a new open."""
        try:
            yield
        except OSError as error:
            self._stop(what, error)

    def _stop(self, what: str, error: OSError) -> NoReturn:
        self._stopped = self._failure(what, error)
        raise self._stopped from error

    def _failure(self, what: str, error: OSError) -> WriteFailedError:
        segment = getattr(self, "_segment", None)
        tail = "No segment was begun."
        if segment is not None:
            try:
                segment.cut()
                tail = "What this call had begun to write was cut off again."
            except OSError as second:
                tail = f"A part of what this call began to write may stand at byte {segment.size} ({second.strerror})."
        on_disk = "no event is known to be" if self._durable == 0 else f"events up to {self._durable - 1} are"
        at_risk = "" if self._next == self._durable else f"; {self._durable} to {self._next - 1} may not be"
        path = segment.path if segment else self._directory
        return WriteFailedError(
            f"{what} failed in {path} ({error.strerror or error}). {tail} On disk, {on_disk}{at_risk}. "
            f"The writer has stopped: free or replace the disk, then open the store again.",
            durable_sequence=self.durable_sequence,
            written_sequence=self.last_sequence,
            path=path,
            segment_id=segment.segment_id if segment else None,
            offset=segment.size if segment else None,
        )


def _cause(draft: Draft, index: int, ids: Sequence[bytes]) -> bytes | None:
    """The id of the cause of the batch item at `index`."""
    cause = draft.causation
    if not isinstance(cause, PriorItem):
        return cause
    if not 0 <= cause.index < index:
        raise AppendRefusedError(
            f"Item {index} names item {cause.index} as its cause. A cause comes before its effect.", actual=cause.index
        )
    return ids[cause.index]
