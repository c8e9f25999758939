"""The reference engine for the tests of this directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# The tests here share modules. Import mode "importlib" leaves the repository root off the path.
ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from tests.interop.oracle import Oracle, OracleUnavailable, interop_required  # noqa: E402


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    """The reference engine as a program, built once per session."""
    try:
        return Oracle.build()
    except OracleUnavailable as reason:
        if interop_required():
            pytest.fail(f"BATPAK_REQUIRE_INTEROP=1, but {reason}")
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def preload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that kills the process which loads it, at a chosen call."""
    library = tmp_path_factory.mktemp("preload") / "killed_at.so"
    source = Path(__file__).with_name("killed_at.c")
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the reference engine, so that ``-m "not interop"`` leaves it out."""
    for item in items:
        if "oracle" in getattr(item, "fixturenames", ()):
            item.add_marker("interop")
