"""The options of a scan that need no store to be checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

Progress = Callable[[int, int], Any]
"""Called with (rows done, rows in all). It may have `look`, called the same way while payload types are looked up,
and `close`, called at the end of each pass."""

Step = Callable[[int], None]


def check_limit(limit: Any) -> int | None:
    """`limit=` as an int; None for no limit."""
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int | np.integer):
        raise TypeError(f"limit={limit!r}: give an int or None.")
    if limit < 0:
        raise ValueError(f"limit={limit!r}: give zero or more.")
    return int(limit)


def check_batch_size(batch_size: Any) -> int:
    """`batch_size=` as a positive int."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size={batch_size!r}: give a positive int.")
    return batch_size


def check_progress(progress: Any) -> Progress | None:
    """`progress=` as a callable; the layer above has made one of True."""
    if progress is None or progress is False:
        return None
    if not callable(progress):
        raise TypeError(f"progress={progress!r}: give True or a function of (rows done, rows in all).")
    found: Progress = progress
    return found


def check_frame_options(ids: Any, kind_names: Any, dtype_backend: Any) -> None:
    """The options that only DataFrames have."""
    if ids not in ("hex", "bytes", "uuid"):
        raise ValueError(f'ids={ids!r}: give "hex", "bytes" or "uuid".')
    if dtype_backend not in (None, "numpy_nullable", "pyarrow"):
        raise ValueError(f'dtype_backend={dtype_backend!r}: give None, "numpy_nullable" or "pyarrow".')
    if kind_names is None:
        return
    if not isinstance(kind_names, Mapping):
        raise TypeError(f'kind_names={kind_names!r}: give a dict such as {{0xF001: "PlayerMoved"}}.')
    for kind, name in kind_names.items():
        if not isinstance(kind, int) or not 0 <= kind <= 0xFFFF or not isinstance(name, str):
            raise ValueError(f"kind_names maps {kind!r} to {name!r}: keys are ints up to 0xFFFF, values str.")


@contextmanager
def steps(report: Progress | None, total: int, close: Callable[[], Any] | None) -> Iterator[Step]:
    """A function to call with each further number of rows done; `report` hears (done, total), `close` the end."""
    done = 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        if report is not None:
            report(done, total)

    try:
        yield step
    finally:
        if close is not None:
            close()
