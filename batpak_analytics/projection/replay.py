"""`Replay`: the states that a projection went through, each of which can be asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from batpak_analytics import kernels
from batpak_analytics.errors import ProjectionError
from batpak_analytics.projection.check import PurityReport, check_purity
from batpak_analytics.projection.copies import IMMUTABLE, Copier
from batpak_analytics.projection.diff import difference, short
from batpak_analytics.projection.parts import MISSING, Keys, get_part, keys_of, same
from batpak_analytics.projection.protocol import Fold, returned_none
from batpak_analytics.projection.snapshots import Snapshots
from batpak_analytics.projection.source import Events, Selected
from batpak_analytics.projection.steps import LastChange, NextChange, check_question, part_keys
from batpak_analytics.projection.tables import changes_frame, series_of, trace_frame
from batpak_analytics.projection.timeline import Timeline

if TYPE_CHECKING:
    import pandas as pd

Question = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Found:
    """The first position at which a condition held.

    `event` is what made it hold, with `before` and `after` the states around it. At position 0 there is neither event
    nor `before`: the condition held for the initial state.
    """

    position: int
    event: Any
    before: Any
    after: Any

    def __repr__(self) -> str:
        return f"Found(position={self.position}, {self.event}, {short(self.before)} -> {short(self.after)})"


class Replay(Timeline):
    """A projection folded over events in commit order; made by `reader.replay(projection)`.

    The events were read when it was made. Nothing is folded before it is asked for, and then only what is needed:
    copies of some states are kept, so that later questions are a jump and a short fold. Every state that is returned is
    the caller's own. Threads may share a replay; a function that is given to one must not change the state.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> reader = bp.open_reader(bp.demo_store())
    >>> replay = reader.replay(bp.Count())
    >>> len(replay), replay.state_at(2), replay.final()
    (4, 2, 4)
    """

    def __init__(self, selected: Selected, events: Events, fold: Fold[Any], memory: int) -> None:
        super().__init__(selected, events.columns, events.shredded, fold.name.rsplit(".", 1)[-1])
        self.fold, self.source = fold, events
        self._copier = Copier(events.columns, fold.name)
        self._snapshots = Snapshots(len(events), self._copier, memory)
        self._lock = threading.RLock()

    def event(self, position: int) -> Any:
        """The event that led to a position, from 1 on, as `apply` was given it."""
        number = self._checked(position)
        if number == 0:
            raise IndexError("position 0 is before any event. Give one from 1 on.")
        return self._columns.row(number - 1)

    def state_at(self, position: int) -> Any:
        """The state after the first `position` events; 0 gives the initial one.

        Raises `IndexError` for a position that there is none of, and `ProjectionError` where `apply` fails on the way.
        Cost: the first time a fold up to there, then a jump to a kept state and a fold of a thousandth of the events.
        """
        number = self._checked(position)
        with self._lock:
            return self._state(number)

    def trace(self, function: Any, *, start: int = 0, stop: int | None = None) -> pd.DataFrame:
        """`function(state)`, or a field as in `changes`, at every position from `start` to `stop`, as a DataFrame.

        The index is the position; columns are those of the event that led there (missing at 0): `global_sequence`,
        `wall_time` (datetime64[ms, UTC]), `entity` (category), `kind`, and `value`, whose dtype follows from the
        values. Values that can be changed are copied. Raises as `state_at`; where `apply` fails at a position, `stop=`
        asks for what was before. Cost: one fold, and the calls.
        """
        first = self._checked(start)
        last = self._checked(len(self) if stop is None else stop)
        with self._lock:
            state = self._state(first)
            function = _question(function)
            values = kernels.Collected(max(last - first, 0) + 1, self._copier.copied)
            values.append(function(state))
            start = first
            while start < last:
                end = min(self._snapshots.next_after(start), last)
                state = self._traced(state, start, end, function, values)
                self._snapshots.keep(end, state)
                start = end
        return trace_frame(self._columns, first, series_of(values.values()))

    def first_where(self, predicate: Question, *, monotone: bool = False) -> Found | None:
        """Where `predicate(state)` is true for the first time: position, event, the states before and after; or None.

        With `monotone=True` you say that once true it stays true: a search of some twenty states replaces the scan.
        Raises as `state_at`, but only for what is reached.
        """
        check_question(predicate)
        with self._lock:
            state = self._state(0)
            if predicate(state):
                return Found(0, None, None, state)
            position = self._searched(predicate) if monotone else self._ask_each(state, 0, len(self), predicate)
            if position is None:
                return None
            return Found(position, self.event(position), self._state(position - 1), self._state(position))

    def _searched(self, predicate: Question) -> int | None:
        low, high = 0, len(self)
        if not predicate(self._state(high)):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if predicate(self._state(middle)):
                high = middle
            else:
                low = middle
        return high

    def changes(self, field: Any) -> pd.DataFrame:
        """Every event that changed a part of the state.

        `field` is a name, names joined by dots (`"orders.open"`), a tuple of keys (`Change.keys`), or a function of the
        state. Columns: `position` (int64), those of the event as in `trace`, `old`, `new`, `delta`. A part that is not
        there reads as None. Raises as `trace`.
        """
        with self._lock:
            state = self._state(0)
            watch = _Watch(_question(field), self._copier.copied, state)
            self._ask_each(state, 0, len(self), watch)
        return changes_frame(self._columns, watch.rows)

    def next_change(self, position: int, field: Any = None, *, among: Any = None) -> int | None:
        """The first position after `position` whose event changed a part of the state, or None.

        `field` is as in `changes`, but no function; None is the whole state. `among` are positions to stop at, as
        `positions` gives them. Raises as `trace`. Cost: a fold up to there.
        """
        start, keys = self._checked(position), part_keys(field)
        with self._lock:
            state = self._state(start)
            watch = NextChange(keys, self._copier.copied, state, start, among)
            return self._ask_each(state, start, len(self), watch)

    def previous_change(self, position: int, field: Any = None, *, among: Any = None) -> int | None:
        """The last position before `position` whose event changed a part of the state, or None; as `next_change`.

        Cost: a fold of what lies between, a stretch of kept states at a time.
        """
        stop, keys = self._checked(position) - 1, part_keys(field)
        with self._lock:
            while stop > 0:
                start = self._snapshots.stride * ((stop - 1) // self._snapshots.stride)
                state = self._state(start)
                watch = LastChange(keys, self._copier.copied, state, start, among)
                self._ask_each(state, start, stop, watch)
                if watch.found is not None:
                    return watch.found
                stop = start
        return None

    def check(self) -> PurityReport:
        """Fold twice, with every event's payload compared before and after: finds projections that are not pure.

        A projection that looks at the time, at chance, at what it saw before, or that changes an event's payload or
        its own initial state, gives other states each time. A clock that is read to the second may escape it. Cost:
        some four folds.
        """
        return check_purity(self.fold, self._columns, self._copier)

    def _state(self, position: int) -> Any:
        state, start = self._jump(position)
        while start < position:
            stop = min(self._snapshots.next_after(start), position)
            state = self._folded(state, start, stop)
            self._snapshots.keep(stop, state)
            start = stop
        return state

    def _jump(self, position: int) -> tuple[Any, int]:
        """A kept state at or before the position, and where that is."""
        start = self._snapshots.before(position)
        return (self._snapshots.state(start) if start else self.fold.initial()), start

    def _folded(self, state: Any, start: int, stop: int) -> Any:
        """The state after the events of a range."""
        apply, may_be_none = self.fold.apply, self.fold.may_be_none
        event: Any = None
        try:
            for event in self._columns.rows(start, stop):
                state = apply(state, event)
                if state is None and not may_be_none:
                    raise returned_none(self.fold)
        except Exception as error:
            raise self._failure(event, error) from error
        return state

    def _ask_each(self, state: Any, start: int, stop: int, question: Question) -> int | None:
        """Fold on, asking for each state; the first position where the answer is true, or None."""
        while start < stop:
            end = min(self._snapshots.next_after(start), stop)
            state, position = self._asked(state, start, end, question)
            if position is not None:
                return position
            self._snapshots.keep(end, state)
            start = end
        return None

    def _asked(self, state: Any, start: int, stop: int, question: Question) -> tuple[Any, int | None]:
        apply, may_be_none = self.fold.apply, self.fold.may_be_none
        event: Any = None
        folded: Any = None
        try:
            for event in self._columns.rows(start, stop):
                state = apply(state, event)
                if state is None and not may_be_none:
                    raise returned_none(self.fold)
                folded = event
                if question(state):
                    return state, event.row + 1
        except Exception as error:
            self._blame(event, folded, error)
            raise
        return state, None

    def _traced(self, state: Any, start: int, stop: int, function: Question, values: kernels.Collected) -> Any:
        """The state after a range; what the function gives for each is added to the values."""
        apply, may_be_none = self.fold.apply, self.fold.may_be_none
        event: Any = None
        folded: Any = None
        try:
            for event in self._columns.rows(start, stop):
                state = apply(state, event)
                if state is None and not may_be_none:
                    raise returned_none(self.fold)
                folded = event
                values.append(function(state))
        except Exception as error:
            self._blame(event, folded, error)
            raise
        return state

    def _blame(self, event: Any, folded: Any, error: Exception) -> None:
        """Raise `ProjectionError` for an error while a state was made; for one of a question, say where it was."""
        if folded is not event:
            raise self._failure(event, error) from error
        error.add_note(f"This was asked of the state at position {event.row + 1} of {self!r}.")

    def _failure(self, event: Any, error: Exception) -> ProjectionError:
        """The error that names the event, with the last good state."""
        position = event.row + 1
        return ProjectionError(
            f"{self._name} failed at event {event.event_id.hex()} (position {position}, sequence "
            f"{event.global_sequence}, entity {event.entity!r}, kind {event.kind}): {type(error).__name__}: "
            f"{str(error).rstrip('.')}. Everything before can be asked, state_at({position - 1}) is the last good "
            f"state; mend apply, or leave the event out with filters=.",
            path=self._selected.view.path,
            position=position,
            event_id=event.event_id,
            global_sequence=event.global_sequence,
            entity=event.entity,
            kind=event.kind,
            state=self._last_good(position - 1),
        )

    def _last_good(self, position: int) -> Any:
        """The state before a failure, folded anew: `apply` may have changed half of the other."""
        state, start = self._jump(position)
        try:
            for event in self._columns.rows(start, position):
                state = self.fold.apply(state, event)
        except Exception:  # not the same twice; then there is no last good state
            return None
        return state


def _question(field: Any) -> Question:
    """A function of the state, which a field stands for."""
    return field if callable(field) else partial(_part_or_none, keys=keys_of(field))


def _part_or_none(state: Any, keys: Keys) -> Any:
    value = get_part(state, keys)
    return None if value is MISSING else value


class _Watch:
    """A question that is never true, and notes each change of a part of the state."""

    def __init__(self, part: Question, copied: Question, state: Any) -> None:
        self._part, self._copied = part, copied
        self._seen, self._position = copied(part(state)), 0
        self.rows: list[tuple[int, Any, Any, Any]] = []

    def __call__(self, state: Any) -> None:
        self._position += 1
        new, old = self._part(state), self._seen
        if (new is old and type(new) in IMMUTABLE) or same(old, new):
            return
        self._seen = self._copied(new)
        self.rows.append((self._position, old, self._seen, difference(old, new)))
