"""`Player`: steps one after the other in the kernel, none left out, as ipywidgets' own `Play` does to what is fast."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from batpak_analytics.widgets.turns import TURN, cancel

SPEEDS = (("1 a second", 1.0), ("2 a second", 0.5), ("5 a second", 0.2), ("10 a second", 0.1), ("20 a second", 0.05))
AS_RECORDED = ("as it happened, gaps of at most 1 s", 0.0)
LONGEST_GAP_S = 1.0

_all: WeakSet[Player] = WeakSet()


class Player:
    """Calls `step` until it answers no; `wait` says how many seconds to wait before the next.

    It runs on the loop of the thread in which it was begun: on that of the cells it waits while a cell runs.
    """

    def __init__(self, step: Callable[[], bool], wait: Callable[[], float], told: Callable[[bool], Any]) -> None:
        """`told` is called with whether it plays when that changes. Others pause: a cell that runs again plays once."""
        self._step, self._wait, self._told = step, wait, told
        self._task: asyncio.Task[None] | None = None
        pause_others(self)
        _all.add(self)

    @property
    def playing(self) -> bool:
        """Whether it is under way."""
        return self._task is not None

    def play(self) -> None:
        """Begin; raises `RuntimeError` where no loop runs, as in plain Python."""
        if self.playing:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "Playing needs the loop of a Jupyter kernel, and none runs here. Set position, or call step()."
            ) from None
        pause_others(self)
        with TURN:
            self._task = loop.create_task(self._run())
            self._told(True)

    def pause(self) -> None:
        """Stop where it is."""
        # What plays nothing may be closed by the garbage collector, in the middle of anything: it must not wait there.
        if self._task is None:
            return
        with TURN:
            task, self._task = self._task, None
            if task is not None:
                cancel(task)
                self._told(False)

    async def _run(self) -> None:
        mine = asyncio.current_task()
        try:
            while True:
                await asyncio.sleep(self._wait())
                with TURN:
                    # Who paused it in another thread, and went elsewhere, is not taken a step further.
                    if self._task is not mine or not self._step():
                        break
        finally:
            with TURN:
                if self._task is mine:
                    self._task = None
                    self._told(False)


def pause_others(player: Player) -> None:
    """Pause every other player of this kernel."""
    for one in list(_all):
        if one is not player:
            one.pause()
