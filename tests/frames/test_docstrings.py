"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from batpak_analytics import copies
from batpak_analytics.arrow import filters, scan
from batpak_analytics.compaction import compare, keep
from batpak_analytics.frames import causes, read, typed
from batpak_analytics.payloads import default, registry
from batpak_analytics.store.copies import restore
from batpak_analytics.store.imports import door, importing

MODULES = [
    *(causes, compare, filters, keep, scan, read, typed, default, registry, copies, restore, door, importing),
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_docstring_examples_give_what_they_say(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
