"""How much memory streaming takes: anonymous memory of a process above what it had after its imports.

Mapped files are not in it: the kernel takes their pages back whenever it likes. Arrow's pool is.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import children
from tests.benchmarks.progress import say

SAMPLE_SECONDS = 0.001
ANONYMOUS = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Streamed:
    """The peaks while one store was streamed."""

    events: int
    anonymous_bytes: int
    pool_bytes: int


def stream(store: Path, events: int) -> Streamed:
    """Stream the store in a new process and sample that process from this one."""
    process = children.start("streaming", store)
    assert process.stdout is not None
    process.stdout.readline()
    before = _anonymous_bytes(process.pid)
    with _Sampler(process) as sampler:
        report = json.loads(children.finish(process, "go\n"))
    if report["rows"] != events:
        raise AssertionError(f"{report['rows']} of {events} rows were streamed")
    say(f"streaming {events:,} events: {(sampler.peak - before) / 1e6:.0f} MB above the imports")
    return Streamed(events, sampler.peak - before, report["pool_bytes"])


def _anonymous_bytes(pid: int) -> int:
    """Anonymous memory of a process; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = ANONYMOUS.search(status)
    return 1024 * int(found[1]) if found else 0


class _Sampler:
    """Notes the peak of a process's anonymous memory while the block runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.peak = 0
        self._pid = process.pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, _anonymous_bytes(self._pid))

    def __enter__(self) -> _Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
