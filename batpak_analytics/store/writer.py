"""The one order of a store: ids, clocks, links, frames, segments and what is on disk. One thread at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from batpak_analytics.errors import (
    AppendRefusedError,
    ClockMismatchError,
    FenceActiveError,
    FenceEndedError,
    StoreClosedError,
    WriteFailedError,
)
from batpak_analytics.format import layout
from batpak_analytics.format.event import encode_event
from batpak_analytics.format.frame import encode_frame
from batpak_analytics.format.sidecars import visibility
from batpak_analytics.model import Event, EventKind, HashChain, Position, Receipt
from batpak_analytics.store.clock import MonotoneClock, new_id
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.fence import Fence, hidden_with
from batpak_analytics.store.files import Files, replace_file
from batpak_analytics.store.idempotency import KeyHistory
from batpak_analytics.store.items import Draft, PriorItem
from batpak_analytics.store.recovered import Head, Recovered
from batpak_analytics.store.segment import ActiveSegment

NO_EVENTS = -1


class Framed(NamedTuple):
    """An event with its bytes, ready to be written."""

    event: Event
    frame: bytes


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
        self._next = state.next_sequence
        self._durable = state.next_sequence
        self._hidden = state.hidden
        self._fence: Fence | None = None
        self._unsynced = 0
        self._stopped: WriteFailedError | None = None
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
    def stopped(self) -> bool:
        """Whether a failure of the disk ended this writer."""
        return self._stopped is not None

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
        self._require_running()
        self._check_fence(fence)
        known = self._replayed(draft.key)
        if known is not None:
            return known
        self._check_clock(draft, expected_clock)
        now = self._clock() if at_us is None else at_us
        framed = self._framed(draft, draft.key or new_id(now), draft.causation, now, self._heads)
        self._rotate_if_full()
        with self._disk("writing one event"):
            offset = self._segment.write(framed.frame)
        (place,) = self._commit([framed], offset)
        self._unsynced += 1
        every = self._config.sync_every
        if every is not None and self._unsynced >= every:
            self.sync()
        return self._receipt(framed.event, place, keyed=remember or draft.key is not None)

    def append_batch(self, drafts: Sequence[Draft], fence: Fence | None = None) -> list[Receipt]:
        """Write all or nothing, in one segment, on disk when this returns."""
        self._require_running()
        self._check_fence(fence)
        self._check_batch(drafts)
        known = self._replayed_batch(drafts)
        if known is not None or not drafts:
            return known or []
        now = self._clock()
        framed = self._framed_batch(drafts, now)
        begin = _marker(layout.KIND_BATCH_BEGIN, self._next, self._clock(), len(drafts))
        commit = _marker(layout.KIND_BATCH_COMMIT, self._next, self._clock(), 0)
        self._rotate_if_full()
        with self._disk("writing a batch"):
            offset = self._segment.write(b"".join([begin, *(one.frame for one in framed), commit]))
            try:
                self._segment.sync()
            except OSError:
                # Nothing of a batch counts before it is on disk.
                self._segment.size = offset
                raise
        places = self._commit(framed, offset + len(begin))
        self._unsynced = 0
        self._durable = self._next
        keyed = drafts[0].key is not None
        return [self._receipt(one.event, place, keyed=keyed) for one, place in zip(framed, places, strict=True)]

    def begin_fence(self, fence: Fence) -> None:
        """From here on take only what is submitted to this fence."""
        self._require_running()
        self._check_fence(None)
        self._fence = fence

    def end_fence(self, fence: Fence, *, keep: bool) -> None:
        """Keep its events, or hide them: durably before they are hidden, so that no new event gets their numbers."""
        self._require_running()
        self._check_fence(fence)
        self.sync()
        self._fence = None
        if keep or not fence.written:
            return
        hidden = hidden_with(self._hidden, fence.written)
        with self._disk("hiding the events of a cancelled fence"):
            replace_file(self._files, self._directory / layout.VISIBILITY_NAME, [visibility.encode(hidden)])
        self._hidden = hidden

    def cancel_fence(self) -> None:
        """End the fence that is open, if one is."""
        if self._fence is not None:
            self.end_fence(self._fence, keep=False)

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
        self._require_running()
        with self._disk("syncing the segment"):
            self._segment.sync()
        self._durable = self._next
        self._unsynced = 0

    def finish(self) -> None:
        """Seal the segment, unless a failure ended the writer, and let go of it."""
        try:
            if self._stopped is None:
                with self._disk("sealing the segment"):
                    self._segment.seal()
                self._durable = self._next
        finally:
            self._segment.close()

    def abandon(self) -> None:
        """Let go of the segment as it is."""
        self._segment.close()

    def _require_running(self) -> None:
        if self._stopped is not None:
            raise StoreClosedError(
                f"The store stopped when a write failed ({self._stopped}). Nothing was written now; close it and open "
                f"it again.",
                path=self._directory,
            ) from self._stopped

    def _check_clock(self, draft: Draft, expected: int | None) -> None:
        head = self._heads.get((draft.entity, draft.lane))
        actual = NO_EVENTS if head is None else head.clock
        if expected is not None and expected != actual:
            raise ClockMismatchError(
                f"The latest clock of {draft.entity!r} on lane {draft.lane} is {actual}, not {expected} "
                f"({NO_EVENTS} means no events). Nothing was written; read the lane again and decide anew.",
                expected=expected,
                actual=actual,
            )

    def _replayed(self, key: bytes | None) -> Receipt | None:
        known = None if key is None else self._history.find(key)
        return None if known is None else replace(known, durable=known.global_sequence < self._durable)

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

    def _framed_batch(self, drafts: Sequence[Draft], now: int) -> list[Framed]:
        """The events of a batch: each follows the heads that those in front of it leave."""
        heads = _Ahead(self._heads)
        ids = [draft.key or new_id(self._clock()) for draft in drafts]
        framed = []
        for index, draft in enumerate(drafts):
            cause = draft.causation
            if isinstance(cause, PriorItem):
                if not 0 <= cause.index < index:
                    raise AppendRefusedError(
                        f"Item {index} names item {cause.index} as its cause. A cause comes before its effect.",
                        actual=cause.index,
                    )
                cause = ids[cause.index]
            one = self._framed(draft, ids[index], cause, now, heads)
            heads[draft.entity, draft.lane] = _head_of(one.event)
            framed.append(one)
        return framed

    def _framed(
        self,
        draft: Draft,
        event_id: bytes,
        cause: bytes | PriorItem | None,
        now_us: int,
        heads: dict[tuple[str, int], Head],
    ) -> Framed:
        if isinstance(cause, PriorItem):
            raise AppendRefusedError("PriorItem names an item of a batch. Pass the id of the cause.")
        head = heads.get((draft.entity, draft.lane))
        clock = 0 if head is None else head.clock + 1
        if clock > layout.U32_MAX:
            raise AppendRefusedError(f"{draft.entity!r} has used every clock of lane {draft.lane}. Use another lane.")
        wall_ms = max(now_us // 1000, head.wall_ms if head else 0)
        event_hash = blake3(draft.payload).digest()
        event = Event(
            event_id=event_id,
            correlation_id=draft.correlation_id or event_id,
            causation_id=cause,
            timestamp_us=now_us,
            position=Position(wall_ms, 0, draft.depth, draft.lane, clock),
            payload_size=len(draft.payload),
            kind=draft.kind,
            flags=draft.flags,
            content_hash=event_hash,
            payload_version=draft.payload_version,
            payload_encryption=None,
            payload=draft.payload,
            hash_chain=HashChain(head.event_hash if head else layout.ZERO_HASH, event_hash),
            entity=draft.entity,
            scope=draft.scope,
            extensions=draft.extensions,
        )
        return Framed(event, encode_frame(encode_event(event)))

    def _rotate_if_full(self) -> None:
        """Seal before creating: a crash between leaves every segment but the last with a footer."""
        if self._segment.size < self._config.segment_max_bytes:
            return
        with self._disk("starting a new segment"):
            self._segment.seal()
            self._durable = self._next
            self._unsynced = 0
            following = ActiveSegment(
                self._files, self._directory, self._segment.segment_id + 1, self._clock() * 1000
            )  # fmt: skip
            self._segment.close()
            self._segment = following

    def _commit(self, framed: Sequence[Framed], offset: int) -> list[tuple[int, int, int]]:
        """Give written events their sequences; (sequence, offset, length) of each."""
        places = []
        for event, frame in framed:
            self._segment.record(event, offset, len(frame), self._next)
            self._heads[event.entity, event.position.lane] = _head_of(event)
            places.append((self._next, offset, len(frame)))
            self.wall_ms = event.position.wall_ms
            if self._fence is not None:
                self._fence.written.append((self._next, event.position.lane))
            self._next += 1
            offset += len(frame)
        return places

    def _receipt(self, event: Event, place: tuple[int, int, int], *, keyed: bool) -> Receipt:
        sequence, offset, length = place
        receipt = Receipt(
            event.event_id, sequence, event.position.clock, event.position.lane, event.content_hash,
            self._segment.segment_id, offset, length, sequence < self._durable,
        )  # fmt: skip
        self._history.note(event.event_id)
        if keyed:
            self._history.record(event, receipt)
        return receipt

    def interrupt(self, error: BaseException) -> None:
        """Stop for good: an exception from outside came in the middle of a call, and how far that was is not known."""
        if self._stopped is None:
            self._stopped = WriteFailedError(
                f"{type(error).__name__} came in the middle of a call. The next open shows whether its events are "
                f"kept; those of earlier calls are. The writer has stopped: open the store again.",
                durable_sequence=self.durable_sequence,
                written_sequence=self.last_sequence,
                path=self._directory,
            )

    @contextmanager
    def _disk(self, what: str) -> Iterator[None]:
        """Stop for good when the disk fails: what a failed sync left behind cannot be known without a new open."""
        try:
            yield
        except OSError as error:
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


class _Ahead(dict[tuple[str, int], Head]):
    """Heads as a batch under way moves them; those it has not touched are the store's."""

    def __init__(self, settled: dict[tuple[str, int], Head]) -> None:
        super().__init__()
        self._settled = settled

    def __missing__(self, key: tuple[str, int]) -> Head:
        return self._settled[key]

    def get(self, key: tuple[str, int], default: Head | None = None) -> Head | None:  # type: ignore[override]
        """The newer of both."""
        return super().get(key) or self._settled.get(key, default)


def _head_of(event: Event) -> Head:
    return Head(event.position.wall_ms, event.position.clock, event.content_hash)


def _marker(kind: int, batch: int, now_us: int, count: int) -> bytes:
    """A frame that opens or commits a batch; `batch` is the sequence of its first event."""
    batch_id = batch.to_bytes(layout.ID_SIZE, "big")
    event = Event(
        event_id=batch_id, correlation_id=batch_id, causation_id=None, timestamp_us=now_us,
        position=Position(now_us // 1000), payload_size=count, kind=EventKind(kind), flags=0,
        content_hash=layout.ZERO_HASH, payload_version=0, payload_encryption=None, payload=b"", hash_chain=None,
        entity=layout.BATCH_ENTITY, scope=layout.BATCH_SCOPE,
    )  # fmt: skip
    return encode_frame(encode_event(event))
