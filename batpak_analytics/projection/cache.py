"""Where states are kept between two runs: in memory, or in files as the reference's `NativeCache` lays them out.

A cache only keeps bytes under keys; whether they still hold is judged by who reads them (`kept`). So a cache can be
shared by stores, readers and processes, and its loss costs time and nothing else.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import OrderedDict
from os import PathLike
from pathlib import Path
from typing import Protocol

from batpak_analytics.format.layout import TEMPORARY_PREFIX
from batpak_analytics.format.sidecars.projection_cache import place

MEMORY_BYTES = 64 << 20
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class ProjectionCache(Protocol):
    """What `project` asks of a cache. `get` and `put` may raise `OSError`: the state is made without it then."""

    def get(self, key: bytes) -> bytes | None:
        """What was put under the key; None for nothing."""
        ...

    def put(self, key: bytes, data: bytes) -> None:
        """Keep `data` in place of what was there."""
        ...

    def discard(self, key: bytes) -> None:
        """Forget what is there; it was damaged."""
        ...


class MemoryCache:
    """States in memory, as bytes: what was given out can be changed without changing what is kept.

    The states used least recently go when all together are above `max_bytes`. Threads may share it.
    """

    def __init__(self, max_bytes: int = MEMORY_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, key: bytes) -> bytes | None:
        """As `ProjectionCache.get`."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: bytes, data: bytes) -> None:
        """As `ProjectionCache.put`; a state larger than all may be is not kept."""
        with self._lock:
            self._forget(key)
            self._kept[key] = data
            self._bytes += len(key) + len(data)
            while self._bytes > self._max_bytes:
                self._forget(next(iter(self._kept)))

    def discard(self, key: bytes) -> None:
        """As `ProjectionCache.discard`."""
        with self._lock:
            self._forget(key)

    def _forget(self, key: bytes) -> None:
        old = self._kept.pop(key, None)
        if old is not None:
            self._bytes -= len(key) + len(old)

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"MemoryCache({len(self)} states, {self._bytes} bytes)"


class DirectoryCache:
    """States in files under `root`, one each, published by rename and readable by their owner only.

    States are in clear: whoever reads the folder reads what was made of the payloads, and whoever writes there decides
    what is given. Nothing is synced: after a crash
    a state may be missing or torn, and is made again. Processes may share the folder. Keep it outside the store.
    """

    def __init__(self, root: str | PathLike[str]) -> None:
        """Raises `OSError` where the folder cannot be created."""
        self._root = Path(root)
        self._root.mkdir(parents=True, exist_ok=True)

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    def path_of(self, key: bytes) -> Path:
        """The file of a key, whether or not it is there."""
        return self._root.joinpath(*place(key))

    def get(self, key: bytes) -> bytes | None:
        """As `ProjectionCache.get`. Symbolic links are refused with an `OSError`."""
        path = self.path_of(key)
        _refuse_link(path.parent)
        try:
            descriptor = os.open(path, _READ)
        except FileNotFoundError:
            return None
        with open(descriptor, "rb") as file:
            return file.read()

    def put(self, key: bytes, data: bytes) -> None:
        """As `ProjectionCache.put`. Symbolic links are refused with an `OSError`."""
        path = self.path_of(key)
        path.parent.mkdir(exist_ok=True)
        _refuse_link(path.parent)
        _refuse_link(path)
        descriptor, fresh = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
            os.replace(fresh, path)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise

    def discard(self, key: bytes) -> None:
        """As `ProjectionCache.discard`."""
        self.path_of(key).unlink(missing_ok=True)

    def __repr__(self) -> str:
        return f"DirectoryCache({str(self._root)!r})"


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise OSError(f"{path} is a symbolic link, and cached states are never reached through one. Remove the link.")
