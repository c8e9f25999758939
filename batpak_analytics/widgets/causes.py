"""`CausesWidget`: one event among its causes and effects, and the way from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traitlets import Int, Unicode, observe, validate

from batpak_analytics.engine.point_read import EventId, id_bytes
from batpak_analytics.errors import BatpakError
from batpak_analytics.graph.surroundings import CAUSES, EFFECTS, MOST_EVENTS, Surroundings
from batpak_analytics.markup import Html, clip, element, facts, joined, one_line, short_id, time_text
from batpak_analytics.widgets import tree
from batpak_analytics.widgets.chooser import Chooser
from batpak_analytics.widgets.frame import Frame, guarded
from batpak_analytics.widgets.names import kind_label, name_text
from batpak_analytics.widgets.toolkit import button, control, fill, html, row

LONGEST_PAYLOAD = 1_000
MOST_VISITED = 8
MOST_GENERATIONS = 100


class CausesWidget(Frame):
    """Walk through the causal graph of a store in a notebook: `reader.explore()`.

    Shows one event with the causes and effects nearest to it and the time between them; from there a person walks to
    any of them, back, and to the root. `event_id` (32 hex digits) is the event that is looked at: set it, observe it,
    or `traitlets.link` it with that of another widget. `causes` and `effects` are the generations shown on either side.

    Parameters
    ----------
    reader
        An open `Reader` or `Store`.
    event_id
        Where to begin; by default at the latest event.
    causes, effects, max_events
        How many generations, and how many events at most, to show.
    kind_names
        Names for kinds, as in `read_batpak`.
    replay
        A `ReplayWidget`, which the button "Open in replay" then takes to the event.

    Raises `MissingExtraError` without ipywidgets, and what `Reader.surroundings` raises for `event_id`. Cost: the
    index, once for a view of the store; a step reads the frames of the events shown.
    """

    event_id = Unicode("", help="the event that is looked at, as 32 hexadecimal digits")
    causes = Int(CAUSES, min=0, max=MOST_GENERATIONS, help="generations of causes shown")
    effects = Int(EFFECTS, min=0, max=MOST_GENERATIONS, help="generations of effects shown")

    def __init__(
        self,
        reader: Any,
        event_id: EventId | None = None,
        *,
        causes: int = CAUSES,
        effects: int = EFFECTS,
        max_events: int = MOST_EVENTS,
        kind_names: Mapping[int, str] | None = None,
        replay: Any = None,
    ) -> None:
        self._reader, self._names, self._replay = reader, dict(kind_names or {}), replay
        self._most = max_events
        self._found: Surroundings | None = None
        self._next: Surroundings | None = None
        self._visited: list[str] = []
        self._chooser = Chooser(reader, self._names, self._attempt, self._begin_at, self._go_to)
        self._make_controls()
        super().__init__(joined(["Causes in ", reader.path.name]), self._parts())
        with self._silent():
            self._chooser.list_from(0)
            self.causes, self.effects = causes, effects
            self.event_id = self._chooser.latest if event_id is None else id_bytes(event_id).hex()
        self._show()

    def _make_controls(self) -> None:
        self._back = button("Back", "To the event before", self._go_back)
        self._up = button("To its cause", "One step towards the beginning", self._go_up)
        self._root = button("To the root", "To where its causes end", self._go_to_root)
        self._target = control("Dropdown", "Walk to", "One of the events shown below", options=())
        self._walk = button("Walk", "Look at the event chosen on the left", lambda: self._go_to_chosen())
        bounds: dict[str, Any] = {"min": 0, "max": MOST_GENERATIONS, "width": "165px"}
        self._above = control("BoundedIntText", "Generations back", "How many causes to show", **bounds)
        self._below = control("BoundedIntText", "Generations on", "How deep to show effects", **bounds)
        self._above.observe(lambda change: self._set("causes", change.new), "value")
        self._below.observe(lambda change: self._set("effects", change.new), "value")
        self._trail, self._tree, self._facts = html(), html(), html()

    def _parts(self) -> list[Any]:
        walk = [self._back, self._up, self._root, self._target, self._walk]
        if self._replay is not None:
            walk.append(button("Open in replay", "Take the replay to this event", self._open_in_replay))
        return [
            *self._chooser.parts,
            row(*walk),
            row(self._above, self._below),
            self._trail,
            self._tree,
            self._facts,
        ]

    @guarded
    def _set(self, name: str, value: int) -> None:
        setattr(self, name, value)

    @validate("event_id")
    def _check(self, proposal: Any) -> str:
        """An id that is there, or what `Reader.surroundings` raises: the trait always names what is shown."""
        if not proposal.value:
            return ""
        self._next = self._look(proposal.value)
        return self._next.event.event_id.hex()

    def _look(self, event_id: str) -> Surroundings:
        found: Surroundings = self._reader.surroundings(
            event_id, causes=self.causes, effects=self.effects, max_events=self._most
        )
        return found

    @observe("event_id", "causes", "effects")
    @guarded
    def _changed(self, _: Any) -> None:
        self._show()

    def _begin_at(self, event_id: str) -> None:
        """An event of the list begins a new walk."""
        if event_id != self.event_id:
            before, self._visited = self._visited, []
            try:
                self.event_id = event_id
            except BatpakError:
                self._visited = before
                raise

    def _go_to(self, event_id: str) -> None:
        """One step of a walk."""
        if event_id != self.event_id:
            before = self._visited
            self._visited = [*before, self.event_id][-MOST_VISITED:]
            try:
                self.event_id = event_id
            except BatpakError:
                self._visited = before
                raise

    @guarded
    def _go_back(self) -> None:
        self.event_id = self._visited.pop()

    @guarded
    def _go_up(self) -> None:
        if self._found is not None:
            self._go_to(self._found.events[self._found.at - 1].event_id.hex())

    @guarded
    def _go_to_root(self) -> None:
        if self._found is not None:
            self._go_to(self._found.root_id.hex())

    @guarded
    def _go_to_chosen(self) -> None:
        self._go_to(self._target.value)

    @guarded
    def _open_in_replay(self) -> None:
        self._replay.event_id = self.event_id

    def _show(self) -> None:
        if not self.event_id:
            self._tell("There is no event to look at.")
            return
        found = self._found = self._next or self._look(self.event_id)
        self._next = None
        others = [one for one in found.events if one is not found.event]
        ways = [
            (f"{tree.place_text(one.distance)}: {tree.label(one, self._names)}", one.event_id.hex()) for one in others
        ]
        with self._silent():
            self._above.value, self._below.value = self.causes, self.effects
            fill(self._target, ways, ways[0][1] if ways else None)
            self._chooser.show(self.event_id)
        self._target.disabled = self._walk.disabled = not others
        self._up.disabled, self._back.disabled = found.at == 0, not self._visited
        self._root.disabled = found.root_id == found.event.event_id
        self._trail.value = self._breadcrumb()
        self._tree.value = tree.picture(found, self._names)
        self._facts.value = self._about()
        self._tell(tree.summary(found, self._names))
        self._tell_code()

    def _breadcrumb(self) -> Html:
        visited = [short_id(one) for one in self._visited]
        here = element("b", short_id(self.event_id), aria_current="true")
        return element("nav", "Walked: ", joined([*visited, here], " → "), aria_label="Events visited")

    def _about(self) -> Html:
        """The event that is looked at, and its payload."""
        assert self._found is not None
        one = self._found.event
        try:
            payload: Any = clip(repr(self._reader.get(one.event_id).payload), LONGEST_PAYLOAD)
        except BatpakError as error:
            payload = f"not shown: {clip(error, LONGEST_PAYLOAD)}"
        return facts(
            element("b", kind_label(one.kind, self._names)),
            {
                "entity, scope": f"{name_text(one.entity)} @ {name_text(one.scope)}",
                "event, sequence": f"{short_id(one.event_id)}, {one.global_sequence:,}",
                "time": "not readable" if one.timestamp_us is None else time_text(one.timestamp_us),
                "payload": payload,
            },
        )

    @property
    def code(self) -> str:
        """The call that gives what is shown."""
        bounds = f"causes={self.causes}, effects={self.effects}"
        most = "" if self._most == MOST_EVENTS else f", max_events={self._most}"
        return f'reader.surroundings("{self.event_id}", {bounds}{most}).to_pandas()'

    def _picture(self) -> Html:
        return joined([Html(self._tree.value), Html(self._facts.value)])

    def __repr__(self) -> str:
        told = "no events" if self._found is None else tree.summary(self._found, self._names)
        return f"CausesWidget({one_line(self._reader.path.name)}: {told})"
