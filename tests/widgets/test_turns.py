"""Kernels with subshells set controls in one thread while another sets or plays the view: no input is lost by that."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.widgets import CompactionWidget, ReplayWidget, compaction
from batpak_analytics.widgets.turns import TURN, cancel
from tests.arrow.scan_stores import event, store_of
from tests.widgets.sent import named, widgets_of

PATIENCE_S = 30
LOOK_S = 0.2
"""So long somebody who need not wait for a turn has to get ahead of the one who stands still."""


class Meeting:
    """One thread stands still in the middle of something, until another has done what it wants, or waits its turn."""

    def __init__(self, other: Callable[[], None]) -> None:
        self.begun = False
        self._thread = threading.Thread(target=other)

    def stand_still(self) -> None:
        if not self.begun:
            self.begun = True
            self._thread.start()
            self._thread.join(LOOK_S)

    def end(self) -> None:
        assert self.begun
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    groups = [[event(number, {"cents": number}) for number in range(first, first + 25)] for first in range(0, 100, 25)]
    return store_of(tmp_path_factory.mktemp("stores") / "store", *groups)


@pytest.fixture
def view(store: Path) -> ReplayWidget:
    view: ReplayWidget = bp.open_reader(store).replay(bp.Count()).widget(position=0)
    return view


def jump(view: Any, to: int) -> None:
    """What the browser sends for a click on the slider."""
    (slider,) = [one for one in widgets_of(view) if type(one).__name__ == "IntSlider"]
    slider.set_state({"value": to})


def agree(view: Any, position: int) -> None:
    (slider,) = [one for one in widgets_of(view) if type(one).__name__ == "IntSlider"]
    assert (view.position, slider.value, named(view, "Event").value) == (position,) * 3
    assert view.last_error is None


def test_a_jump_while_a_cell_moves_the_view_is_not_lost(view: ReplayWidget, monkeypatch: pytest.MonkeyPatch) -> None:
    meeting, show = Meeting(lambda: jump(view, 70)), view._places.show

    def slow(position: int) -> None:
        meeting.stand_still()
        show(position)

    monkeypatch.setattr(view._places, "show", slow)
    view.position = 30
    meeting.end()
    agree(view, 70)


def test_a_jump_while_a_step_of_playing_is_taken_is_not_lost(
    view: ReplayWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting, step = Meeting(lambda: jump(view, 70)), view._places.step

    def slow(position: int, by: int) -> int | None:
        target = step(position, by)
        if view.playing:
            meeting.stand_still()
        return target

    monkeypatch.setattr(view._places, "step", slow)

    async def watch() -> None:
        view._player._wait = lambda: 0.0
        view.play()
        while view.playing:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(watch(), PATIENCE_S))
    meeting.end()
    agree(view, 70)


def test_no_exact_plan_of_a_rule_before_follows_what_was_asked_since(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "SMALL", 0)
    set_plan = CompactionWidget._set_plan
    meetings: list[Meeting] = []

    def slow(self: CompactionWidget, plan: Any) -> None:
        meetings[0].stand_still()
        set_plan(self, plan)

    monkeypatch.setattr(CompactionWidget, "_set_plan", slow)

    async def watch() -> None:
        view = bp.open_reader(store).what_if()
        meetings.append(Meeting(lambda: named(view, "N, or names").set_state({"value": "5"})))
        while view.counting or not meetings[0].begun:
            await asyncio.sleep(0.005)
        meetings[0].end()
        assert view.plan.rule == bp.keep.last_n_per_entity(5) and view.plan.sampled is None
        assert "last_n_per_entity(5)" in view.code and view.last_error is None
        view.close()

    asyncio.run(asyncio.wait_for(watch(), PATIENCE_S))


def test_views_that_the_garbage_collector_closes_wait_for_nobody(view: ReplayWidget, store: Path) -> None:
    """It runs in the middle of anything, while other threads have their turn and wait for what this one holds."""
    both: tuple[Any, ...] = view, bp.open_reader(store).what_if()
    closing = threading.Thread(target=lambda: [one.close() for one in both], daemon=True)
    with TURN:
        closing.start()
        closing.join(PATIENCE_S / 3)
        assert not closing.is_alive()


def test_a_task_is_cancelled_from_its_thread_from_another_and_not_where_its_loop_is_closed() -> None:
    async def sleeping() -> Any:
        task = asyncio.get_running_loop().create_task(asyncio.sleep(PATIENCE_S))
        await asyncio.sleep(0)
        return task

    async def watch() -> None:
        for canceller in (cancel, lambda task: threading.Thread(target=cancel, args=(task,)).start()):
            task = await sleeping()
            canceller(task)
            await asyncio.wait([task], timeout=PATIENCE_S / 10)
            assert task.cancelled()

    asyncio.run(watch())
    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(sleeping())
    task.cancel()
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    cancel(task)
