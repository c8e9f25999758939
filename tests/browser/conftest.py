"""A real JupyterLab and a real Chromium, for tests of what a user sees."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.driving import make_room, open_and_run
from tests.browser.serving import browser_page, jupyterlab, missing_programs, voila_server

REPOSITORY = Path(__file__).resolve().parent.parent.parent
REQUIRED = os.environ.get("BATPAK_REQUIRE_BROWSER") == "1"


def need_a_browser() -> None:
    """Leave the test out where something that it needs is missing, unless the environment insists."""
    missing = missing_programs()
    if missing and REQUIRED:
        pytest.fail(f"BATPAK_REQUIRE_BROWSER=1, but there is no {', no '.join(missing)}")
    if missing:
        pytest.skip(f"there is no {', no '.join(missing)}")


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots and logs go: ``$BATPAK_ARTIFACTS``, or a temporary directory."""
    chosen = os.environ.get("BATPAK_ARTIFACTS")
    directory = Path(chosen) if chosen else tmp_path_factory.mktemp("artifacts")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@pytest.fixture(scope="session")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the notebooks, without outputs: what appears was made now. Tests may add to it."""
    directory = tmp_path_factory.mktemp("notebooks")
    for notebook in (REPOSITORY / "notebooks").glob("*.ipynb"):
        (directory / notebook.name).write_text(json.dumps(_without_outputs(json.loads(notebook.read_text()))))
    return directory


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, notebooks: Path, artifacts: Path) -> Iterator[str]:
    """The address of a JupyterLab in the directory of the notebooks."""
    need_a_browser()
    with jupyterlab(tmp_path_factory.mktemp("jupyter"), notebooks, artifacts / "jupyterlab.log") as address:
        yield address


@pytest.fixture(scope="session")
def voila(tmp_path_factory: pytest.TempPathFactory, notebooks: Path, artifacts: Path) -> Iterator[str]:
    """The address of a Voila in the directory of the notebooks."""
    need_a_browser()
    with voila_server(tmp_path_factory.mktemp("voila"), notebooks, artifacts / "voila.log") as address:
        yield address


@pytest.fixture
def page() -> Iterator[Any]:
    """A fresh browser page; closed at the end of the test."""
    need_a_browser()
    with browser_page() as opened:
        yield opened


@pytest.fixture
def run_notebook(page: Any, lab: str) -> Callable[..., Any]:
    """Runs a notebook of the directory, and gives the page, with room of this height and its scripts' `errors`."""

    def run(notebook: str, height: int = 1100) -> Any:
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        open_and_run(page, lab, notebook)
        make_room(page, height=height)
        return page

    return run


def _without_outputs(notebook: dict[str, Any]) -> dict[str, Any]:
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    return notebook
