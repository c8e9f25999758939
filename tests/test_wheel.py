"""What an installation brings: Python, one style sheet and the demo store; nothing that a browser would run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHEET = "batpak_analytics/widgets/static/widgets.css"
LARGEST_SHEET = 6_000
SOURCES = {".py", ".pyi", ".pxd", ".h", ".so"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a wheel, by name; its kernels are left out, which changes nothing else."""
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(
        ROOT / "batpak_analytics",
        project / "batpak_analytics",
        ignore=shutil.ignore_patterns("*.so", "__pycache__"),
    )
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, project / name)
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "bdist_wheel", "--dist-dir", "dist"],
        cwd=project, env=os.environ | {"BATPAK_NO_KERNELS": "1"}, check=True, capture_output=True,
    )  # fmt: skip
    (built,) = (project / "dist").glob("*.whl")
    with ZipFile(built) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_nothing_that_a_browser_runs_is_in_the_wheel(wheel: dict[str, bytes]) -> None:
    """Every file is accounted for: a script under another name would be seen too, and so would a Jupyter extension."""
    shipped = {name for name in wheel if ".dist-info/" not in name and not name.startswith("batpak_analytics/data/")}
    others = {name for name in shipped if PurePosixPath(name).suffix not in SOURCES}
    assert others == {SHEET, "batpak_analytics/py.typed"}
    assert {name.split("/")[0] for name in shipped} == {"batpak_analytics"}
    assert {PurePosixPath(name).suffix for name in wheel if "/data/" in name} <= {".py", ".fbat", ".fbati", ".idemp"}


def test_no_source_carries_a_script_or_asks_a_browser_for_one(wheel: dict[str, bytes]) -> None:
    for name, content in wheel.items():
        if name.endswith((".py", ".css")):
            text = content.decode().lower()
            for word in ("<script", "javascript", "_esm", "requirejs", "@import", "url("):
                assert word not in text, (name, word)


def test_the_sheet_of_the_widgets_comes_along_and_is_small(wheel: dict[str, bytes]) -> None:
    assert 0 < len(wheel[SHEET]) <= LARGEST_SHEET


def test_the_demo_store_comes_along_whole(wheel: dict[str, bytes]) -> None:
    demo = ROOT / "batpak_analytics" / "data" / "quickstart"
    for file in demo.iterdir():
        assert wheel[f"batpak_analytics/data/quickstart/{file.name}"] == file.read_bytes()
