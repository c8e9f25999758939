"""A notebook in a browser, driven as a person does it: by role and label."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

WAIT_MS = 60_000
NAMED_ROLES = {"button", "combobox", "listbox", "textbox", "spinbutton", "checkbox", "radio", "tab", "menuitem"}
ALL_RUN = """() => {
    const cells = jupyterapp.shell.currentWidget.content.widgets.filter(cell => cell.model.type === 'code');
    return cells.every(cell => cell.model.executionState !== 'running' && cell.model.executionCount);
}"""

FOCUSED = "() => document.activeElement.labels?.[0]?.innerText || document.activeElement.innerText"


def write_notebook(path: Path, *cells: str) -> Path:
    """A notebook of code cells, none of them run."""
    made: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"cell-{number}", "metadata": {}, "source": source, "outputs": [],
         "execution_count": None}
        for number, source in enumerate(cells)
    ]  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.write_text(json.dumps({"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def open_and_run(page: Any, lab: str, notebook: str) -> None:
    """Open the notebook, wait for its kernel, and run every cell."""
    page.goto(f"{lab}/lab/tree/{notebook}?reset")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=WAIT_MS)
    page.wait_for_function("() => jupyterapp.shell.currentWidget.sessionContext.isReady", timeout=WAIT_MS)
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.ready")
    page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(ALL_RUN, timeout=WAIT_MS)


def make_room(page: Any, width: int = 1360, height: int = 1100) -> None:
    """Only the notebook, in a window of this size."""
    if page.evaluate("() => !jupyterapp.shell.leftCollapsed"):
        page.evaluate("() => jupyterapp.commands.execute('application:toggle-left-area')")
    page.set_viewport_size({"width": width, "height": height})


def use_theme(page: Any, name: str) -> None:
    """JupyterLab's theme of this name, with nothing left of the picture that it shows meanwhile."""
    page.evaluate("name => jupyterapp.commands.execute('apputils:change-theme', {theme: name})", name)
    page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name, timeout=WAIT_MS)
    page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=WAIT_MS)


def unnamed_controls(page: Any, within: str = ".bpk") -> list[str]:
    """The roles of controls that have no name which can be read aloud. A slider is named by the box beside it."""
    session = page.context.new_cdp_session(page)
    root = session.send("DOM.getDocument", {"depth": -1})["root"]
    node = session.send("DOM.querySelector", {"nodeId": root["nodeId"], "selector": within})["nodeId"]
    tree = session.send("Accessibility.queryAXTree", {"nodeId": node})["nodes"]
    found = []
    for one in tree:
        role, name = one.get("role", {}).get("value"), one.get("name", {}).get("value", "")
        if not one.get("ignored") and role in NAMED_ROLES and not _readable(name):
            found.append(f"{role} {name!r}")
    session.detach()
    return found


def _readable(name: str) -> bool:
    return any(unicodedata.category(char)[0] in "LN" for char in name)


def contrast(page: Any, selector: str) -> float:
    """The contrast of the text of an element with what is behind it, as WCAG computes it."""
    found: float = page.locator(selector).first.evaluate(
        """element => {
            const channel = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
            const numbers = text => text.match(/[\\d.]+/g).map(Number);
            const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
            const text = luminance(numbers(getComputedStyle(element).color));
            let behind = element;
            const clear = color => color === 'transparent' || numbers(color)[3] === 0;
            const ground_of = one => getComputedStyle(one).backgroundColor;
            while (behind.parentElement && clear(ground_of(behind))) behind = behind.parentElement;
            const ground = luminance(numbers(ground_of(behind)));
            return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
        }"""
    )
    return found


def css(page: Any, selector: str, name: str) -> str:
    """A computed property of the first element."""
    script = "(element, name) => getComputedStyle(element).getPropertyValue(name)"
    return str(page.locator(selector).first.evaluate(script, name))


def sideways(page: Any) -> list[str]:
    """What can be scrolled sideways, or holds what is cut off at the side."""
    selectors = (".jp-WindowedPanel-outer", ".jp-OutputArea-output", ".bpk")
    script = "all => all.some(one => one.scrollWidth > one.clientWidth + 1)"
    return [one for one in selectors if page.locator(one).evaluate_all(script)]


def focus_order(page: Any, first: Any, count: int) -> list[str]:
    """The names of what the Tab key reaches, from `first` on."""
    first.focus()
    names = []
    for _ in range(count):
        names.append(page.evaluate(FOCUSED))
        page.keyboard.press("Tab")
    return [str(name).strip() for name in names]
