"""The life of a `Store`: it takes the directory's lock, is taken up from what is on disk, and ends once."""

from __future__ import annotations

import os
import time
import warnings
from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING, Self

from batpak_analytics.engine.view import given_path
from batpak_analytics.errors import BatpakError, StoreClosedError, WriteFailedError
from batpak_analytics.format import layout
from batpak_analytics.payloads.default import default_registry
from batpak_analytics.store import lifecycle
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.files import Files
from batpak_analytics.store.idempotency import KeyHistory
from batpak_analytics.store.live import LiveRows
from batpak_analytics.store.marks import Turns, Watermarks, marks_of
from batpak_analytics.store.recovered import recover
from batpak_analytics.store.report import OpenReport
from batpak_analytics.store.writer import Writer

if TYPE_CHECKING:
    from batpak_analytics.reader import Reader


class Lifetime(ABC):
    """A writer and the directory it holds, from opening to `close` or `drop`, in the process that opened it."""

    def __init__(
        self, path: str | os.PathLike[str], *, config: StoreConfig | None = None, files: Files | None = None
    ) -> None:  # fmt: skip
        """As `Store.open`."""
        if not isinstance(config, StoreConfig | None):
            raise TypeError(f"config={config!r}: give a bp.StoreConfig(...), or None for the usual one.")
        directory, config, files = given_path(path), config or StoreConfig(), files or Files()
        self._lock = Turns()
        self._owner = os.getpid()
        self._config = config
        self._payloads = config.payloads or default_registry
        self._payloads.validate(config.payload_validation, stacklevel=4)
        self._files = files
        self._writer: Writer | None = None
        self._last_marks: Watermarks | None = None
        self._own_reader: Reader | None = None
        try:
            files.make_directory(directory)
        except OSError as error:
            raise WriteFailedError(
                f"{directory} could not be created durably ({error.strerror or error}). Nothing was written; free or "
                f"replace the disk, or give another directory.",
                path=directory,
            ) from error
        self._path = directory.resolve()
        self._held: int | None = files.lock(self._path / layout.LOCK_NAME)
        try:
            self._begin()
        except BaseException:
            self._let_go()
            raise

    @abstractmethod
    def _before_end(self) -> None:
        """What is left to do with the writer, in its last turn."""

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
            writer.append(lifecycle.opened(state, elapsed_us), at_us=wall_ms * 1000, remember=True)
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
    def open_report(self) -> OpenReport:
        """What opening found, and what it repaired."""
        return self._report

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
                        self._before_end()
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

    def __del__(self) -> None:
        """A store that nobody closed, and nobody can close any more: what it holds would keep all others out."""
        if getattr(self, "_held", None) is None or os.getpid() != self._owner:
            return
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                writer.abandon()
        finally:
            self._let_go()
        told = f"{self._path} was not closed: its last events may not be on disk yet. Close it, or use a with block."
        warnings.warn(told, ResourceWarning, stacklevel=2)

    def _check_open(self) -> None:
        with self._lock:
            self._running()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _append_closing(writer: Writer) -> None:
    sequence = writer.last_sequence
    assert sequence is not None  # the opening event is there
    writer.append(lifecycle.closed(writer.wall_ms, sequence), at_us=writer.wall_ms * 1000, remember=True)
