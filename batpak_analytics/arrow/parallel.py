"""Work in threads, results in order. The kernels and Arrow release the interpreter lock, so threads are enough."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

T = TypeVar("T")
R = TypeVar("R")

MAX_THREADS = 8
"""Each thread holds the memory of one batch."""


def thread_count() -> int:
    """Threads that a scan uses: Arrow's own setting (`pyarrow.set_cpu_count`, `OMP_NUM_THREADS`), up to a limit."""
    return max(1, min(int(pa.cpu_count()), MAX_THREADS))


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
