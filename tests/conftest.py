"""What every test may rely on: the kernels are loaded, and the stores of the Rust engine are at hand."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from batpak_analytics.data import demo_store
from batpak_analytics.errors import PerformanceWarning

# Without a compiler the kernels warn once, on import. That is not the failure of whichever test comes first.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", PerformanceWarning)
    from batpak_analytics import kernels

FIXTURES = Path(__file__).resolve().parent / "fixtures"


def pytest_report_header() -> str:
    """Say at the top of every run which implementation is under test."""
    return f"batpak: kernels {'compiled' if kernels.COMPILED else 'not compiled'}"


@pytest.fixture(scope="session")
def fixture_stores() -> Path:
    """The committed stores that the Rust engine wrote; NAME.jsonl is what that engine read from NAME."""
    return FIXTURES


@pytest.fixture(scope="session")
def quickstart() -> Path:
    """The bundled store: one open, four user events, one close."""
    return demo_store()
