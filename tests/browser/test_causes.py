"""The causes widget as a person meets it: named controls, a walk by keyboard and pointer, both themes, little room."""

from __future__ import annotations

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
from tests.browser.stores import KINDS, order_id, write_shop
from tests.hostile import write_hostile

pytestmark = pytest.mark.browser

NAME = "causes.ipynb"
SHORT = 5_000


@pytest.fixture(scope="module")
def notebook(notebooks: Path) -> str:
    write_shop(notebooks / "shop")
    write_hostile(notebooks / "hostile")
    code = f'reader = bp.open_reader("shop")\nview = reader.explore("{order_id(5, 2)}", kind_names={KINDS!r})\nview'
    write_notebook(notebooks / NAME, "import batpak_analytics as bp", code)
    return NAME


@pytest.fixture
def shown(run_notebook: Callable[..., Any], notebook: str) -> Any:
    """The page with the widget."""
    page = run_notebook(notebook)
    page.get_by_role("img", name="Picked warehouse:north").wait_for(timeout=SHORT)
    return page


def status(page: Any) -> Any:
    return page.locator(".bpk").get_by_role("status")


def test_a_person_walks_from_an_event_to_its_root_and_back(shown: Any) -> None:
    status(shown).get_by_text("…00050002: 2 of 2 causes and 2 of 2 effects shown").wait_for(timeout=SHORT)
    shown.get_by_role("button", name="To its cause").click()
    shown.get_by_role("img", name="Paid order:5 …00050001").wait_for(timeout=SHORT)
    shown.get_by_role("button", name="To the root").click()
    shown.get_by_role("img", name="Placed order:5 …00050000").wait_for(timeout=SHORT)
    assert shown.get_by_role("button", name="To the root").is_disabled()
    shown.get_by_label("Walk to").select_option(label="3 after: Packed order:5 …00050003")
    shown.get_by_role("button", name="Walk", exact=True).click()
    shown.get_by_role("img", name="Packed order:5 …00050003").wait_for(timeout=SHORT)
    trail = shown.get_by_role("navigation", name="Events visited")
    assert trail.inner_text() == "Walked: …00050002 → …00050001 → …00050000 → …00050003"
    shown.get_by_role("button", name="Back").click()
    shown.get_by_role("img", name="Placed order:5 …00050000").wait_for(timeout=SHORT)
    assert shown.errors == []


def test_an_event_is_found_by_the_end_of_its_id_and_in_the_list(shown: Any) -> None:
    entry = shown.get_by_label("Event id")
    entry.fill("00070004")
    entry.press("Enter")
    shown.get_by_role("img", name="Shipped order:7 …00070004").wait_for(timeout=SHORT)
    entry.fill("99999999")
    entry.press("Enter")
    alert = shown.locator(".bpk").get_by_role("alert")
    alert.get_by_text("ends in 99999999").wait_for(timeout=SHORT)
    assert "Shipped order:7" in (shown.locator(".bpk svg").get_attribute("aria-label") or "")
    shown.get_by_label("Choose from").select_option(label="Roots that led to something")
    shown.get_by_label("Entity").fill("order:3")
    shown.get_by_label("Entity").press("Enter")
    shown.get_by_text("1 to 1 of 1").wait_for(timeout=SHORT)
    alert.wait_for(state="detached", timeout=SHORT)
    shown.get_by_label("Events", exact=True).select_option(index=0)
    shown.get_by_role("img", name="Placed order:3 …00030000").wait_for(timeout=SHORT)


def test_every_control_has_a_name_and_is_reached_by_the_tab_key(shown: Any) -> None:
    assert unnamed_controls(shown) == []
    order = focus_order(shown, shown.get_by_label("Choose from"), 14)
    wanted = ["Choose from", "Entity", "Kind", "Events", "Next page", "Event id", "Back", "To its cause", "To the root"]
    reached = [name for name in order if name in wanted]
    assert reached == [name for name in wanted if name in reached]
    assert {"Choose from", "Entity", "Kind", "Events", "Event id", "To its cause", "To the root"} <= set(reached)


def test_the_keyboard_alone_walks(shown: Any) -> None:
    shown.get_by_role("button", name="To its cause").focus()
    shown.keyboard.press("Enter")
    shown.get_by_role("img", name="Paid order:5 …00050001").wait_for(timeout=SHORT)
    fold = shown.get_by_text("The same as text")
    fold.focus()
    shown.keyboard.press("Enter")
    assert shown.locator(".bpk details li").first.inner_text() == "1 before: Placed order:5 …00050000"


def test_text_is_readable_in_both_themes_and_nothing_is_cut_off_at_640_pixels(shown: Any, artifacts: Path) -> None:
    for word in ("light", "dark"):
        use_theme(shown, f"JupyterLab {word.title()}")
        make_room(shown)
        shown.locator(".bpk").screenshot(path=artifacts / f"causes-{word}.png")
        for selector in (".bpk .bpk-status", ".bpk .widget-label", ".bpk td", ".bpk pre", ".bpk .bpk-dim"):
            assert contrast(shown, selector) >= 4.5, selector
        make_room(shown, 640, 1000)
        shown.locator(".bpk svg").scroll_into_view_if_needed()
        shown.screenshot(path=artifacts / f"causes-{word}-640.png")
        assert sideways(shown) == []


def test_nothing_in_a_store_runs_as_script(page: Any, lab: str, notebooks: Path) -> None:
    write_hostile(notebooks / "hostile-too")
    cells = ["import batpak_analytics as bp", 'reader = bp.open_reader("hostile-too")', "reader.explore()", "reader"]
    cells += ["reader.events()", "reader.query()", "reader.get(reader.query()[2].event_id)", "reader.verify()"]
    write_notebook(notebooks / "hostile.ipynb", *cells)
    open_and_run(page, lab, "hostile.ipynb")
    make_room(page)
    page.locator(".bpk svg").wait_for(timeout=SHORT)
    page.locator(".bpk").get_by_role("button", name="To its cause").click()
    page.get_by_text("1 before:").first.wait_for(state="attached", timeout=SHORT)
    for cell in range(len(cells)):
        page.evaluate(f"() => jupyterapp.shell.currentWidget.content.scrollToItem({cell}, 'start')")
    assert page.evaluate("() => window.__pwned") is None
    assert page.locator(".jp-OutputArea img, .bpk script").count() == 0


def test_the_same_notebook_opens_in_voila(page: Any, voila: str, notebook: str, artifacts: Path) -> None:
    page.goto(f"{voila}/voila/render/{notebook}")
    page.get_by_role("img", name="Picked warehouse:north").wait_for(timeout=60_000)
    page.get_by_role("button", name="To its cause").click()
    page.get_by_role("img", name="Paid order:5 …00050001").wait_for(timeout=SHORT)
    page.screenshot(path=artifacts / "causes-voila.png")
