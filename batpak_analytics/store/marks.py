"""How far a store has come, and waiting until it has come so far (engine-write 17)."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from batpak_analytics.errors import WaitTimeoutError

if TYPE_CHECKING:
    from batpak_analytics.store.writer import Writer

Mark = Literal["written", "durable", "visible"]


@dataclass(frozen=True, slots=True)
class Watermarks:
    """The latest global sequence that is accepted, written, on disk and visible, all at one moment; None for none.

    An append is accepted and written in one step here, so the first two are equal whenever anyone looks. `visible`
    stops in front of a fence that is open, and is ahead of `durable` between two syncs.
    """

    accepted: int | None
    written: int | None
    durable: int | None
    visible: int | None


class Turns(threading.Condition):
    """The lock of a store: one thread at a time, and those that wait hear of it when a turn ends.

    Every append takes it, so a turn for which nobody waits costs little more than a plain lock.
    """

    def __init__(self) -> None:
        super().__init__(threading.Lock())
        self._waiting = 0

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._waiting:
            self.notify_all()
        self.release()

    def wait(self, timeout: float | None = None) -> bool:
        """As a condition's, counted."""
        self._waiting += 1
        try:
            return super().wait(timeout)
        finally:
            self._waiting -= 1


def marks_of(writer: Writer) -> Watermarks:
    """Where a writer is."""
    written = writer.last_sequence
    return Watermarks(written, written, writer.durable_sequence, writer.visible_sequence)


def look(writer: Writer, mark: Mark, sequence: int, *, push: bool) -> int | None:
    """Where the mark is, after a sync where that is what it lacks and `push` allows one (trap T13).

    Raises `StoreClosedError` where it will never cover the sequence, and for ``durable`` on a stopped writer always:
    what a failed sync left on disk is not known. The others look first (trap T22).
    """
    if mark == "durable":
        writer.require_running()
        if push and covers(writer.last_sequence, sequence) and not covers(writer.durable_sequence, sequence):
            writer.sync()
    now: int | None = getattr(marks_of(writer), mark)
    if not covers(now, sequence):
        writer.require_running()
    return now


def covers(mark: int | None, sequence: int) -> bool:
    """Whether a mark has come to a sequence."""
    return mark is not None and mark >= sequence


def wait_until(
    turns: Turns, mark: Mark, sequence: int, timeout: float | None, now_at: Callable[[], int | None]
) -> None:
    """Return when the mark covers `sequence`. `turns` is held by the caller, and let go of while waiting.

    `now_at` gives where the mark is, and raises where it will never come so far.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while not covers(now := now_at(), sequence):
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            raise WaitTimeoutError(
                f"After {timeout} s the store is {mark} up to {now}, not {sequence}. No event was undone. Wait longer, "
                f"or ask for a sequence that a receipt has given.",
                expected=sequence,
                actual=now,
            )
        turns.wait(left)


class Waiting(ABC):
    """Asking how far a store has come, and waiting for it. Threads may wait while others append."""

    _lock: Turns

    @abstractmethod
    def _marks(self) -> Watermarks:
        """Where the open store is; the lock is held."""

    @abstractmethod
    def _mark(self, mark: Mark, sequence: int, *, push: bool) -> int | None:
        """As `look`, for a store that may be closed; the lock is held."""

    def watermarks(self) -> Watermarks:
        """How far the store has come: the latest sequence written, on disk and visible, at one moment."""
        with self._lock:
            return self._marks()

    def wait_for_written(self, sequence: int, timeout: float | None = None) -> None:
        """Return when this sequence was given to an event, by any thread.

        Raises `WaitTimeoutError` after `timeout` seconds (0 only looks), and `StoreClosedError` when the store closes
        or stops before.
        """
        self._wait("written", sequence, timeout)

    def wait_for_visible(self, sequence: int, timeout: float | None = None) -> None:
        """Return when the event of this sequence is visible: behind a fence, after its commit.

        Events that a fence took back count as passed once a later one is visible. Raises as `wait_for_written`.
        """
        self._wait("visible", sequence, timeout)

    def wait_for_durable(self, sequence: int, timeout: float | None = None) -> None:
        """Return when every event up to this sequence is on disk; those that are written are synced for it at once.

        A timeout ends the waiting for the event, not a sync that has begun. Raises as `wait_for_written`,
        `WriteFailedError` where the sync fails, and `StoreClosedError` on a store that a failure has stopped, whatever
        was on disk before.
        """
        self._wait("durable", sequence, timeout)

    def _wait(self, mark: Mark, sequence: int, timeout: float | None) -> None:
        with self._lock:
            wait_until(self._lock, mark, sequence, timeout, lambda: self._mark(mark, sequence, push=timeout != 0))
