"""The lines of the table: what was measured, in cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.benchmarks.limits import Verdict, verdicts
from tests.benchmarks.timing import Timing

HEADINGS = ("", "median", "fastest to slowest", "µs/event", "GB/s", "passes", "reference takes")
LIMIT_HEADINGS = ("must hold", "measured", "held")
NONE = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its cells up to the limits, and the verdicts that stand beside them."""

    title: str
    cells: tuple[str, ...]
    verdicts: tuple[Verdict, ...] = ()

    def texts(self) -> list[str]:
        """All cells. Several verdicts share theirs."""
        judged = [(one.limit, one.measured, "yes" if one.held else "NO") for one in self.verdicts]
        columns = zip(*judged, strict=True) if judged else [(), (), ()]
        return [self.title, *self.cells, *("; ".join(column) for column in columns)]


@dataclass(slots=True)
class Section:
    """Lines on one subject."""

    title: str
    lines: list[Line] = field(default_factory=list)


def timing_lines(timings: Iterable[Timing], seconds: Mapping[str, float], events: int) -> list[Line]:
    """Lines of cases on a store of `events`. `seconds` has the medians of everything they are compared with."""
    return [timing_line(timing, seconds, events) for timing in timings]


def timing_line(timing: Timing, seconds: Mapping[str, float], events: int, size_bytes: int | None = None) -> Line:
    """One of them; with the size of the segments it says how fast those were read."""
    case, taken = timing.case, timing.scaled_to(events)
    sampled = f" ({case.events:,} events, scaled)" if case.events != events else ""
    cells = (
        seconds_text(taken),
        _spread(timing, events),
        f"{taken / events * 1e6:.3g}" if case.reads_all else NONE,
        f"{size_bytes / taken / 1e9:.2f}" if size_bytes else NONE,
        f"{taken / seconds['pass']:.3g}" if "pass" in seconds else NONE,
        f"{seconds['reference'] / taken:.3g}x" if "reference" in seconds else NONE,
    )
    return Line(case.title + sampled, cells, verdicts(case.name, seconds))


def _spread(timing: Timing, events: int) -> str:
    scale = events / timing.case.events
    if len(timing.goes) == 1:
        return "once"
    return f"{seconds_text(min(timing.goes) * scale)} to {seconds_text(max(timing.goes) * scale)} of {len(timing.goes)}"


def seconds_text(seconds: float) -> str:
    """Seconds, or milliseconds where that reads better."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
