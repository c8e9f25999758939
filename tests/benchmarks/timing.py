"""Cases and their medians: every case takes its turn in every round, so that all see the same machine."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.benchmarks.progress import say

PATIENCE_SECONDS = 120.0
"""A case that has taken longer than this is not repeated again."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure: `go` does it once and returns the seconds it took.

    `events` is how many events a go covers; fewer than the store's where a peer is measured on a sample. A case that
    needs only some rows of the store does not `reads_all`, and has no time per event.
    """

    name: str
    title: str
    go: Callable[[], float]
    events: int
    warm_up: bool = True
    reads_all: bool = True


@dataclass(frozen=True, slots=True)
class Timing:
    """What the goes of one case took."""

    case: Case
    goes: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(self.goes)

    def scaled_to(self, events: int) -> float:
        """The median, for `events` events where a sample was measured."""
        return self.seconds * events / self.case.events


def timed(work: Callable[[], int], expected: int) -> Callable[[], float]:
    """A go that times `work`, which returns how many rows it saw: a fast wrong answer is not a result."""

    def go() -> float:
        gc.collect()
        start = time.perf_counter()
        seen = work()
        taken = time.perf_counter() - start
        if seen != expected:
            raise AssertionError(f"{expected} rows were expected and {seen} came")
        return taken

    return go


def measure(cases: Iterable[Case], repeat: int) -> dict[str, Timing]:
    """The timings of all cases by name, after one go each that does not count."""
    timings = [Timing(case) for case in cases]
    for timing in timings:
        if timing.case.warm_up:
            say(f"warming up: {timing.case.title}")
            timing.case.go()
    for number in range(1, repeat + 1):
        _round(timings, f"round {number} of {repeat}")
    return {timing.case.name: timing for timing in timings}


def _round(timings: Sequence[Timing], label: str) -> None:
    for timing in timings:
        if sum(timing.goes) < PATIENCE_SECONDS:
            timing.goes.append(timing.case.go())
            say(f"{label}: {timing.case.title}: {timing.goes[-1]:.3f} s")
