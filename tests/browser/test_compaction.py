"""The what-if widget as a person meets it: rules by hand, estimates that become exact, both themes, little room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.driving import (
    contrast,
    css,
    focus_order,
    make_room,
    open_and_run,
    sideways,
    unnamed_controls,
    use_theme,
    write_notebook,
)
from tests.browser.stores import write_sessions
from tests.hostile import HOSTILE

pytestmark = pytest.mark.browser

NAME = "what-if.ipynb"
SHORT = 15_000
VIEW = """\
import batpak_analytics as bp

class Balance:
    def initial(self):
        return 0

    def apply(self, state, event):
        return state + event.payload["cents"]

reader = bp.open_reader("sessions")
view = reader.what_if(projections=[Balance()], kind_names={0x1001: "Placed", 0x1002: "Paid"})
view"""


@pytest.fixture(scope="module")
def notebook(notebooks: Path) -> str:
    write_sessions(notebooks / "sessions")
    write_notebook(notebooks / NAME, VIEW)
    return NAME


@pytest.fixture
def shown(run_notebook: Callable[..., Any], notebook: str) -> Any:
    """The page with the widget."""
    page = run_notebook(notebook, height=1600)
    exact(page)
    return page


def exact(page: Any) -> None:
    """Wait for the exact plan."""
    page.get_by_text("Exact: every number is counted.").wait_for(timeout=SHORT)


def test_a_person_finds_a_rule_that_changes_no_balance(shown: Any) -> None:
    shown.get_by_text("states change.").wait_for(timeout=SHORT)
    amount = shown.get_by_label("N, or names")
    amount.fill("12")
    amount.press("Enter")
    shown.get_by_text("bp.keep.last_n_per_entity(12)").wait_for(timeout=SHORT)
    exact(shown)
    shown.get_by_text("0 of 6 states change.").wait_for(timeout=SHORT)
    shown.get_by_label("Name", exact=True).wait_for(state="attached")
    shown.get_by_role("tab", name="Plans").click()
    shown.get_by_label("Name", exact=True).fill("last twelve")
    shown.get_by_role("button", name="Keep this plan").click()
    shown.get_by_role("columnheader", name="last twelve").wait_for(timeout=SHORT)
    assert shown.errors == []


def test_a_suggestion_is_taken_with_its_price(shown: Any) -> None:
    shown.get_by_label("Keep", exact=True).select_option(label="these kinds")
    shown.get_by_label("N, or names").fill("Paid")
    shown.get_by_label("N, or names").press("Enter")
    shown.get_by_text("bp.keep.kinds(0x1002)").wait_for(timeout=SHORT)
    exact(shown)
    shown.get_by_role("tab", name="Suggestions").click()
    shown.get_by_role("listitem").filter(has_text="keep the causes too: +36 events").wait_for(timeout=SHORT)
    shown.get_by_role("button", name="Take it").click()
    shown.get_by_text("one.what == 'keep the causes too'").wait_for(timeout=SHORT)
    shown.get_by_role("tab", name="Causes").click()
    shown.get_by_text("None is lost.").wait_for(timeout=SHORT)


def test_every_control_has_a_name_and_is_reached_by_the_tab_key(shown: Any) -> None:
    assert unnamed_controls(shown) == []
    order = focus_order(shown, shown.get_by_label("Strategy"), 6)
    wanted = ["Strategy", "Keep", "N, or names", "and their causes", "and whole correlations", "and heads of chains"]
    assert order == wanted


def test_text_is_readable_in_both_themes_and_nothing_is_cut_off_at_640_pixels(shown: Any, artifacts: Path) -> None:
    shown.get_by_label("N, or names").fill("8")
    shown.get_by_label("N, or names").press("Enter")
    shown.get_by_text("bp.keep.last_n_per_entity(8)").wait_for(timeout=SHORT)
    exact(shown)
    shown.get_by_role("tab", name="Segments").click()
    shown.get_by_role("img", name="4 segments").wait_for(timeout=SHORT)
    for word in ("light", "dark"):
        use_theme(shown, f"JupyterLab {word.title()}")
        make_room(shown, height=1300)
        shown.locator(".bpk").screenshot(path=artifacts / f"what-if-{word}.png")
        for selector in (".bpk .bpk-status", ".bpk .widget-label", ".bpk td", ".bpk pre", ".bpk-numbers b"):
            assert contrast(shown, selector) >= 4.5, selector
        arrow, text = (css(shown, ".bpk .widget-dropdown > select", name) for name in ("background-image", "color"))
        assert (text in arrow) == (word == "dark"), "the arrow of ipywidgets is black"
        make_room(shown, 640, 1500)
        for name in ("Lost", "Chains", "Entities", "Plans", "Segments"):
            shown.get_by_role("tab", name=name).click()
            assert sideways(shown) == [], name
        shown.screenshot(path=artifacts / f"what-if-{word}-640.png")


def test_nothing_in_a_store_runs_as_script(page: Any, lab: str, notebooks: Path) -> None:
    write_sessions(notebooks / "hostile-what-if", HOSTILE)
    cells = ["import batpak_analytics as bp", 'reader = bp.open_reader("hostile-what-if")', "reader.what_if()"]
    write_notebook(notebooks / "hostile-what-if.ipynb", *cells, "reader.plan_compaction()")
    open_and_run(page, lab, "hostile-what-if.ipynb")
    make_room(page, height=1600)
    exact(page)
    for name in ("Lost", "Entities"):
        page.get_by_role("tab", name=name).click()
        page.locator(".widget-tab-contents td", has_text="<img").locator("visible=true").first.wait_for(timeout=SHORT)
    assert page.evaluate("() => window.__pwned") is None
    assert page.locator(".jp-OutputArea img, .bpk script").count() == 0


def test_the_same_notebook_opens_in_voila(page: Any, voila: str, notebook: str, artifacts: Path) -> None:
    page.goto(f"{voila}/voila/render/{notebook}")
    page.get_by_text("Exact: every number is counted.").wait_for(timeout=60_000)
    page.get_by_label("Strategy").select_option(label="tombstone")
    page.get_by_text("frees no room and erases nothing").wait_for(timeout=SHORT)
    page.screenshot(path=artifacts / "what-if-voila.png")
