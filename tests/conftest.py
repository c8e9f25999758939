"""What every test may rely on: the kernels are loaded, and the stores of the Rust engine are at hand."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from batpak_analytics.data import demo_store
from batpak_analytics.errors import PerformanceWarning

# Without a compiler the kernels warn once, on import. That is not the failure of whichever test comes first.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", PerformanceWarning)
    from batpak_analytics import kernels

# Hypothesis without a stopwatch: a busy machine is not a broken format.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

REAL_SYNC = os.fsync
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


@pytest.fixture(scope="session", autouse=True)
def quick_sync() -> Iterator[None]:
    """`os.fsync` does not wait for the disk, which would be most of the time that small stores take.

    What it leaves out cannot be seen from here: a test can end a process, and cannot cut the power. Where threads run
    it does wait, because others come in between then; so do the programs that tests start, and tests with `real_sync`.
    """
    threads = _threads()

    def sync(descriptor: int) -> None:
        if _threads() > threads:
            REAL_SYNC(descriptor)
        else:
            os.fstat(descriptor)  # fails as it does on what is closed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", sync)
        yield


@pytest.fixture
def real_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sync goes to the disk."""
    monkeypatch.setattr(os, "fsync", REAL_SYNC)


def _threads() -> int:
    """Threads that a test may have started: not those of progress bars, which stay."""
    return sum(not thread.daemon for thread in threading.enumerate())
