"""What every test may rely on: the kernels are loaded, and the stores of the Rust engine are found."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

from batpak_analytics.data import demo_store
from batpak_analytics.errors import PerformanceWarning

REPOSITORY = Path(__file__).resolve().parent.parent
FIXTURES = Path(os.environ.get("BATPAK_FIXTURES", REPOSITORY.parent / "shared" / "fixtures"))


def pytest_report_header() -> str:
    """Say at the top of every run which implementation is under test."""
    # Without a compiler the kernels warn once, on import; that is not the failure of whichever test is first.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PerformanceWarning)
        from batpak_analytics import kernels
    return (
        f"batpak: kernels {'compiled' if kernels.COMPILED else 'not compiled'}; reference stores {FIXTURES}"
    )


@pytest.fixture(scope="session")
def fixture_stores() -> Path:
    """The directory of stores that the Rust engine wrote; beside the repository, or ``$BATPAK_FIXTURES``."""
    if not FIXTURES.is_dir():
        pytest.skip(f"no reference stores at {FIXTURES}; set BATPAK_FIXTURES to where they are")
    return FIXTURES


@pytest.fixture(scope="session")
def quickstart() -> Path:
    """The bundled store: one open, four user events, one close."""
    return demo_store()
