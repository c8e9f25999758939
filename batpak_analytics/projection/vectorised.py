"""Projections over whole columns: a function that gives every state at once, and the replay of those."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from batpak_analytics.engine import ids
from batpak_analytics.engine.point_read import read_value
from batpak_analytics.errors import ProjectionDeclarationError, ProjectionError
from batpak_analytics.frames.pandas import table_to_frame
from batpak_analytics.projection.check import Impurity, PurityReport
from batpak_analytics.projection.parts import keys_of
from batpak_analytics.projection.protocol import kinds_of, name_of
from batpak_analytics.projection.replay import Found
from batpak_analytics.projection.source import Selected, read_columns
from batpak_analytics.projection.steps import check_question
from batpak_analytics.projection.tables import changed_rows, plain_value, series_of, trace_frame
from batpak_analytics.projection.timeline import Timeline

PREFIXES = 8
"""How many beginnings of the events `check` computes anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Vectorised:
    """A projection over columns; `vectorised` makes it."""

    function: Callable[[Any], Any]
    columns: tuple[str, ...]
    start: Any
    by: str | None
    kinds: frozenset[int] | None
    entity: str | None
    version: int
    form: Literal["pandas", "arrow"]

    def __repr__(self) -> str:
        return f"vectorised({name_of(self.function)})"


def vectorised(
    function: Callable[[Any], Any] | None = None,
    *,
    columns: Iterable[str],
    initial: Any,
    by: str | None = None,
    kinds: Any = None,
    entity: str | None = None,
    version: int = 0,
    form: Literal["pandas", "arrow"] = "pandas",
) -> Any:
    """A projection from a function of columns, which gives the state after every event at once.

    The function gets the events as a DataFrame with `columns`, named and typed as in `read_batpak` (`form="arrow"`: as
    a `pyarrow.Table`), and returns one row for each: a Series or array (states are values), or a DataFrame, a table or
    a dict of arrays (states are dicts by column). A row must follow from events up to its own alone, as a cumulative
    sum does; `Replay.check` tests that. `initial` is the state before any event. With `by`, one of the columns, each
    row is the state of its event's group, and the state at a position is a dict of all groups by then.

    A replay of it answers as any other. A question (`trace`, `first_where`, `changes`) gets all states at once as a
    DataFrame, in which `s["total"] < 0` reads as for one state; a column's name will do too. `kinds`, `entity` and
    `version` are as in `Projection`. Raises `ProjectionDeclarationError`. Also a decorator.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> moved = bp.vectorised(lambda df: df["payload.x"].notna().cumsum(), columns=["payload.x"], initial=0)
    >>> replay = bp.open_reader(bp.demo_store()).replay(moved)
    >>> replay.state_at(1), replay.final()
    (1, 2)
    """
    if function is None:
        return lambda given: vectorised(
            given, columns=columns, initial=initial, by=by, kinds=kinds, entity=entity, version=version, form=form
        )
    names = tuple(columns) if not isinstance(columns, str) else (columns,)
    if not callable(function):
        raise ProjectionDeclarationError(f"{function!r:.60} cannot be called. Give a function of a DataFrame.")
    if form not in ("pandas", "arrow"):
        raise ProjectionDeclarationError(f'form={form!r}: give "pandas" or "arrow".')
    if by is not None and by not in names:
        raise ProjectionDeclarationError(f"by={by!r} is none of columns={list(names)}. Add it there.")
    chosen, types, _ = kinds_of(kinds, None)
    if types:
        raise ProjectionDeclarationError("Columns hold no instances of classes. Give kinds as ints.")
    return Vectorised(function, names, initial, by, chosen, entity, version, form)


class VectorReplay(Timeline):
    """A replay of a vectorised projection: all of its states are columns, computed once when first asked for.

    Cost: the events are read as a scan reads those columns; then the function, and 8 bytes or so a state and column.
    """

    def __init__(self, selected: Selected, projection: Vectorised) -> None:
        table, moments, shredded = read_columns(selected, projection.columns)
        super().__init__(selected, moments, shredded, name_of(projection.function).rsplit(".", 1)[-1])
        self.projection = projection
        self._by = None if projection.by is None else table[projection.by]
        self._given = table if projection.form == "arrow" else table_to_frame(table)

    @property
    def states(self) -> pd.DataFrame:
        """The state after each event: a DataFrame whose index is the position, from 1 on. It is the caller's own."""
        return self._states.copy()

    @cached_property
    def _states(self) -> pd.DataFrame:
        return self._computed(len(self))

    @cached_property
    def _initial(self) -> pd.DataFrame:
        """The initial state, as a frame of one row."""
        start = {"state": self.projection.start} if self._single else self.projection.start
        return pd.DataFrame({name: series_of([value]) for name, value in start.items()})

    @property
    def _single(self) -> bool:
        return not isinstance(self.projection.start, Mapping)

    def _computed(self, count: int) -> pd.DataFrame:
        """The states of the first so many events."""
        # A frame of its own, so that columns which the function adds are not there the next time.
        events: Any = self._given
        given = events.slice(0, count) if self.projection.form == "arrow" else events.iloc[:count].copy(deep=False)
        try:
            made = self.projection.function(given)
        except Exception as error:
            raise ProjectionError(
                f"{self._name} failed over {count:,} events: {type(error).__name__}: {error}. "
                f"Mend the function, or leave events out with filters=."
            ) from error
        columns = _columns(made, self._single)
        start = set(self._initial)
        if set(columns) != start:
            raise ProjectionError(
                f"{self._name} gave the columns {sorted(map(str, columns))}, and initial= has "
                f"{sorted(map(str, start))}. Give both the same."
            )
        if any(len(one) != count for one in columns.values()):
            raise ProjectionError(f"{self._name} must give one row for each of {count:,} events, in order.")
        index = pd.RangeIndex(1, count + 1, name="position")
        whole = {name: columns[name] for name in self._initial}
        whole = {name: one.array if isinstance(one, pd.Series) else one for name, one in whole.items()}
        return pd.DataFrame(whole, index=index, copy=False)

    def event(self, position: int) -> Any:
        """The event that led to a position, from 1 on, read from the store as by `Reader.get`."""
        number = self._checked(position)
        if number == 0:
            raise IndexError("position 0 is before any event. Give one from 1 on.")
        place = ids.find(self._selected.view, self._columns.event_id[number - 1].tobytes())
        assert place is not None
        return read_value(place)

    def state_at(self, position: int) -> Any:
        """The state after the first `position` events: a value or a dict; with `by` a dict of groups.

        Raises `IndexError`, and `ProjectionError` where the function fails. Cost: a look; with `by`, one a group.
        """
        number = self._checked(position)
        if self.projection.by is None:
            return self._state(number)
        names, at = self._groups.last(number)
        return {name: self._state(row + 1) for name, row in zip(names, at, strict=True)}

    def _state(self, position: int) -> Any:
        frame, row = (self._states, position - 1) if position else (self._initial, 0)
        values = {name: plain_value(frame[name].array[row]) for name in frame}
        return values["state"] if self._single else values

    @cached_property
    def _groups(self) -> _Groups:
        assert self._by is not None
        return _Groups.of(self._by)

    def trace(self, function: Any, *, start: int = 0, stop: int | None = None) -> pd.DataFrame:
        """As `Replay.trace`; the function gets all states at once, or is the name of a column."""
        first, last = self._checked(start), self._checked(len(self) if stop is None else stop)
        return trace_frame(self._columns, first, self._whole(function).iloc[first : last + 1])

    def first_where(self, predicate: Any, *, monotone: bool = False) -> Found | None:
        """As `Replay.first_where`; the predicate gets all states at once."""
        check_question(predicate)
        if _held(self._asked(predicate, self._initial))[0]:
            return Found(0, None, None, self._state(0))
        held = _held(self._asked(predicate, self._states))
        if not held.any():
            return None
        position = int(held.argmax()) + 1
        return Found(position, self.event(position), self.state_at(position - 1), self.state_at(position))

    def changes(self, field: Any) -> pd.DataFrame:
        """As `Replay.changes`; with `by`, a value is compared with that of its group before."""
        before = np.arange(len(self)) if self.projection.by is None else self._groups.before()
        return changed_rows(self._columns, self._whole(field), before)

    def next_change(self, position: int, field: Any = None, *, among: Any = None) -> int | None:
        """As `Replay.next_change`; `field` is as in `changes`, and None is all columns. Cost: that of `changes`."""
        found = self._changed(field, among)
        at = int(np.searchsorted(found, self._checked(position), side="right"))
        return int(found[at]) if at < len(found) else None

    def previous_change(self, position: int, field: Any = None, *, among: Any = None) -> int | None:
        """As `Replay.previous_change`; `field` and cost as in `next_change`."""
        found = self._changed(field, among)
        at = int(np.searchsorted(found, self._checked(position), side="left"))
        return int(found[at - 1]) if at else None

    def _changed(self, field: Any, among: Any) -> Any:
        """Every position whose event changed one of the columns, ascending."""
        asked = list(self._states) if field is None else [field]
        parts = [self.changes(one)["position"].to_numpy() for one in asked]
        found = np.unique(np.concatenate([np.zeros(0, np.int64), *parts]))
        return found if among is None else found[np.isin(found, among)]

    def check(self) -> PurityReport:
        """Compute some beginnings anew: whether a state follows from the events before it alone."""
        found = []
        for stop in sorted({len(self) * part // PREFIXES for part in range(1, PREFIXES + 1)} - {0}):
            anew, known = self._computed(stop).iloc[-1:], self._states.iloc[stop - 1 : stop]
            if not anew.astype(object).equals(known.astype(object)):
                meaning = "the state changes when later events are left out, or from one call to the next"
                found = [Impurity("state-differs", stop, self._columns.event_id[stop - 1].tobytes(), meaning)]
                break
        return PurityReport(len(self), tuple(found))

    def _whole(self, question: Any) -> pd.Series[Any]:
        """The answers for every position, the initial state's first."""
        first = self._asked(question, self._initial)
        made: pd.Series[Any] = _with_first(first.iloc[0], self._asked(question, self._states))
        return made

    def _asked(self, question: Any, states: pd.DataFrame) -> pd.Series[Any]:
        if callable(question):
            made = question(states["state"] if self._single else states)
        else:
            (name,) = keys_of(question) if question not in states else (question,)
            if name not in states:
                raise KeyError(f"{question!r} is none of the columns {list(states)}. Name one, or give a function.")
            made = states[name]
        made = made if isinstance(made, pd.Series) else pd.Series(made)
        if len(made) != len(states):
            raise TypeError("A question to a vectorised replay gets all states at once and answers for each of them.")
        return made


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Which rows belong to which group: `order` has the rows group by group, `bounds` where each begins."""

    names: list[Any]
    codes: Any
    order: Any
    bounds: Any

    @classmethod
    def of(cls, column: Any) -> _Groups:
        """The groups of a column, in the order in which they first appear."""
        encoded = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
        encoded = encoded.combine_chunks().dictionary_encode(null_encoding="encode")
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        codes = np.asarray(encoded.indices, np.int64)
        order = np.argsort(codes, kind="stable")
        names = encoded.dictionary.to_pylist()
        return cls(names, codes, order, np.searchsorted(codes[order], np.arange(len(names) + 1)))

    def last(self, count: int) -> tuple[list[Any], list[int]]:
        """The groups among the first `count` rows, and the last row of each."""
        span = len(self.codes) + 1
        key = self.codes[self.order] * span + self.order
        at = np.searchsorted(key, np.arange(len(self.names)) * span + count) - 1
        seen = np.flatnonzero(at >= self.bounds[:-1])
        return [self.names[one] for one in seen], self.order[at[seen]].tolist()

    def before(self) -> Any:
        """For each row the position of its group's state before it: 0 where it is the group's first."""
        found = np.zeros(len(self.codes), np.int64)
        found[self.order[1:]] = self.order[:-1] + 1
        found[self.order[self.bounds[:-1]]] = 0
        return found


def _columns(made: Any, single: bool) -> dict[Any, Any]:
    """What a function gave, as columns."""
    if isinstance(made, pa.Table | pa.RecordBatch):
        made = {name: made[name] for name in made.schema.names}
    if hasattr(made, "columns") and hasattr(made, "iloc"):
        made = {name: made[name] for name in made.columns}
    if single and isinstance(made, Mapping):
        raise ProjectionError("The function gave columns, and initial= is one value. Give a dict of initial values.")
    columns = dict(made) if isinstance(made, Mapping) else {"state": made}
    return {name: _numpy(one) if isinstance(one, pa.Array | pa.ChunkedArray) else one for name, one in columns.items()}


def _numpy(values: Any) -> Any:
    return values.to_numpy() if isinstance(values, pa.ChunkedArray) else values.to_numpy(zero_copy_only=False)


def _held(answers: pd.Series[Any]) -> Any:
    return answers.fillna(False).to_numpy(bool)


def _with_first(first: Any, values: Any) -> Any:
    """The initial value before the others, in the type of both."""
    first = plain_value(first)
    if isinstance(values, np.ndarray) and values.dtype != object:
        head = np.array([first])
        fits = np.can_cast(head.dtype, values.dtype, "same_kind") or (
            head.dtype.kind in "iu" and values.dtype.kind in "iuf"
        )
        if fits and (values.dtype.kind == "f" or head.astype(values.dtype)[0] == first):
            return pd.Series(np.concatenate([head.astype(values.dtype), values]))
    series = values if isinstance(values, pd.Series) else pd.Series(values)
    if isinstance(series.dtype, np.dtype) and series.dtype != object and not isinstance(values, np.ndarray):
        return _with_first(first, series.to_numpy())
    return pd.concat([pd.Series([first], dtype=object), series.astype(object)], ignore_index=True).infer_objects()
