"""Numbers, hidden rows and order are found out once, when they are asked for, by however many threads."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from batpak_analytics.engine import numbering, sequences
from tests.arrow.scan_stores import FIXTURES, fixture_view


def test_a_count_asks_for_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "assign_sequences", lambda *_: pytest.fail("numbers were asked for"))
    view = fixture_view("segments")
    assert not view.hidden.ranges
    assert view.event_count > 0


@pytest.mark.parametrize("name", sorted(path.name for path in Path(FIXTURES).iterdir() if path.is_dir()))
def test_threads_that_ask_for_different_things_do_not_wait_for_each_other_forever(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sequences.assign_sequences
    calls: list[int] = []

    def slow(*given: Any) -> Any:
        calls.append(len(given))
        time.sleep(0.02)
        return real(*given)

    monkeypatch.setattr(numbering, "assign_sequences", slow)
    # As if ids repeated, so that what is excluded depends on numbers.
    monkeypatch.setattr(numbering.Numbering, "_ids_differ", lambda _: False)
    view = fixture_view(name)
    asked = [lambda: view.event_count, lambda: view.last_sequence, lambda: view.runs, lambda: view.findings] * 2
    threads = [threading.Thread(target=one, daemon=True) for one in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert calls in ([2], [2, 3])  # each sort of numbers once
