"""One after the other: a kernel with subshells (ipykernel 7, JupyterLab 4.4) runs callbacks in a thread beside cells.

There a control is set by its user while a cell sets the view, or while the view, which plays on the loop of the cells,
sets the control itself.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from functools import cache
from typing import Any

TURN = threading.RLock()
"""Held while a view is looked at and set. One for all views of a kernel: views that are linked set each other."""


def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task, of this thread's loop or of another's; one whose loop is closed will not run any more."""
    with suppress(RuntimeError):
        if asyncio.get_running_loop() is task.get_loop():
            task.cancel()
            return
    with suppress(RuntimeError):
        task.get_loop().call_soon_threadsafe(task.cancel)


@cache
def in_turn(kind: Any) -> Any:
    """A class of controls that take what the browser sends only when nobody else is setting them."""

    def set_state(self: Any, sync_data: dict[str, Any]) -> None:
        with TURN:
            kind.set_state(self, sync_data)

    return type(kind.__name__, (kind,), {"set_state": set_state, "__module__": kind.__module__})
