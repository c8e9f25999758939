"""A real JupyterLab and a real Chromium, for tests of what a user sees."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.browser.driving import make_room, open_and_run

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
REQUIRED = os.environ.get("BATPAK_REQUIRE_BROWSER") == "1"
START_S = 60
# The container's /dev/shm may be 64 MB, and the sandbox refuses to run as root.
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-dev-shm-usage"]


def browser_program() -> str:
    """The path of Chromium; the test is left out where there is none, unless the environment insists."""
    program = shutil.which("chromium")
    missing = [] if program else ["chromium (apt-get install chromium)"]
    needed = ("playwright", "jupyterlab", "voila")
    missing += [f"{name} (pip install {name})" for name in needed if find_spec(name) is None]
    if missing and REQUIRED:
        pytest.fail(f"BATPAK_REQUIRE_BROWSER=1, but there is no {', no '.join(missing)}")
    if missing or program is None:
        pytest.skip(f"there is no {', no '.join(missing)}")
    return program


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
    browser_program()
    home = tmp_path_factory.mktemp("jupyter")
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    port = _free_port()
    with _serving(_lab_command(port, notebooks), home, artifacts / "jupyterlab.log"):
        address = f"http://127.0.0.1:{port}"
        _wait_until_up(f"{address}/api")
        yield address


@pytest.fixture(scope="session")
def voila(tmp_path_factory: pytest.TempPathFactory, notebooks: Path, artifacts: Path) -> Iterator[str]:
    """The address of a Voila in the directory of the notebooks."""
    browser_program()
    port = _free_port()
    command = [sys.executable, "-m", "voila", "--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1", str(notebooks)]
    with _serving(command, tmp_path_factory.mktemp("voila"), artifacts / "voila.log"):
        address = f"http://127.0.0.1:{port}"
        _wait_until_up(address)
        yield address


@pytest.fixture
def page(artifacts: Path) -> Iterator[Any]:
    """A fresh browser page; closed at the end of the test."""
    program = browser_program()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        try:
            yield browser.new_page(viewport={"width": 1360, "height": 800})
        finally:
            browser.close()


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


def _lab_command(port: int, notebooks: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "jupyterlab", f"--config={HERE / 'jupyter_server_config.py'}"),
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={notebooks}",
    ]


def _environment(home: Path) -> dict[str, str]:
    """The user's own Jupyter settings must not decide what the test sees."""
    return os.environ | {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _serving(command: list[str], home: Path, log: Path) -> Iterator[None]:
    """A server in a process group of its own, which is ended with it."""
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=_environment(home), stdout=output, stderr=output, start_new_session=True)
        try:
            yield
            assert server.poll() is None, f"the server stopped by itself; see {log.name} among the artefacts"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=30)


def _wait_until_up(address: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=10):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"{address} did not answer within {START_S} s; see the logs among the artefacts")
