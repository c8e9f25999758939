"""Importing the package must cost nothing: notebooks, workers and the command line all pay for it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = [
    "numpy",
    "pandas",
    "pyarrow",
    "polars",
    "duckdb",
    "ipywidgets",
    "rich",
    "tqdm",
    "asyncio",
    "msgspec",
    "pydantic",
]
BUDGET_S = 0.060
ATTEMPTS = 7


def run_python(code: str, *flags: str) -> str:
    command = [sys.executable, *flags, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize("module", ["batpak_analytics", "batpak_analytics.cli", "batpak_analytics.data"])
def test_import_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(run_python(code)))
    assert module in loaded
    assert not loaded & set(HEAVY)


def test_import_takes_under_60_ms() -> None:
    """Of a processor: what runs beside it does not count."""
    code = "import time; a = time.process_time(); import batpak_analytics; print(time.process_time() - a)"
    assert min(float(run_python(code)) for _ in range(ATTEMPTS)) < BUDGET_S


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, json\nfrom batpak_analytics.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit: pass\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    loaded = set(json.loads(run_python(code).splitlines()[-1]))
    assert not loaded & set(HEAVY)


def test_public_names_are_listed_and_arrive_on_demand() -> None:
    import batpak_analytics as bp

    for name in bp.__all__:
        assert getattr(bp, name) is not None, name
    assert set(bp.__all__) <= set(dir(bp))
    assert {"read_batpak", "scan_batpak", "open_reader", "demo_store", "BatpakError", "category"} <= set(bp.__all__)


def test_a_misspelt_public_name_is_an_attribute_error() -> None:
    import batpak_analytics as bp

    with pytest.raises(AttributeError, match="read_batpack"):
        _ = bp.read_batpack
