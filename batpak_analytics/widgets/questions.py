"""`Questions`: a part of the state, where it changes, where it first is what one looks for, and its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from batpak_analytics.markup import Html, clip, element, joined, plural
from batpak_analytics.projection.steps import COMPARISONS, Part, part, when
from batpak_analytics.widgets import charts, states
from batpak_analytics.widgets.toolkit import button, control, html, row

LONGEST = 200


class Questions:
    """Controls that ask a replay. `go` takes the view to a position, `tell` says something in its status line."""

    def __init__(
        self, replay: Any, attempt: Callable[..., None], go: Callable[[int], None], tell: Callable[[str], None],
        find: Callable[[Any], Any] | None,
    ) -> None:  # fmt: skip
        self._replay, self._go, self._tell, self._find = replay, go, tell, find
        self.trace_frame: Any = None
        self.traced: Part | None = None
        self._line: charts.Line | None = None
        self._keys: dict[str, Any] = {}
        self._part = control("Combobox", "Part of the state", "What is followed; empty for all of it", options=())
        self._part.placeholder = "the whole state"
        self.back = button("Previous change", "Back to where this part changed", lambda: attempt(self._change, -1))
        self.on = button("Next change", "On to where this part changes", lambda: attempt(self._change, 1))
        self._comparison = control("Dropdown", "is", "How the part compares", width="90px", options=tuple(COMPARISONS))
        self._value = control("Text", "Value", "A number, true, null, or text", width="160px")
        self._first = button("Find first", "The first event after which it is so", lambda: attempt(self._find_first))
        given = ("Find as given", "Where find= is first true", lambda: attempt(self._search, find))
        self._finders = [self._first, *([] if find is None else [button(*given)])]
        self._trace = button("Trace this part", "Its value at every event, as a line", lambda: attempt(self._fold))
        self.pane = html()
        self.position, self.among = 0, None

    @property
    def parts(self) -> list[Any]:
        """The controls, in the order in which they are read."""
        return [row(self._part, self.back, self.on), row(self._comparison, self._value, *self._finders)]

    @property
    def tracing(self) -> Any:
        """The line, and the button that asks for one."""
        return row(self._trace, self.pane)

    @property
    def followed(self) -> Part:
        """The part named in the box; paths that were suggested are known by their keys."""
        text = self._part.value.strip()
        return part(self._keys.get(text, text) or None)

    def follow(self, field: Any) -> None:
        """Put a part into the box."""
        keys = part(field).keys
        text = states.path_text(keys)
        self._keys[text] = keys
        self._part.value = text

    def suggest(self, state: Any) -> None:
        """Offer the parts of this state."""
        found = {clip(path, states.LONGEST_PATH): keys for path, keys, _ in states.shown_parts(state) if path}
        self._keys |= found
        self._part.options = list(found)

    def show(self, position: int, among: Any) -> None:
        """Where the view stands, and where it stops."""
        self.position, self.among = position, among

    def draw(self) -> None:
        """The line, with a mark where the view stands."""
        self.pane.value = self._drawn()

    def _drawn(self) -> Html:
        if self._line is None:
            return element("div", "No part is traced yet.")
        value = self.trace_frame["value"].iloc[self.position]
        value = value.item() if isinstance(value, np.generic) else value
        told = clip(f"{self.traced!r} at position {self.position:,}: {states.value_text(value)}", LONGEST)
        return joined([self._line.draw(self.position, told), element("div", told)])

    def _change(self, towards: int) -> None:
        go = self._replay.next_change if towards > 0 else self._replay.previous_change
        found = go(self.position, self.followed.keys or None, among=self.among)
        if found is None:
            self._tell(f"It does not change {'after' if towards > 0 else 'before'} this event.")
        else:
            self._go(found)

    def _find_first(self) -> None:
        self._search(when(self.followed.keys or None, self._comparison.value, value_of(self._value.value)))

    def _search(self, question: Any) -> None:
        self._tell(f"Folding {plural(len(self._replay), 'event')} ...")
        found = self._replay.first_where(question)
        if found is None:
            self._tell(f"It never is so in {plural(len(self._replay), 'event')}.")
            return
        self._go(found.position)
        asked = "find" if question is self._find else clip(repr(question), LONGEST)
        self._tell(f"It is so from position {found.position:,} on: replay.first_where({asked})")

    def _fold(self) -> None:
        followed = self.followed
        if not followed.keys and not isinstance(self._replay.state_at(self.position), (int, float)):
            raise ValueError("This state is no number. Name a part of it to trace; the tab State lists its parts.")
        self._tell(f"Folding {plural(len(self._replay), 'event')} ...")
        self.trace_frame = self._replay.trace(followed)
        values = self.trace_frame["value"]
        numeric = values.dtype.kind in "biuf"
        numbers = values.to_numpy(np.float64, na_value=np.nan) if numeric else np.full(len(values), np.nan)
        self._line, self.traced = charts.Line(numbers), followed
        self.draw()
        self._tell(f"The same as data: trace_frame, or replay.trace({clip(repr(followed), LONGEST)})")


def value_of(text: str) -> Any:
    """What is typed as a value: JSON where it is that, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
