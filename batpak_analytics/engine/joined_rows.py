"""The joined index rows of stretches: kept while there is room for them, made again where there is not.

They are copies, and a store of many small segments may have any number of them. So only `KEPT_BYTES` stay, those that
came first, and of the others the last `RECENT_BYTES`: a scan goes through them in order, several times.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

KEPT_BYTES = 16 << 20
RECENT_BYTES = 24 << 20
"""Room for what the threads of a scan have in hand, and for what is being cut into chunks ahead of them."""


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

    def put(self, owner: Any, rows: Any) -> None:
        """Keep the rows of `owner` if there is room."""
        with self._lock:
            if _bytes(self._kept) + rows.nbytes <= self._kept_bytes:
                self._kept[owner] = rows
                return
            self._recent[owner] = rows
            for oldest in list(self._recent.keys()):
                if _bytes(self._recent) <= self._recent_bytes or oldest is owner:
                    break
                del self._recent[oldest]


def _bytes(rows: WeakKeyDictionary[Any, Any]) -> int:
    return sum(one.nbytes for one in list(rows.values()))


ALL = JoinedRows()
"""Those of the whole process: the limit is on its memory."""
