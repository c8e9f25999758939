"""Work in threads, results in order. The kernels and Arrow release the interpreter lock, so threads are enough."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from batpak_analytics.format.frame import crc32, crc32_of_rest

T = TypeVar("T")
R = TypeVar("R")

MAX_THREADS = 8
"""Each thread holds the memory of one batch."""

CRC_PART_BYTES = 1 << 24

ROWS_FOR_A_THREAD = 10_000
"""Footer rows of a segment from which on it is worth while to look at them in a thread."""


def thread_count() -> int:
    """Threads to use: `BATPAK_THREADS`, else one for each processor this process may run on, up to a limit."""
    chosen = os.environ.get("BATPAK_THREADS", "")
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, MAX_THREADS))


def threads_for(rows: int, segments: int) -> int:
    """Threads for work that looks at so many footer rows, segment by segment."""
    return thread_count() if rows >= ROWS_FOR_A_THREAD * segments and segments > 1 else 1


def crc32_in_threads(data: Any) -> int:
    """The CRC-32 of a large buffer, in parts."""
    view = memoryview(data).cast("B")
    parts = [view[start : start + CRC_PART_BYTES] for start in range(0, len(view), CRC_PART_BYTES)]
    crc = 0
    for part, found in zip(parts, in_order(crc32, parts, 1 if len(parts) < 2 else None), strict=True):
        crc = crc32_of_rest(crc, found, len(part))  # which adds as well as it takes away
    return crc


def in_order(work: Callable[[T], R], items: Iterable[T], threads: int | None = None) -> Generator[R, None, None]:
    """`work(item)` for each item, in the order of the items; at most `threads` + 1 results wait to be taken.

    The first error is raised in its place and ends the work, as does closing the generator: what was not begun is
    dropped, what was begun is waited for.
    """
    threads = thread_count() if threads is None else threads
    if threads == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="batpak-scan")
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
