"""`Chooser`: the list of events that a walk may begin at, with its filters, its pages, and the entry of an id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from batpak_analytics.graph.picks import Pick, Picks, whole_id
from batpak_analytics.markup import element, short_id
from batpak_analytics.widgets.names import Names, kind_label, kind_number, name_text
from batpak_analytics.widgets.toolkit import button, control, fill, html, row

PAGE = 50
WAYS = (
    ("Latest events", "latest"),
    ("Roots that led to something", "roots"),
    ("Events whose cause is not there", "dangling"),
    ("Events that led to most", "most_effects"),
)

Attempt = Callable[..., None]
"""Calls a function with arguments, and shows what it raises."""


class Chooser:
    """Controls to choose an event. `chosen` is called with the id of one of the list, `entered` with a typed one."""

    def __init__(
        self,
        reader: Any,
        names: Names,
        attempt: Attempt,
        chosen: Callable[[str], None],
        entered: Callable[[str], None],
    ) -> None:
        self._reader, self._names, self._first = reader, names, 0
        self._attempt, self._entered = attempt, entered
        self._way = control("Dropdown", "Choose from", "Which events to list", options=WAYS)
        self._entity = control("Text", "Entity", "Only this entity, or those below it", continuous_update=False)
        self._kind = control("Text", "Kind", "Only this kind: its name, or a number", continuous_update=False)
        self._list = control("Select", "Events", "The event to look at", width="calc(100% - 4px)", rows=5, options=())
        self._before = button("Previous page", "The events before these in the list", lambda: self._turn(-PAGE))
        self._after = button("Next page", "The events after these in the list", lambda: self._turn(PAGE))
        self._range = html()
        hint = "The last digits of an event's id, or all 32"
        self._entry = control("Text", "Event id", hint, placeholder="e.g. 391124e8", continuous_update=False)
        for one in (self._way, self._entity, self._kind):
            one.observe(lambda _: attempt(self.list_from, 0), "value")
        self._list.observe(lambda change: attempt(chosen, change.new) if change.new else None, "value")
        self._entry.observe(lambda change: attempt(self._enter, change.new), "value")

    @property
    def parts(self) -> list[Any]:
        """The controls, in the order in which they are read."""
        return [
            row(self._way, self._entity, self._kind),
            self._list,
            row(self._before, self._after, self._range, self._entry),
        ]

    @property
    def latest(self) -> str:
        """The id of the first event of the list, empty where it has none."""
        return self._list.options[0][1] if self._list.options else ""

    def show(self, event_id: str) -> None:
        """Mark the event in the list, if it is there."""
        self._list.value = event_id if event_id in {value for _, value in self._list.options} else None

    def list_from(self, first: int) -> None:
        """Show the page that begins with event number `first`; nothing of it is chosen until somebody does."""
        picks = Picks(self._reader.causal_nodes(**self._filters()), self._way.value)
        self._first = min(max(first, 0), max(len(picks) - 1, 0) // PAGE * PAGE)
        listed = picks.page(self._first, PAGE)
        fill(self._list, [(self._line(one), one.event_id.hex()) for one in listed], None)
        last = self._first + len(listed)
        self._range.value = element(
            "span", f"{self._first + 1:,} to {last:,} of {len(picks):,}" if listed else "No event is like that."
        )
        self._before.disabled, self._after.disabled = self._first == 0, last >= len(picks)

    def _turn(self, by: int) -> None:
        self._attempt(self.list_from, self._first + by)

    def _line(self, one: Pick) -> str:
        led = f", led to {one.effects:,}" if one.effects else ""
        kind, entity = kind_label(one.kind, self._names), name_text(one.entity)
        return f"{one.global_sequence:,}: {kind} {entity} {short_id(one.event_id)}{led}"

    def _filters(self) -> dict[str, Any]:
        entity = self._entity.value.strip() or None
        return {"entity": entity, "kind": kind_number(self._kind.value, self._names), "system": False}

    def _enter(self, text: str) -> None:
        digits = text.strip().replace("-", "").lstrip("…")
        if digits:
            self._entered(whole_id(self._reader.causal_nodes(), digits).hex())
