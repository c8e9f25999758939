"""What a person waits for in front of a widget: real JupyterLab, real Chromium, from the input to the paint."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from tests.benchmarks.painting import Painter, Traffic
from tests.benchmarks.timing import Case, Timing, measure
from tests.browser.driving import make_room, open_and_run, write_notebook
from tests.browser.serving import browser_page, jupyterlab

STEPS = 10
"""Inputs of one go, of which the median counts."""
PATIENCE_MS = 120_000
ROOM = 2400
ESTIMATE = "ESTIMATE from"
SETTLED = f"() => !document.querySelector('.bpk').textContent.includes('{ESTIMATE}')"
REPLAY = """\
import batpak_analytics as bp

class Dear:
    reads = ("qty", "price")

    def initial(self):
        return {{"events": 0, "dear": 0, "money": {{}}}}

    def apply(self, state, event):
        worth = event.payload["qty"] * event.payload["price"]
        state["events"] += 1
        state["dear"] += worth > 8000
        state["money"][event.entity] = state["money"].get(event.entity, 0.0) + worth
        return state

bp.open_reader({store!r}).replay(Dear()).widget(position=1000, field="dear")"""
CAUSES = "import batpak_analytics as bp\nbp.open_reader({store!r}).explore()"
WHAT_IF = """\
import batpak_analytics as bp
bp.open_reader({store!r}).what_if(keep=[("payload.qty", ">", 3)])"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the widgets took in the browser, and what they sent there."""

    timings: dict[str, Timing] = field(default_factory=dict)
    traffic: dict[str, Traffic] = field(default_factory=dict)


def seen_in_browser(main: Path, caused: Path, events: int, repeat: int, folder: Path) -> Seen:
    """Every widget in a notebook of its own; `folder` is empty, for notebooks, settings and the server's log."""
    seen = Seen()
    notebooks, home = folder / "notebooks", folder / "jupyter"
    for one in (notebooks, home):
        one.mkdir()
    with jupyterlab(home, notebooks, folder / "jupyterlab.log") as lab:
        for name, source, store, cases in (
            ("ReplayWidget", REPLAY, main, _replay),
            ("CausesWidget", CAUSES, caused, _causes),
            ("CompactionWidget", WHAT_IF, main, _what_if),
        ):
            traffic = seen.traffic[name] = Traffic()
            write_notebook(notebooks / f"{name}.ipynb", source.format(store=str(store.resolve())))
            with _opened(lab, f"{name}.ipynb", traffic) as painter:
                found = [Case(*case, events, reads_all=False) for case in cases(painter)]
                seen.timings.update(measure(found, repeat))
    return seen


@contextmanager
def _opened(lab: str, notebook: str, traffic: Traffic) -> Iterator[Painter]:
    with browser_page() as page:
        page.set_default_timeout(PATIENCE_MS)
        painter = Painter(page, traffic)
        open_and_run(page, lab, notebook)
        make_room(page, height=ROOM)
        page.locator(".bpk pre").last.wait_for()
        yield painter


Found = Iterator[tuple[str, str, Callable[[], float]]]


def _replay(painter: Painter) -> Found:
    page = painter.page
    further = page.get_by_role("button", name="Next", exact=True)
    change = page.get_by_role("button", name="Next change", exact=True)
    track = page.locator(".bpk .noUi-target").first
    shares = cycle((0.5, 0.11, 0.83, 0.27, 0.96, 0.04, 0.62))

    def step() -> float:
        further.focus()
        return painter.paint(lambda: page.keyboard.press("Enter"), "keydown")

    def jump() -> float:
        box = track.bounding_box()
        place = (box["x"] + next(shares) * box["width"], box["y"] + box["height"] / 2)
        return painter.paint(lambda: page.mouse.click(*place), "pointerdown")

    yield "paint-replay-step", "`ReplayWidget`: Next, by a key", _median(step)
    yield "paint-replay-jump", "`ReplayWidget`: a click on the slider, far away", _median(jump)
    yield "paint-replay-change", "`ReplayWidget`: Next change", _median(lambda: painter.paint(change.click, "click"))


def _causes(painter: Painter) -> Found:
    page = painter.page
    up = page.get_by_role("button", name="To its cause")
    listed = page.get_by_label("Events", exact=True)
    numbers = cycle(range(1, 50))

    def step() -> float:
        number = next(numbers)
        return painter.paint(lambda: listed.select_option(index=number), "change")

    def walk() -> float:
        while up.is_disabled():
            step()
        return painter.paint(up.click, "click")

    yield "paint-causes-step", "`CausesWidget`: another event of the list", _median(step)
    yield "paint-causes-walk", "`CausesWidget`: To its cause", _median(walk)


def _what_if(painter: Painter) -> Found:
    page = painter.page
    heads, kept = page.get_by_label("and heads of chains"), page.get_by_label("Keep", exact=True)
    amount = page.get_by_label("N, or names")
    numbers = cycle(range(2, 1000))

    def settle(rule: str) -> None:
        """The exact plan of this rule is all shown."""
        page.wait_for_function(SETTLED)
        if kept.input_value() != rule:
            painter.paint(lambda: kept.select_option(label=rule), "change", without=[ESTIMATE])

    def number(*words: str, without: Sequence[str] = ()) -> float:
        amount.fill(str(next(numbers)))
        return painter.paint(lambda: amount.press("Enter"), "keydown", *words, without=without)

    def toggle(*words: str, without: Sequence[str] = ()) -> float:
        return painter.paint(heads.click, "click", *words, without=without)

    def by_index() -> None:
        settle("the last N events of each entity")

    def by_filter() -> None:
        settle("what the given rule keeps")

    rule, payload = "`CompactionWidget`, a rule on the index", "`CompactionWidget`, a filter on a payload field"
    yield "paint-estimate", f"{rule}: to the estimate", _median(lambda: number(ESTIMATE), by_index)
    yield "paint-exact", f"{rule}: to the exact plan", _median(lambda: number(without=[ESTIMATE]), by_index)
    yield "paint-estimate-filter", f"{payload}: to the estimate", _median(lambda: toggle(ESTIMATE), by_filter)
    again = f"{payload}: to the estimate, while the plan before is counted"
    yield "paint-estimate-again", again, _median(lambda: toggle(ESTIMATE), by_filter, each=False)
    yield "paint-exact-filter", f"{payload}: to the exact plan", _median(lambda: toggle(without=[ESTIMATE]), by_filter)


def _median(
    step: Callable[[], float], before: Callable[[], Any] = lambda: None, *, each: bool = True
) -> Callable[[], float]:
    """A go: the median of some steps, `before` called once or before each of them, outside of what counts."""

    def go() -> float:
        taken = []
        for number in range(STEPS):
            if each or not number:
                before()
            taken.append(step())
        return statistics.median(taken)

    return go
