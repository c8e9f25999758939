"""The stores that the engine wrote read exactly as the engine reads them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.interop.compare import assert_store_equals
from tests.interop.rows import read_rows

TESTS = Path(__file__).resolve().parents[1]
COMMITTED = TESTS / "fixtures"
SHARED = Path(os.environ.get("BATPAK_FIXTURES", TESTS.parents[1] / "shared" / "fixtures"))


def stores(directory: Path) -> list[Path]:
    """The stores of a directory: each has its rows beside it."""
    return [path.with_suffix("") for path in sorted(directory.glob("*.jsonl"))]


def check(store: Path) -> None:
    assert_store_equals(store, read_rows(store.with_name(f"{store.name}.jsonl")))


@pytest.mark.parametrize("store", stores(COMMITTED), ids=lambda store: store.name)
def test_committed_store_reads_as_the_engine_reads_it(store: Path) -> None:
    check(store)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no stores at {SHARED}; set BATPAK_FIXTURES to where they are")
@pytest.mark.parametrize("store", stores(SHARED), ids=lambda store: store.name)
def test_shared_store_reads_as_the_engine_reads_it(store: Path) -> None:
    check(store)


def test_no_committed_store_went_missing() -> None:
    assert len(stores(COMMITTED)) == 13
    assert sum(file.stat().st_size for file in COMMITTED.rglob("*") if file.is_file()) < 2_000_000
