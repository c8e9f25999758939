"""Readers follow a store that another process compacts again and again: nothing is lost, doubled or comes back."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

import batpak_analytics as bp

COMPACTOR = Path(__file__).with_name("killed_compactor.py")
SECONDS = 8
COLUMNS = ["event_id", "global_sequence", "payload"]


@contextmanager
def compacting(path: Path, seed: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that appends and compacts for as long as the block runs."""
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, str(COMPACTOR), str(path), str(seed)], stdout=out)
        try:
            while log.stat().st_size == 0 and process.poll() is None:
                time.sleep(0.01)
            yield process
        finally:
            process.kill()
            process.wait()


class Lines:
    """What the process said so far: events that are acknowledged and not dropped, and those that may have been."""

    def __init__(self, log: Path) -> None:
        self._log, self._read = log, 0
        self.sure: set[bytes] = set()
        self.going: set[bytes] = set()
        self.dropped: set[bytes] = set()
        self.compactions = 0

    def read(self) -> None:
        text = self._log.read_bytes()
        end = text.rfind(b"\n") + 1
        for line in text[self._read : end].decode().splitlines():
            word, *ids = line.split()
            events = {bytes.fromhex(one) for one in ids}
            if word == "appended":
                self.sure |= events
            elif word == "dropping":
                self.going |= events
                self.sure -= events
            else:
                self.dropped |= self.going
                self.compactions += 1
        self._read = end


def table(reader: bp.Reader) -> pa.Table:
    return reader.refresh().events(columns=COLUMNS, payload="binary", system=True).to_arrow()


def test_follower_never_misses_doubles_or_sees_again(tmp_path: Path) -> None:
    path, log = tmp_path / "store", tmp_path / "lines"
    known: dict[bytes, tuple[int, bytes]] = {}
    views = 0
    with compacting(path, 5, log) as process:
        lines, reader = Lines(log), bp.open_reader(path)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            lines.read()
            sure, gone = set(lines.sure), set(lines.dropped)
            now = table(reader)
            lines.read()  # a compaction may have begun to drop since
            ids, numbers = now["event_id"].to_pylist(), now["global_sequence"].to_pylist()
            shown = set(ids)
            assert len(shown) == len(ids)
            assert numbers == sorted(set(numbers))
            assert not (sure - lines.going) - shown, "an acknowledged event is missing"
            assert not gone & shown, "a dropped event is back"
            for event, number, payload in zip(ids, numbers, now["payload"].to_pylist(), strict=True):
                assert known.setdefault(event, (number, payload)) == (number, payload)
            views += 1
        assert process.poll() is None
        assert views > 10 and lines.compactions > 2


def test_view_from_before_a_compaction_can_be_read_to_its_end(tmp_path: Path) -> None:
    path, log = tmp_path / "store", tmp_path / "lines"
    with compacting(path, 6, log) as process:
        lines = Lines(log)
        for _ in range(5):
            with bp.open_reader(path) as reader:
                count = reader.events(system=True).count()
                begun = reader.events(columns=COLUMNS, payload="binary", system=True).to_batches(50)
                first = next(begun)
                lines.read()
                compactions, until = lines.compactions, time.monotonic() + 20
                while lines.compactions <= compactions and time.monotonic() < until:
                    time.sleep(0.02)
                    lines.read()
                assert lines.compactions > compactions
                assert first.num_rows + sum(batch.num_rows for batch in begun) == count
        assert process.poll() is None
