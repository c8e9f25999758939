"""Drives an application that writes and compacts while readers watch: followers in threads, witnesses of compactions.

A witness is a reader that was opened before a compaction begins and is finished after it has ended: at once, or only
after the next one, when even the segment that was being written has been compacted away.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

import batpak_analytics as bp
from batpak_analytics.errors import ViewExpiredError
from tests.interop.following import Follower, Receipts, scan, without_lifecycle
from tests.interop.oracle import Oracle

STREAM_BATCH = 5_000


@dataclass
class Witness:
    """A reader of the store before a compaction, with a stream begun, one not begun and all rows as they were."""

    reader: bp.Reader
    expected: pa.Table
    begun: Iterator[pa.RecordBatch]
    first: pa.RecordBatch
    waiting: Any

    @classmethod
    def open(cls, store: Path) -> Witness:
        """Open a reader and take the first batch of a stream."""
        reader = bp.open_reader(store, on_damage="raise")
        begun = cls._events(reader).to_batches(STREAM_BATCH)
        return cls(reader, scan(reader), begun, next(begun), cls._events(reader))

    @staticmethod
    def _events(reader: bp.Reader) -> Any:
        return reader.events(columns="all", payload="binary", system=True)

    def finish(self) -> bool:
        """Finish both streams and compare; returns whether the second had expired, which it may before it begins."""
        self._compare([self.first, *self.begun])
        try:
            late = self.waiting.to_batches(STREAM_BATCH)
            first = next(late)
        except ViewExpiredError:
            return True
        self._compare([first, *late])
        return False

    def _compare(self, batches: list[pa.RecordBatch]) -> None:
        table = without_lifecycle(pa.Table.from_batches(batches).unify_dictionaries())
        assert table.equals(self.expected), "a reader opened before a compaction shows something else after it"


@dataclass
class Watched:
    """What came of one run."""

    followers: list[Follower]
    compactions: int = 0
    witnesses: int = 0
    witnesses_expired: int = 0


def watch(oracle: Oracle, store: Path, make: Callable[[], list[Follower]], **options: Any) -> Watched:
    """Run the writer to its end, with every follower in a thread of its own and witnesses for each compaction.

    `make` is called when the writer has written its first events.
    """
    stop = threading.Event()
    with oracle.live(store, ask=1, **options) as process:
        assert process.stdout is not None
        process.stdout.readline()
        followers = make()
        watched = Watched(followers)
        with ThreadPoolExecutor(len(followers)) as threads:
            try:
                running = [threads.submit(follow, one, stop) for one in followers]
                _drive(process, store, watched, running)
            finally:
                stop.set()
            for future in running:
                future.result()
    assert process.returncode == 0
    return watched


def follow(follower: Follower, stop: threading.Event) -> None:
    """Step until `stop` is set, and once more."""
    while not stop.is_set():
        follower.step()
    follower.step()


def _drive(process: subprocess.Popen[str], store: Path, watched: Watched, running: list[Future[None]]) -> None:
    """Answer the writer's questions until it has closed the store."""
    assert process.stdout is not None and process.stdin is not None
    fresh: list[Witness] = []
    old: list[Witness] = []
    for line in process.stdout:
        for future in running:
            if future.done():
                future.result()  # a follower has failed: say so now
        said = json.loads(line)
        if "compacting" in said:
            fresh = [Witness.open(store), Witness.open(store)]
            process.stdin.write("\n")
            process.stdin.flush()
        if "compacted" in said:
            outcome = said["compacted"]["outcome"]
            assert outcome in ("Performed", "Skipped"), outcome
            watched.compactions += outcome == "Performed"
            _finish([*old, *fresh[:1]], watched)
            old, fresh = fresh[1:], []
    _finish(old, watched)
    process.wait()


def _finish(witnesses: list[Witness], watched: Watched) -> None:
    for witness in witnesses:
        watched.witnesses += 1
        watched.witnesses_expired += witness.finish()
        witness.reader.close()


def follower(store: Path, receipts: Path, on_damage: Any = "raise", **options: Any) -> Follower:
    """A follower with a reader of its own. In mode "raise", nothing it meets may be an error to the engine either."""
    reader = bp.open_reader(store, on_damage=on_damage)
    return Follower(reader, Receipts(receipts), **options)
