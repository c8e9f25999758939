"""Ways to copy a store and to import one, each through files that a test chooses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import batpak_analytics as bp
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.copies import copying
from batpak_analytics.store.copies.source import source_of_view
from batpak_analytics.store.files import Files
from batpak_analytics.store.store import Store

KIND = 0x1001
Case = Callable[[Path, Path, Files], Any]
"""Does it: of the store at the first path, to the second, which a copy makes and an import adds to."""


def written(path: Path) -> Path:
    """A store of several segments, with a batch, causes, keys and hidden events, which was killed while it was open."""
    with Store.open(path, config=StoreConfig(segment_max_bytes=1_200)) as store:
        cause = None
        for number in range(5):
            one = store.append(f"order:{number % 2}", "shop", KIND, {"n": number}, causation_id=cause)
            cause = one.event_id
        fence = store.begin_fence()
        fence.submit("order:1", "shop", KIND, {"n": -1}, idempotency_key=7)
        fence.cancel()
        store.append_batch([bp.BatchItem(f"order:{number}", "shop", KIND, {"n": number}) for number in range(3)])
    store = Store.open(path)
    store.append("order:1", "shop", KIND, {"n": 7}, idempotency_key=8)
    store.sync()
    store._running().abandon()
    store._writer = None
    store._let_go()
    return path


def _of_reader(kind: str, **options: Any) -> Case:
    def run(path: Path, dest: Path, files: Files) -> None:
        with bp.open_reader(path) as reader:
            copy: Any = getattr(copying, kind)
            copy(path, lambda: source_of_view(reader.view), files, dest, keys="refuse", **options)

    return run


def _of_store(kind: str, **options: Any) -> Case:
    def run(path: Path, dest: Path, files: Files) -> None:
        with Store.open(path, files=files) as store:
            getattr(store, kind)(dest, **options)

    return run


def importing(path: Path, dest: Path, files: Files) -> None:
    """Three chunks and more, into a store that is there already."""
    with Store.open(dest, config=StoreConfig(segment_max_bytes=2_000), files=files) as store:
        store.import_events(path, namespace="src", chunk_size=3)


COPIES: dict[str, Case] = {
    "snapshot by a reader": _of_reader("snapshot"),
    "fork by a reader": _of_reader("fork", copy="reflink", exclude_caches=True),
    "snapshot by a store": _of_store("snapshot"),
    "fork by a store": _of_store("fork", copy="hardlink"),
}
