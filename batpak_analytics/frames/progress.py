"""`progress=True`: a bar for each pass over the events."""

from __future__ import annotations

from typing import Any

from tqdm.auto import tqdm


class Bar:
    """A progress callable that draws with tqdm: one bar while payload types are looked up, one for the rows."""

    def __init__(self, what: str = "reading events") -> None:
        self._what = what
        self._bar: Any = None

    def __call__(self, done: int, total: int | None) -> None:
        """Rows done so far, and in all, where that is known."""
        self._show(self._what, done, total)

    def look(self, done: int, total: int) -> None:
        """Rows whose payloads were looked at so far, and in all."""
        self._show("looking at payloads", done, total)

    def close(self) -> None:
        """The pass is over."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show(self, what: str, done: int, total: int | None) -> None:
        if self._bar is None:
            self._bar = tqdm(desc=what, total=total, unit=" events", unit_scale=True)
        self._bar.update(done - self._bar.n)
