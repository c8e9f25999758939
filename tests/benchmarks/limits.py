"""What must hold: ratios of one measurement to another of the same run, and what a person waits for at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MEMORY_LIMIT_MB = 150.0


@dataclass(frozen=True, slots=True)
class Limit:
    """`name` may take at most `most` times as long as `base`. `of` is the base in words."""

    name: str
    base: str
    most: float
    of: str

    def __str__(self) -> str:
        return f"≤ {_ratio(self.most)} {self.of}"


LIMITS = (
    Limit("scan", "reference", 1 / 30, "the reference"),
    Limit("scan", "pass", 4, "the pass"),
    Limit("index", "pass", 1, "the pass"),
    Limit("read_batpak", "scan", 5, "the scan"),
    Limit("count", "pass", 1 / 10, "the pass"),
    Limit("append", "reference-append", 1, "the reference"),
    Limit("append_batch", "reference-append_batch", 1, "the reference"),
    Limit("append_frame", "reference-append_batch", 1 / 5, "the reference's batches"),
    Limit("store-open", "reference-open", 1 / 10, "the reference"),
    Limit("get", "reference-get", 20, "the reference"),
    Limit("store-get", "reference-get", 20, "the reference"),
    Limit("causes", "reference-read-only", 1 / 8, "the reference"),
    Limit("causal-nodes", "reference-read-only", 1 / 8, "the reference"),
    Limit("chains", "reference-read-only-open", 1 / 5, "the reference's open"),
    Limit("verify", "reference-verify", 1 / 4, "the reference's `verify_chain`"),
    Limit("first-where", "bare-loop", 2.5, "the bare loop"),
    Limit("trace", "bare-loop", 2.5, "the bare loop"),
    Limit("first-where-whole", "bare-loop", 2.5, "the bare loop"),
    Limit("trace-whole", "bare-loop", 2.5, "the bare loop"),
    Limit("vectorised", "bare-total", 1 / 10, "the bare loop of it"),
    Limit("state-at", "fold", 1 / 100, "the fold"),
    Limit("entity-replay", "reference-project", 1, "the reference"),
    Limit("plan-retention", "plan-scan", 4, "the scan"),
    Limit("plan-again", "plan-scan", 1, "the scan"),
    Limit("plan-estimate-again", "plan-scan", 1 / 4, "the scan"),
    Limit("many-segments", "one-segment", 3, "one segment"),
)


UPDATE_BYTES = 20_000
"""What one update of a widget may send to the browser."""
PAINTS = {
    **dict.fromkeys(("paint-replay-step", "paint-replay-jump", "paint-replay-change"), 0.1),
    **dict.fromkeys(("paint-causes-step", "paint-causes-walk"), 0.1),
    **dict.fromkeys(("paint-estimate", "paint-estimate-filter", "paint-estimate-again"), 0.3),
}
"""Seconds from an input to the paint of what it led to."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A limit, what was measured, and whether it held."""

    limit: str
    measured: str
    held: bool


def verdicts(name: str, seconds: Mapping[str, float]) -> tuple[Verdict, ...]:
    """The verdicts on one case, from the seconds of all; none where the base was not measured."""
    found = []
    for limit in LIMITS:
        if limit.name == name and limit.base in seconds:
            ratio = seconds[name] / seconds[limit.base]
            found.append(Verdict(str(limit), f"{_ratio(ratio)} {limit.of}", ratio <= limit.most))
    if name in PAINTS:
        most, taken = PAINTS[name], seconds[name]
        found.append(Verdict(f"≤ {most * 1000:.0f} ms", f"{taken * 1000:.0f} ms", taken <= most))
    return tuple(found)


def memory_verdict(megabytes: float) -> Verdict:
    """Whether streaming stayed small."""
    return Verdict(f"< {MEMORY_LIMIT_MB:.0f} MB", f"{megabytes:.0f} MB", megabytes < MEMORY_LIMIT_MB)


def update_verdict(count: int) -> Verdict:
    """Whether the largest message of an update was small enough."""
    return Verdict(f"≤ {UPDATE_BYTES / 1000:.0f} kB", f"{count / 1000:.1f} kB", count <= UPDATE_BYTES)


def _ratio(value: float) -> str:
    """Small ratios as fractions, `1/39 of`; others as `3.6x`."""
    if value < 0.15:
        return f"1/{1 / value:.3g} of"
    return f"{value:.3g}x"
