"""A process of its own that holds a store open, and says how much memory that takes.

Its arguments are a store, and for one that is written to, how many events to append with payloads of how many bytes. It
prints, for each stage, its anonymous memory above what it had after its imports.
"""

from __future__ import annotations

import gc
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import batpak_analytics as bp

ANONYMOUS = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)
KIND = 0x1001
ENTITIES = 500
ASKED = 1000
AT_ONCE = 250
BATCHES = bp.StoreConfig(batch_max_bytes=16 << 20)


def anonymous_bytes() -> int:
    """Anonymous memory of this process; maps of files are not in it."""
    gc.collect()
    found = ANONYMOUS.search(Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return 1024 * int(found[1])


class Stages:
    """Notes what is held at each stage."""

    def __init__(self) -> None:
        self._before = anonymous_bytes()
        self.bytes: dict[str, int] = {}

    def note(self, stage: str) -> None:
        """What is held now."""
        self.bytes[stage] = anonymous_bytes() - self._before


def main() -> None:
    """Hold the store as a reader, or write to it."""
    for name in ("pandas", "pyarrow"):  # they come with the first use of a reader, and are none of a store's memory
        import_module(name)
    import_module("batpak_analytics.frames.read")
    path, appended = sys.argv[1], [int(number) for number in sys.argv[2:]]
    stages = Stages()
    held: Any = bp.Store.open(path, config=BATCHES) if appended else bp.open_reader(path)
    with held:
        stages.note("opened")
        _ask(held)
        stages.note("asked")
        if appended:
            _append(held, *appended)
            stages.note("appended")
            _ask(held)
            stages.note("asked again")
    print(json.dumps(stages.bytes))


def _ask(store: Any) -> None:
    """Look at some events by id, and at the entries of one entity."""
    entries = store.query()
    for place in range(0, len(entries), max(len(entries) // ASKED, 1)):
        store.get_raw(entries[place].event_id)
    for entry in store.query(bp.Region(entity=entries[len(entries) // 2].entity)):
        assert entry.entity


def _append(store: Any, events: int, payload_bytes: int) -> None:
    for first in range(0, events, AT_ONCE):
        store.append_batch(
            [
                bp.BatchItem(f"order:{number % ENTITIES}", "shop", KIND, {"note": "x" * payload_bytes})
                for number in range(first, min(first + AT_ONCE, events))
            ]
        )


if __name__ == "__main__":
    main()
