"""Small charts in SVG: bars in a strip, and a line. Each says in words what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from batpak_analytics.markup import Html, element

WIDTH, STRIP, LINE = 520, 28, 90
ACCENT = "#4a7fd4"
"""Readable on white and on black; what it marks is marked by its shape as well."""
COLUMNS = 260
"""Of more points than this, the least and the greatest of each column of pixels are drawn."""


def svg(height: int, label: str, *children: Any) -> Html:
    """A picture as wide as all of them, with its words."""
    return element(
        "svg", *children, viewBox=f"0 0 {WIDTH} {height}", width=WIDTH, fill="none", stroke="currentColor",
        font_size="12", font_family="sans-serif", role="img", aria_label=label,
    )  # fmt: skip


def strip(counts: Sequence[int], current: int | None, label: str) -> Html:
    """Bars side by side, the higher the more, and a frame around the current one."""
    most, wide = max(max(counts, default=0), 1), WIDTH / max(len(counts), 1)
    bars = "".join(
        f"M{wide * at + wide / 2:.4g} {STRIP}v{-max(round((STRIP - 4) * count / most), 1)}"
        for at, count in enumerate(counts)
        if count
    )
    drawn = [element("path", d=bars, stroke_width=f"{max(wide - 1, 1):.3g}", stroke_opacity=".6")]
    if current is not None:
        frame = {"x": f"{max(wide * current - 1, 1):.4g}", "y": 1, "width": f"{wide + 2:.4g}", "height": STRIP - 2}
        drawn.append(element("rect", **frame, stroke=ACCENT, stroke_width=2))
    return svg(STRIP, label, *drawn)


class Line:
    """A line through values by position. What is no finite number is left out."""

    def __init__(self, values: Any) -> None:
        self._numbers = np.asarray(values, np.float64)
        self._finite = np.isfinite(self._numbers)
        self.some = bool(self._finite.any())
        if self.some:
            shown = self._numbers[self._finite]
            self._low, self._high = float(shown.min()), float(shown.max())
            self._path = "M" + "L".join(self._place(at) for at in _thinned(self._numbers, self._finite))

    def _place(self, at: int) -> str:
        x = 4 + at * (WIDTH - 8) / max(len(self._numbers) - 1, 1)
        return f"{x:.4g} {self._height(self._numbers[at]):.4g}"

    def _height(self, value: float) -> float:
        return 4 + (LINE - 8) * (self._high - value) / ((self._high - self._low) or 1.0)

    def draw(self, current: int, label: str) -> Html:
        """The line, where zero is, and a mark at the current position."""
        if not self.some:
            return element("div", "There is no number to draw.")
        drawn = [element("path", d=self._path, stroke_width="1.5")]
        if self._low < 0 < self._high:
            zero = f"M0 {self._height(0):.4g}H{WIDTH}"
            drawn.append(element("path", d=zero, stroke_opacity=".4", stroke_dasharray="3 3"))
        if self._finite[current]:
            x, y = self._place(current).split()
            drawn.append(element("path", d=f"M{x} 0V{LINE}", stroke=ACCENT))
            drawn.append(element("circle", cx=x, cy=y, r=4, stroke=ACCENT, stroke_width=2))
        return svg(LINE, label, *drawn)


def _thinned(numbers: Any, finite: Any) -> list[int]:
    """The places to draw: all of them, or those of the least and the greatest number of each column."""
    places = np.flatnonzero(finite)
    if len(places) <= COLUMNS:
        return [int(at) for at in places]
    found: set[int] = {int(places[0]), int(places[-1])}
    for part in np.array_split(places, COLUMNS // 2):
        found |= {int(part[np.argmin(numbers[part])]), int(part[np.argmax(numbers[part])])}
    return sorted(found)
