"""What a scan will do, said before or after it is done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from batpak_analytics.arrow.schema import Tier
from batpak_analytics.markup import one_line, preformatted, size_text

_TIER_TEXT = {
    Tier.INDEX: "index (footers only)",
    Tier.FRAME: "frame (event headers)",
    Tier.PAYLOAD: "payload",
}


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """One segment of a scan: how many of its events are selected, or why it is not looked at."""

    segment_id: int
    name: str
    events: int
    selected: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The plan of a scan. `print()` it; the attributes hold the same facts.

    `rows` is the number of events that the index selects; with a filter on frame or payload columns
    (`filtered_later`) fewer may come out. `index_bytes` and `frame_bytes` are what is read of footers and
    frames.
    """

    path: str
    columns: tuple[str, ...]
    tiers: tuple[Tier, ...]
    segments: tuple[SegmentPlan, ...]
    rows: int
    limit: int | None
    filters: str | None
    filtered_later: tuple[str, ...]
    index_bytes: int
    frame_bytes: int
    payload_notes: tuple[str, ...]
    findings: dict[str, int]

    @property
    def kept(self) -> tuple[SegmentPlan, ...]:
        """Segments with selected events."""
        return tuple(segment for segment in self.segments if segment.selected)

    @property
    def pruned(self) -> tuple[SegmentPlan, ...]:
        """Segments without a selected event, with the reason where no row had to be looked at."""
        return tuple(segment for segment in self.segments if not segment.selected)

    def __str__(self) -> str:
        return "\n".join(map(one_line, self._lines()))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return preformatted(str(self))

    def _lines(self) -> list[str]:
        total = sum(segment.events for segment in self.segments)
        lines = [
            f"scan of {self.path}",
            f"  rows      {self.rows:,} of {total:,}" + (f", at most {self.limit:,}" if self.limit is not None else ""),
            f"  columns   {', '.join(self.columns)}",
            f"  tiers     {', '.join(_TIER_TEXT[tier] for tier in self.tiers)}",
            f"  reads     {size_text(self.index_bytes)} of index, {size_text(self.frame_bytes)} of frames",
            f"  segments  {len(self.kept)} kept, {len(self.pruned)} pruned of {len(self.segments)}",
        ]
        reasons = Counter(segment.reason or "no row matches" for segment in self.pruned)
        lines += [f"    pruned {count}: {reason}" for reason, count in reasons.most_common()]
        if self.filters is not None:
            when = f"; {', '.join(self.filtered_later)} after decoding" if self.filtered_later else ""
            lines.append(f"  filters   {self.filters}{when}")
        lines += [f"  payload   {note}" for note in self.payload_notes]
        counted = ", ".join(f"{count} {severity}" for severity, count in self.findings.items() if count)
        lines.append(f"  findings  {counted or 'none so far'}")
        return lines
