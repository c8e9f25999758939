"""The joined index rows of stretches: kept while there is room for them, made again where there is not.

They are copies, and a store of many small segments may have any number of them. So only `KEPT_BYTES` stay, those that
came first, and of the others the last `RECENT_BYTES`: a scan goes through them in order, several times. The memory of
what was let go is used again: to be given fresh memory takes longer than to join rows.
"""

from __future__ import annotations

import ctypes
import mmap
import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np

KEPT_BYTES = 16 << 20
RECENT_BYTES = 24 << 20
"""Room for what the threads of a scan have in hand, and for what is being cut into chunks ahead of them."""
SPARE_BYTES = 8 << 20
"""Memory that waits to be used again, while any rows are joined."""
# All of it at once where the system knows how: faster than page by page, when each is touched.
_OWN_MEMORY = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0)
_STEP = 1 << 18


class Memory:
    """Memory outside of the C library's, which would keep all that was ever freed in between. Safe to share.

    It is used again once nothing refers to the bytes that were given out, nor to any array that looks at them.
    """

    def __init__(self, spare_bytes: int = SPARE_BYTES) -> None:
        self._most = spare_bytes
        self._spare: list[mmap.mmap] = []
        self._out: dict[int, Any] = {}  # what tells when bytes are given back, by its own id
        self._lock = threading.RLock()  # they may be given back anywhere, here too

    def take(self, size: int) -> Any:
        """An array of so many bytes, with anything in them."""
        whole = self._spared(size) or mmap.mmap(-1, -(-size // _STEP) * _STEP, _OWN_MEMORY)
        owner = (ctypes.c_ubyte * size).from_buffer(whole)
        watch = ref(owner, partial(self._give_back, whole))
        with self._lock:
            self._out[id(watch)] = watch
        return np.frombuffer(memoryview(owner), np.uint8)

    def _spared(self, size: int) -> mmap.mmap | None:
        with self._lock:
            found = next((one for one in self._spare if size <= len(one) <= 2 * size + _STEP), None)
            if found in self._spare:  # the collector may give back, and clear, in between
                self._spare.remove(found)
                return found
        return None

    def _give_back(self, whole: mmap.mmap, watch: Any) -> None:
        with self._lock:
            del self._out[id(watch)]
            if not self._out:
                self._spare.clear()
            elif sum(map(len, self._spare)) + len(whole) <= self._most:
                self._spare.append(whole)


class JoinedRows:
    """Rows by who asks for them, for as long as that lives. Safe to share between threads."""

    def __init__(self, kept_bytes: int = KEPT_BYTES, recent_bytes: int = RECENT_BYTES) -> None:
        self._kept_bytes, self._recent_bytes = kept_bytes, recent_bytes
        self._kept: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._recent: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, owner: Any, join: Callable[[], Any]) -> Any:
        """The rows of `owner`: those that are here, or what `join` gives."""
        with self._lock:
            found = self._kept.get(owner)
            found = self._recent.get(owner) if found is None else found
        if found is not None:
            return found
        found = join()  # two threads may both do it: the results are equal
        self.put(owner, found)
        return found

    def keep(self, owner: Any, rows: Any) -> bool:
        """Whether there was room to keep the rows of `owner` for as long as it lives; now they are."""
        with self._lock:
            room = bool(_bytes(self._kept) + rows.nbytes <= self._kept_bytes)
            if room:
                self._kept[owner] = rows
        return room

    def put(self, owner: Any, rows: Any) -> None:
        """Keep the rows of `owner` if there is room, else for a while."""
        if self.keep(owner, rows):
            return
        with self._lock:
            self._recent[owner] = rows
            for oldest in list(self._recent.keys()):
                if _bytes(self._recent) <= self._recent_bytes or oldest is owner:
                    break
                del self._recent[oldest]


def _bytes(rows: WeakKeyDictionary[Any, Any]) -> int:
    return sum(one.nbytes for one in list(rows.values()))


MEMORY = Memory()
ALL = JoinedRows()
"""Those of the whole process: the limit is on its memory."""
