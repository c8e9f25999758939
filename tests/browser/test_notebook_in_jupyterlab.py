"""The notebooks as a new user meets them: opened in JupyterLab, run from top to bottom, results on screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.driving import WAIT_MS, open_and_run

pytestmark = pytest.mark.browser

FIRST = "01_read_a_store.ipynb"
# The cell whose result is the picture, and what it shows; JupyterLab draws only what is in view.
OTHERS = {
    "02_write_and_reopen.ipynb": (13, "table.dataframe"),
    "03_why_did_this_happen.ipynb": (5, "img"),
    "04_which_event_broke_it.ipynb": (5, "table"),
    "05_what_would_compaction_cost.ipynb": (5, "table.dataframe"),
}
STDERR, ERROR = ("application/vnd.jupyter." + kind for kind in ("stderr", "error"))


def show_the_beginning(page: Any) -> None:
    """Side bar closed, first cell on top: the picture for people, and the one in the README."""
    page.evaluate("() => jupyterapp.commands.execute('application:toggle-left-area')")
    page.evaluate("() => { jupyterapp.shell.currentWidget.content.activeCellIndex = 0; }")
    page.evaluate("() => { document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0; }")
    page.wait_for_function("() => document.querySelector('.jp-WindowedPanel-outer').scrollTop === 0", timeout=WAIT_MS)


def test_rows_are_on_screen_within_three_cells(page: Any, lab: str, artifacts: Path) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_and_run(page, lab, FIRST)
    show_the_beginning(page)
    cells = page.locator(".jp-CodeCell")
    cells.filter(has=page.locator("table.dataframe")).first.wait_for(timeout=WAIT_MS)
    tables = [cells.nth(position).locator(".jp-OutputArea-output table.dataframe") for position in range(3)]
    shown = next(table for table in tables if table.count())
    assert "player:alice" in shown.first.inner_text()
    page.screenshot(path=artifacts / "jupyterlab.png")
    assert page.locator(f".jp-RenderedText[data-mime-type='{STDERR}']").count() == 0
    assert errors == []


@pytest.mark.parametrize("notebook", OTHERS)
def test_every_cell_runs_and_its_result_is_shown(notebook: str, page: Any, lab: str, artifacts: Path) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_and_run(page, lab, notebook)
    cell, selector = OTHERS[notebook]
    page.evaluate(f"() => {{ jupyterapp.shell.currentWidget.content.activeCellIndex = {cell}; }}")
    page.evaluate(f"() => jupyterapp.shell.currentWidget.content.scrollToItem({cell}, 'start')")
    shown = page.locator(".jp-Notebook-cell.jp-mod-active").locator(f".jp-OutputArea-output {selector}").first
    shown.scroll_into_view_if_needed(timeout=WAIT_MS)
    page.screenshot(path=artifacts / f"{Path(notebook).stem}.png")
    for kind in (STDERR, ERROR):
        assert page.locator(f".jp-RenderedText[data-mime-type='{kind}']").count() == 0
    assert errors == []
