"""Hostile files cost bounded memory and time, and no event beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.damage.hostile import CASES, SECONDS

WHOLE = set(range(9))
# What is hidden, or which files count, cannot be known.
REFUSED = {"4 Gi hidden ranges", "deep hidden ranges", "deep marker", "marker with a long number"}


@pytest.fixture(scope="module")
def readings() -> dict[str, dict[str, Any]]:
    """All cases, read one after another in one process with limited memory."""
    done = subprocess.run([sys.executable, "-m", "tests.damage.hostile"], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"after {lines[-1:]}: {done.stderr[-3000:]}"
    return {line["case"]: line for line in lines}


@pytest.mark.parametrize("name", CASES)
def test_hostile_file_costs_no_event_beside_it(readings: dict[str, dict[str, Any]], name: str) -> None:
    reading = readings[name]
    if name in REFUSED:
        assert reading["error"] in ("HiddenRangesCorruptError", "MarkerCorruptError")
        return
    assert reading["error"] == ""
    assert set(reading["clocks"]) >= WHOLE
    assert len(reading["clocks"]) <= len(WHOLE) + 1
    assert reading["seconds"] < SECONDS


def test_every_hostile_file_is_told(readings: dict[str, dict[str, Any]]) -> None:
    """Except where the bytes are a legal event whose payload is nobody's business but the application's."""
    legal = {name for name in CASES if "payload" in name and name != "payload of 4 Gi elements"}
    legal.add("number of 2**64")  # which nothing else on disk holds against it
    quiet = {name for name, reading in readings.items() if not reading["rules"] and not reading["error"]}
    assert quiet <= legal, quiet - legal
