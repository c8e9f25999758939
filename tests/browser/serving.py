"""Servers and a browser, for tests and benchmarks: JupyterLab, Voila and Chromium, each ended with its context."""

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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
START_S = 60
# The container's /dev/shm may be 64 MB, and the sandbox refuses to run as root.
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-dev-shm-usage"]
NEEDED = ("playwright", "jupyterlab", "voila")


def missing_programs() -> list[str]:
    """What a browser test needs and this machine does not have, with how to get it."""
    missing = [] if shutil.which("chromium") else ["chromium (apt-get install chromium)"]
    return missing + [f"{name} (pip install {name})" for name in NEEDED if find_spec(name) is None]


@contextmanager
def jupyterlab(home: Path, notebooks: Path, log: Path) -> Iterator[str]:
    """The address of a JupyterLab in the directory of the notebooks; `home` is an empty directory for its settings."""
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    port = _free_port()
    command = [
        *(sys.executable, "-m", "jupyterlab", f"--config={HERE / 'jupyter_server_config.py'}"),
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={notebooks}",
    ]
    with _serving(command, home, log):
        address = f"http://127.0.0.1:{port}"
        _wait_until_up(f"{address}/api")
        yield address


@contextmanager
def voila_server(home: Path, notebooks: Path, log: Path) -> Iterator[str]:
    """The address of a Voila in the directory of the notebooks."""
    port = _free_port()
    command = [sys.executable, "-m", "voila", "--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1", str(notebooks)]
    with _serving(command, home, log):
        address = f"http://127.0.0.1:{port}"
        _wait_until_up(address)
        yield address


@contextmanager
def browser_page() -> Iterator[Any]:
    """A fresh page of Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        try:
            yield browser.new_page(viewport={"width": 1360, "height": 800})
        finally:
            browser.close()


def _environment(home: Path) -> dict[str, str]:
    """The user's own Jupyter settings must not decide what is seen."""
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
            if server.poll() is not None:
                raise RuntimeError(f"The server stopped by itself. See {log.name}.")
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
    raise TimeoutError(f"{address} did not answer within {START_S} s. See the log of the server.")
