"""How much memory an open store takes, by events and by payload bytes: `opened` in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from tests.benchmarks import children
from tests.benchmarks.limits import Verdict
from tests.benchmarks.progress import say
from tests.benchmarks.report import NONE, Line
from tests.benchmarks.stores import Stores

PAYLOAD_LIMIT_MB = 20.0
"""By which an open store may be larger for payloads a hundred times larger."""
SIZES = (60, 6000)


def holding_lines(stores: Stores, main: Path, events: int) -> list[Line]:
    """A reader and a store of a quarter of the events and of all; then stores that write, with either payload."""
    quarter = stores.everyday(events // 4)
    lines = []
    for count, path in ((events // 4, quarter), (events, main)):
        lines.append(_line(f"a reader of {count:,} events", hold(path), count))
        with tempfile.TemporaryDirectory(dir=stores.directory) as scratch:
            copy = Path(scratch) / "store"
            shutil.copytree(path, copy, copy_function=os.link)
            lines.append(_line(f"a store of {count:,} events", hold(copy, 1, 60), count))
    few = events // 25
    for count, sizes in ((events, SIZES[:1]), (few, SIZES)):
        found = [_written(stores.directory, count, size) for size in sizes]
        titles = [f"a new store that appends {count:,} events with payloads of {size:,} bytes" for size in sizes]
        lines += [_line(title, one, count) for title, one in zip(titles, found, strict=True)]
    return [*lines[:-1], _judged(lines[-1], (max(found[1].values()) - max(found[0].values())) / 1e6)]


def hold(path: Path, *appended: int) -> dict[str, int]:
    """Bytes held at each stage."""
    stages: dict[str, int] = json.loads(children.finish(children.start("opened", path, *map(str, appended))))
    say(f"{path.name}: " + ", ".join(f"{name} {taken / 1e6:.1f} MB" for name, taken in stages.items()))
    return stages


def _written(folder: Path, events: int, payload_bytes: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        return hold(Path(scratch) / "store", events, payload_bytes)


def _line(title: str, stages: dict[str, int], events: int) -> Line:
    most = max(stages.values())
    told = ", ".join(f"{name} {taken / 1e6:.0f} MB" for name, taken in stages.items())
    return Line(title, (f"{most / 1e6:.0f} MB", told, f"{most / events:.0f} bytes", NONE, NONE, NONE))


def _judged(line: Line, more_mb: float) -> Line:
    limit = f"≤ {PAYLOAD_LIMIT_MB:.0f} MB more than with payloads of {SIZES[0]} bytes"
    return Line(line.title, line.cells, (Verdict(limit, f"{more_mb:.0f} MB more", more_mb <= PAYLOAD_LIMIT_MB),))
