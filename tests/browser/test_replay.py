"""The replay widget as a person meets it: steps, play, linked widgets, questions, both themes, little room."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.driving import (
    contrast,
    focus_order,
    make_room,
    open_and_run,
    sideways,
    unnamed_controls,
    use_theme,
    write_notebook,
)
from tests.browser.stores import write_till
from tests.hostile import write_hostile

pytestmark = pytest.mark.browser

NAME = "replay.ipynb"
SHORT = 10_000
PROJECTION = """\
import batpak_analytics as bp

class Till:
    def initial(self):
        return {"total": 0, "open": 0, "by": {}}

    def apply(self, state, event):
        cents = event.payload["cents"] * (-1 if event.kind == 0x1002 else 1)
        state["total"] += cents
        state["open"] += event.kind == 0x1001
        state["by"][event.entity] = state["by"].get(event.entity, 0) + cents
        return state
"""
VIEW = """\
replay = bp.open_reader("till").replay(Till())
view = replay.widget(position=3, field="total", kind_names={0x1001: "Paid", 0x1002: "Refunded"})
view"""
SECOND = """\
import traitlets
other = bp.open_reader("till").replay(bp.Count(by="kind")).widget(position=3)
link = traitlets.link((view, "position"), (other, "position"))
other"""
RECORD = """\
seen = []
view.observe(lambda change: seen.append(change.new), "position")"""


@pytest.fixture(scope="module")
def notebook(notebooks: Path) -> str:
    write_till(notebooks / "till")
    write_notebook(notebooks / NAME, PROJECTION, VIEW, SECOND, RECORD)
    return NAME


@pytest.fixture
def shown(run_notebook: Callable[..., Any], notebook: str) -> Any:
    """The page with both widgets."""
    page = run_notebook(notebook, height=2400)
    page.get_by_text("…00000003").first.wait_for(timeout=SHORT)
    return page


def widget(page: Any, number: int = 0) -> Any:
    return page.locator(".bpk").nth(number)


def at(page: Any, position: int, number: int = 0) -> None:
    """Wait until the widget stands there: its code says so."""
    code = widget(page, number).get_by_text(re.compile(rf"replay\.state_at\({position}\)"))
    code.wait_for(timeout=SHORT)


def run_code(page: Any, cell: int, source: str, *, wait: bool = True) -> str:
    """Put code into a cell, run it, and give its output, which is none yet where nobody waits for it."""
    page.evaluate(
        """([cell, source, wait]) => {
            const content = jupyterapp.shell.currentWidget.content;
            content.activeCellIndex = cell;
            content.widgets[cell].model.sharedModel.setSource(source);
            const done = jupyterapp.commands.execute('notebook:run-cell');
            return wait ? done : null;
        }""",
        [cell, source, wait],
    )
    if not wait:
        return ""
    page.wait_for_function(
        "cell => jupyterapp.shell.currentWidget.content.widgets[cell].model.executionState !== 'running'", arg=cell
    )
    text: str = page.evaluate(
        """cell => jupyterapp.shell.currentWidget.content.widgets[cell].model.outputs.toJSON()
            .map(one => one.text || (one.data && one.data['text/plain']) || '').join('')""",
        cell,
    )
    return text


def test_a_person_steps_to_the_event_that_broke_the_total(shown: Any) -> None:
    first = widget(shown)
    first.get_by_role("button", name="Next", exact=True).click()
    at(shown, 4)
    first.get_by_role("button", name="Previous", exact=True).click()
    at(shown, 3)
    first.get_by_label("is", exact=True).select_option(label="<")
    first.get_by_label("Value").fill("0")
    first.get_by_role("button", name="Find first").click()
    at(shown, 31)
    pane = first.locator(".widget-tab-contents")
    assert "total" in pane.inner_text() and "-60000" in pane.inner_text()
    first.get_by_role("tab", name="Event").click()
    pane.get_by_text("Refunded").first.wait_for(timeout=SHORT)
    first.get_by_role("tab", name="State").click()
    first.get_by_text("The state at position 31").wait_for(timeout=SHORT)
    first.get_by_role("button", name="Next change").click()
    at(shown, 32)
    first.get_by_role("tab", name="Trace").click()
    first.get_by_role("button", name="Trace this part").click()
    first.get_by_role("img", name="bp.part('total') at position 32").wait_for(timeout=SHORT)
    assert shown.errors == []


def test_two_linked_widgets_move_together(shown: Any) -> None:
    widget(shown, 1).get_by_label("Event", exact=True).fill("20")
    widget(shown, 1).get_by_label("Event", exact=True).press("Enter")
    at(shown, 20, 0)
    at(shown, 20, 1)
    widget(shown).get_by_role("button", name="Next", exact=True).click()
    at(shown, 21, 1)


def test_no_click_on_the_slider_is_lost_while_a_cell_sets_the_view(shown: Any) -> None:
    """Cells and clicks have threads of their own where the kernel has subshells."""
    first = widget(shown)
    track, box = first.locator(".noUi-target"), first.locator(".noUi-target").bounding_box()
    shares = (0.9, 0.25, 0.75, 0.4, 0.6)
    for number, share in enumerate(shares):
        shown.wait_for_function("() => !document.querySelector('.noUi-state-tap')")
        busy = "import time; begun = time.monotonic()\nwhile time.monotonic() < begun + 0.5: view.position = 3"
        run_code(shown, 3, busy, wait=False)
        track.click(position={"x": share * box["width"], "y": box["height"] / 2})
        shown.wait_for_timeout(100 * number)
        run_code(shown, 3, "")
        there = round(share * 60)
        seen = [int(one) for one in re.findall(r"\d+", run_code(shown, 3, "print(seen); seen.clear()"))]
        assert any(abs(one - there) <= 1 for one in seen), (seen, there)


def test_play_visits_every_event_in_order_and_pauses_at_once(shown: Any) -> None:
    first = widget(shown)
    first.get_by_label("Speed").select_option(label="20 a second")
    first.get_by_role("button", name="Play").click()
    first.get_by_text(re.compile(r"replay\.state_at\((1[5-9]|[2-5]\d)\)")).wait_for(timeout=SHORT)
    first.get_by_role("button", name="Pause").click()
    first.get_by_role("button", name="Play").wait_for(timeout=SHORT)
    seen = [int(number) for number in re.findall(r"\d+", run_code(shown, 3, "print(seen)"))]
    assert seen == list(range(4, 4 + len(seen))) and len(seen) >= 12
    run_code(shown, 3, "view.position = 50; view.play()")
    at(shown, 60)
    assert run_code(shown, 3, "print(view.playing, seen[-10:])").startswith("False [51, 52, 53")
    run_code(shown, 3, "view.position = 5; view.play()")
    run_code(shown, 1, VIEW)
    assert run_code(shown, 3, "print(any(one.playing for one in (view, other)))").strip() == "False"


def test_a_filter_narrows_where_it_stops(shown: Any) -> None:
    first = widget(shown)
    first.get_by_label("Stop at kind").fill("Refunded")
    first.get_by_label("Stop at kind").press("Enter")
    first.get_by_text("Stopping at 6 of 60 events; all are folded.").wait_for(timeout=SHORT)
    first.get_by_role("button", name="Next", exact=True).click()
    at(shown, 10)
    first.get_by_label("Events", exact=True).select_option(index=2)
    at(shown, 31)


def test_every_control_has_a_name_and_the_keyboard_is_enough(shown: Any) -> None:
    assert unnamed_controls(shown) == []
    first = widget(shown)
    order = focus_order(shown, first.get_by_role("button", name="Play"), 14)
    wanted = ["Play", "Previous", "Next", "Speed", "Event", "Part of the state", "Previous change", "Next change"]
    assert [name for name in order if name in wanted] == wanted
    handle = first.get_by_role("slider")
    handle.focus()
    shown.keyboard.press("ArrowRight")
    at(shown, 4)
    shown.keyboard.press("ArrowLeft")
    at(shown, 3)


def test_text_is_readable_in_both_themes_and_nothing_is_cut_off_at_640_pixels(shown: Any, artifacts: Path) -> None:
    first = widget(shown)
    first.get_by_label("Event", exact=True).fill("31")
    first.get_by_label("Event", exact=True).press("Enter")
    at(shown, 31)
    for word in ("light", "dark"):
        use_theme(shown, f"JupyterLab {word.title()}")
        make_room(shown)
        first.screenshot(path=artifacts / f"replay-{word}.png")
        for selector in (".bpk .bpk-status", ".bpk .widget-label", ".bpk td", ".bpk pre", ".bpk caption"):
            assert contrast(shown, selector) >= 4.5, selector
        make_room(shown, 640, 1400)
        first.scroll_into_view_if_needed()
        shown.screenshot(path=artifacts / f"replay-{word}-640.png")
        assert sideways(shown) == []


def test_nothing_in_a_store_runs_as_script(page: Any, lab: str, notebooks: Path) -> None:
    write_hostile(notebooks / "hostile-replay")
    fold = 'replay = bp.open_reader("hostile-replay").replay(bp.GroupBy("entity", bp.Last()))'
    cells = ("import batpak_analytics as bp", fold, "replay.widget(position=1)", "replay", "replay.diff(0, 3)")
    write_notebook(notebooks / "hostile-replay.ipynb", *cells)
    open_and_run(page, lab, "hostile-replay.ipynb")
    make_room(page, height=2400)
    first = widget(page)
    first.get_by_role("button", name="Next", exact=True).click()
    at(page, 2)
    for name in ("State", "Event", "Diff"):
        first.get_by_role("tab", name=name).click()
        first.locator(".widget-tab-contents td", has_text="<img").locator("visible=true").first.wait_for(timeout=SHORT)
    assert page.evaluate("() => window.__pwned") is None
    assert page.locator(".jp-OutputArea img, .bpk script").count() == 0


def test_the_same_notebook_opens_in_voila(page: Any, voila: str, notebook: str, artifacts: Path) -> None:
    page.goto(f"{voila}/voila/render/{notebook}")
    at(page, 3)
    widget(page).get_by_role("button", name="Next", exact=True).click()
    at(page, 4)
    at(page, 4, 1)
    page.screenshot(path=artifacts / "replay-voila.png")
