"""The examples in the docstrings run as they stand."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["chains", "inclusion", "read", "segments", "verify"])
def test_examples_give_what_they_show(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"batpak_analytics.proof.{name}"))
    assert found.attempted and not found.failed
