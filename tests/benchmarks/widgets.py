"""What a person waits for in a notebook: one step of each widget, in the kernel, on a store of which all is known."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import batpak_analytics as bp
from batpak_analytics.widgets import CausesWidget
from tests.benchmarks.timing import Case

STEPS = 20
SAMPLED = 8_000


def widget_cases(store: Path, events: int) -> list[Case]:
    """A step of a widget takes the median of some that are spread over the store."""
    reader = bp.open_reader(store)
    entries = reader.query()
    wanted = [entry.event_id.hex() for entry in entries[:: max(len(entries) // STEPS, 1)]][:STEPS]
    causes = CausesWidget(reader, wanted[0])
    replay = reader.replay(bp.Count(by="kind")).widget()
    jumps = [(number * 7919 + 1) % events for number in range(STEPS)]
    share = min(SAMPLED / events, 0.5)
    rules = [bp.keep.last_n_per_entity(number) for number in range(1, STEPS + 1)]

    def look(event_id: str) -> None:
        causes.event_id = event_id

    def jump(position: int) -> None:
        replay.position = position

    def estimate(rule: object) -> None:
        assert reader.plan_compaction("retention", rule, sample=share).sampled is not None

    return [
        _case("causes-step", "`CausesWidget`, a step to another event", lambda: _each(look, wanted), events),
        _case("replay-step", "`ReplayWidget`, a step to a position far away", lambda: _each(jump, jumps), events),
        _case("what-if", "`CompactionWidget`, an estimate after another rule", lambda: _each(estimate, rules), events),
    ]


def _case(name: str, title: str, go: Callable[[], float], events: int) -> Case:
    return Case(name, title, go, events, reads_all=False)


def _each(step: Callable[..., None], given: Sequence[object]) -> float:
    """The median of the seconds that each step takes."""
    taken = []
    for one in given:
        start = time.perf_counter()
        step(one)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
