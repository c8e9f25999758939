"""`Places`: where a replay stands and where it stops, as a slider with its box, filters, and a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from batpak_analytics.markup import element, plural
from batpak_analytics.widgets import states
from batpak_analytics.widgets.names import Names, kind_number
from batpak_analytics.widgets.toolkit import control, fill, html, row

PAGE = 50


class Places:
    """Controls that choose a position: `moved` is called with it, `narrowed` when it stops elsewhere."""

    def __init__(
        self, replay: Any, names: Names, attempt: Callable[..., None], moved: Callable[[int], None],
        narrowed: Callable[[], None],
    ) -> None:  # fmt: skip
        self._replay, self._names, self._narrowed = replay, names, narrowed
        self.stops: Any = np.arange(1, len(replay) + 1)
        self._page = -1
        last = len(replay)
        self._box = control(
            "BoundedIntText", "Event", "How many events are folded", width="150px", min=0, max=last,
            continuous_update=False,
        )  # fmt: skip
        self._slider = control(
            "IntSlider", "", "Where it stands among the events it stops at; the box beside it says the same",
            min=0, max=last, readout=False,
        )  # fmt: skip
        self._slider.add_class("bpk-grow")
        self._entity = control("Text", "Stop at entity", "Only there, or at those below it", continuous_update=False)
        self._kind = control("Text", "Stop at kind", "Only there: its name, or a number", continuous_update=False)
        self._list = control("Select", "Events", "The event to stand at", width="calc(100% - 4px)", rows=6, options=())
        self._told = html()
        self._box.observe(lambda change: attempt(moved, change.new), "value")
        self._slider.observe(lambda change: attempt(moved, self.stop(change.new)), "value")
        self._list.observe(lambda change: attempt(moved, change.new) if change.new is not None else None, "value")
        for one in (self._entity, self._kind):
            one.observe(lambda _: attempt(self._narrow), "value")

    @property
    def slider(self) -> Any:
        """The slider between the box that names it and how many events there are."""
        return row(self._box, html(element("span", f"of {len(self._replay):,}")), self._slider)

    @property
    def lists(self) -> list[Any]:
        """The filters, and the events that it stops at."""
        return [row(self._entity, self._kind, self._told), self._list]

    @property
    def all(self) -> bool:
        """Whether it stops at every event."""
        return len(self.stops) == len(self._replay)

    def stop(self, number: int) -> int:
        """The position of a stop, from 1 on; 0 is before any event."""
        return int(self.stops[number - 1]) if number else 0

    def number(self, position: int) -> int:
        """How many stops there are up to a position."""
        return int(np.searchsorted(self.stops, position, side="right"))

    def step(self, position: int, by: int) -> int | None:
        """The position so many stops away, back where negative; None where there is none."""
        number = self.number(position)
        if by < 0 and self.stop(number) < position:
            number += 1  # between two stops, the one before is a step away
        return self.stop(number + by) if 0 <= number + by <= len(self.stops) else None

    def show(self, position: int) -> None:
        """Slider, box and list, where the position is; the caller sees that nobody takes it for the user's doing."""
        number = self.number(position)
        self._slider.max = len(self.stops)
        self._slider.value, self._box.value = number, position
        page = max(number - 1, 0) // PAGE
        if page != self._page:
            self._page = page
            places = self.stops[page * PAGE : (page + 1) * PAGE].tolist()
            fill(self._list, [(self._label(at), at) for at in places], None)
        self._list.value = position if number and self.stop(number) == position else None

    def _label(self, position: int) -> str:
        return f"{position:,}: {states.event_label(self._replay.event(position), self._names)}"

    def _narrow(self) -> None:
        """Stop only where the filters pass. What is folded stays what it is."""
        chosen = {"entity": self._entity.value.strip() or None, "kind": kind_number(self._kind.value, self._names)}
        every, last = all(value is None for value in chosen.values()), len(self._replay)
        self.stops = np.arange(1, last + 1) if every else self._replay.positions(**chosen)
        told = "" if every else f"Stopping at {len(self.stops):,} of {plural(last, 'event')}; all are folded."
        self._told.value = element("span", told)
        self._page = -1
        self._narrowed()
