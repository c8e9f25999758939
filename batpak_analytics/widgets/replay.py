"""`ReplayWidget`: the state at any moment, what each event changed in it, and where to look next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from traitlets import Int, TraitError, Unicode, observe, validate

from batpak_analytics.errors import ProjectionError
from batpak_analytics.markup import Html, clip, element, joined, short_id, text, time_text
from batpak_analytics.widgets import charts, states
from batpak_analytics.widgets.frame import Frame, guarded
from batpak_analytics.widgets.places import Places
from batpak_analytics.widgets.player import AS_RECORDED, LONGEST_GAP_S, SPEEDS, Player
from batpak_analytics.widgets.questions import Questions
from batpak_analytics.widgets.toolkit import button, control, html, row, tabs

BINS = 100
SHORTEST_GAP_S = 0.05
LONGEST_TITLE = 200
LONGEST_ERROR = 1_000
CHANGED, STATE, EVENT, TRACE = range(4)


class ReplayWidget(Frame):
    """Step through the states of a replay in a notebook: `replay.widget()`.

    `position` is how many events are folded: set it, observe it, or `traitlets.link` it with that of another widget,
    which then moves along. `event_id` (32 hex digits, empty at position 0) is the event that led there; each follows
    the other. `trace_frame` is the DataFrame behind the line that is drawn, None before one was asked for.

    Parameters
    ----------
    replay
        What `reader.replay(projection)` gives.
    position
        Where to begin; by default at the end.
    field
        The part of the state to follow, as in `Replay.changes`; None for the whole state.
    find
        A function of the state, for the button "Find as given".
    kind_names
        Names for kinds, as in `read_batpak`.

    Filters narrow where it stops, and never what is folded. Playing is done by the kernel: it leaves out no event, and
    stops when the cell is run again or the widget is closed. Raises `MissingExtraError` without ipywidgets. Cost: that
    of the first `state_at`; a step is a jump to a kept state.
    """

    position = Int(0, help="how many events are folded")
    event_id = Unicode("", help="the event that led there, as 32 hexadecimal digits")

    def __init__(
        self,
        replay: Any,
        *,
        position: int | None = None,
        field: Any = None,
        find: Callable[[Any], Any] | None = None,
        kind_names: Mapping[int, str] | None = None,
    ) -> None:
        self.replay, self._names = replay, dict(kind_names or {})
        self._diff: Any = None
        self._failed: ProjectionError | None = None
        self._activity = replay.activity(BINS)
        self._player = Player(self._play_on, self._gap, self._told_playing)
        self._places = Places(replay, self._names, self._attempt, self._choose, self._show_place)
        self._questions = Questions(replay, self._attempt, self._choose, self._tell, find)
        self._make_controls()
        super().__init__(text(clip(repr(replay), LONGEST_TITLE)), self._parts())
        with self._silent():
            if field is not None:
                self._questions.follow(field)
            self.position = len(replay) if position is None else position
        self._attempt(self._show)

    def _make_controls(self) -> None:
        nothing = not len(self.replay)
        self._play = button("Play", "Step on by itself, event by event", self.toggle, disabled=nothing)
        self._before = button("Previous", "One event back", lambda: self._step_by(-1))
        self._after = button("Next", "One event on", lambda: self._step_by(1))
        self._speed = control("Dropdown", "Speed", "How fast it plays", options=(*SPEEDS, AS_RECORDED), value=0.2)
        self._headline, self._strip = html(), html()
        self._panes = [html(), html(), html()]

    def _parts(self) -> list[Any]:
        self._tabs = tabs(("Diff", "State", "Event", "Trace"), [*self._panes, self._questions.tracing])
        self._tabs.observe(lambda _: self._attempt(self._show_pane), "selected_index")
        return [
            row(self._play, self._before, self._after, self._speed),
            self._places.slider,
            self._headline,
            self._strip,
            *self._questions.parts,
            self._tabs,
            *self._places.lists,
        ]

    @property
    def trace_frame(self) -> Any:
        """The value of the traced part at every position, as `Replay.trace` gives it; None before."""
        return self._questions.trace_frame

    @property
    def stops(self) -> Any:
        """The positions at which it stops, ascending."""
        return self._places.stops.copy()

    @validate("position")
    def _check_position(self, proposal: Any) -> int:
        last = len(self.replay)
        if not 0 <= proposal.value <= last:
            raise TraitError(f"position {proposal.value} is none of this replay. Give one from 0 to {last}.")
        return int(proposal.value)

    @validate("event_id")
    def _check_event(self, proposal: Any) -> str:
        """An event of the replay, or what `Replay.position_of` raises."""
        if proposal.value and proposal.value != self._id_at(self.position):
            self.replay.position_of(proposal.value)
        return str(proposal.value)

    def _id_at(self, position: int) -> str:
        return self.replay.event(position).event_id.hex() if position else ""

    @observe("position")
    @guarded
    def _moved(self, _: Any) -> None:
        self._show()

    @observe("event_id")
    @guarded
    def _followed(self, _: Any) -> None:
        if self.event_id and self.event_id != self._id_at(self.position):
            self.position = self.replay.position_of(self.event_id)

    def _choose(self, position: int) -> None:
        """The user chose a position, which ends playing."""
        if position != self.position:
            self._player.pause()
            self.position = position

    def step(self, by: int = 1) -> bool:
        """Go on by so many stops, back where negative; returns whether there was one to go to."""
        target = self._places.step(self.position, by)
        if target is not None:
            self.position = target
        return target is not None

    @guarded
    def _step_by(self, by: int) -> None:
        self._player.pause()
        self.step(by)

    @guarded
    def toggle(self) -> None:
        """Play, or pause."""
        self.pause() if self.playing else self.play()

    def play(self) -> None:
        """Step on by itself until the last event or `pause()`. Raises `RuntimeError` outside of a running kernel."""
        self._player.play()

    def pause(self) -> None:
        """Stay where it is."""
        self._player.pause()

    @property
    def playing(self) -> bool:
        """Whether it steps on by itself."""
        return self._player.playing

    def _play_on(self) -> bool:
        """One step of playing; an error ends it."""
        before = self.position
        self._attempt(self.step)
        return self._failed is None and self.position != before and not self._after.disabled

    def _gap(self) -> float:
        """Seconds until the next step."""
        if self._speed.value:
            return float(self._speed.value)
        following = self._places.step(self.position, 1)
        if following is None or not self.position:
            return SHORTEST_GAP_S
        after, now = (self.replay.event(at).timestamp_us for at in (following, self.position))
        return float(min(max((after - now) / 1e6, SHORTEST_GAP_S), LONGEST_GAP_S))

    def _told_playing(self, playing: bool) -> None:
        self._play.description = "Pause" if playing else "Play"

    def _show(self) -> None:
        try:
            self._diff = self.replay.diff(self.position - 1, self.position) if self.position else None
            self._failed = None
        except ProjectionError as error:
            self._player.pause()
            if error.position is None:
                raise
            if error.position < self.position:
                self.position = error.position  # which is shown in turn
                return
            self._failed, self._diff = error, None
        self.event_id = self._id_at(self.position)
        self._show_place()
        self._show_pane()
        self._tell(self._where() if self._failed is None else clip(self._failed, LONGEST_ERROR))
        self._tell_code()

    def _show_place(self) -> None:
        """Everything that says where the position is."""
        with self._silent():
            self._places.show(self.position)
        self._questions.show(self.position, None if self._places.all else self._places.stops)
        self._before.disabled = self.position == 0
        self._after.disabled = self._places.step(self.position, 1) is None
        self._headline.value = element("div", self._where())
        now = self._activity.bin_of(self.replay.event(self.position).timestamp_us) if self.position else None
        told = f"Events over time, in {BINS} stretches; the most in one: {max(self._activity.counts):,}"
        self._strip.value = charts.strip(self._activity.counts, now, told)

    def _where(self) -> str:
        if not self.position:
            return f"Before any event: position 0 of {len(self.replay):,}"
        one = self.replay.event(self.position)
        cause = "" if one.causation_id is None else f", caused by {short_id(one.causation_id)}"
        label = states.event_label(one, self._names)
        return f"{time_text(one.timestamp_us)}: {label}, sequence {one.global_sequence:,}{cause}"

    def _show_pane(self) -> None:
        """The tab in view; the others are made when they are."""
        chosen = self._tabs.selected_index
        if chosen == TRACE:
            self._questions.draw()
        elif chosen is not None:
            self._panes[chosen].value = self._pane(chosen)

    def _pane(self, which: int) -> Html:
        if which == STATE:
            return self._state()
        if which == EVENT:
            return states.event(self.replay.event(self.position), self._names) if self.position else Html("")
        if self._failed is not None:
            return states.failure(self._failed)
        return element("div", "The initial state.") if self._diff is None else states.changes(self._diff)

    def _state(self) -> Html:
        if self._failed is not None:
            return states.state(self._failed.state, f"The last good state, at position {self.position - 1:,}")
        value = self.replay.state_at(self.position)
        self._questions.suggest(value)
        return states.state(value, f"The state at position {self.position:,}")

    @property
    def code(self) -> str:
        """The calls that give what is shown."""
        if not self.position:
            return "replay.state_at(0)"
        return f"replay.state_at({self.position}), replay.diff({self.position - 1}, {self.position})"

    def _picture(self) -> Html:
        where = [Html(self._headline.value), Html(self._strip.value)]
        return joined([*where, self._pane(CHANGED), self._state()])

    def __repr__(self) -> str:
        return f"ReplayWidget({clip(repr(self.replay), LONGEST_TITLE)}, at {self.position:,}: {self._where()})"

    def close(self) -> None:
        """Stop playing, and let go of every model."""
        if hasattr(self, "_player"):  # or there was a wrong argument, and nothing plays
            self._player.pause()
        super().close()
