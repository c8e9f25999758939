"""The positions of a replay: which event stands at which, and how one is found."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from batpak_analytics.arrow.scan import Scan
from batpak_analytics.engine.point_read import EventId, id_bytes
from batpak_analytics.errors import EventNotFoundError
from batpak_analytics.format.layout import U64_MAX
from batpak_analytics.projection.batches import settled_at
from batpak_analytics.projection.diff import Diff, diff_states
from batpak_analytics.projection.listed import ReplayEvents
from batpak_analytics.projection.source import Selected
from batpak_analytics.projection.steps import Activity, Positions

if TYPE_CHECKING:
    from batpak_analytics.widgets.replay import ReplayWidget


class Timeline(ABC):
    """What a replay is asked by position: 0 is before any event, n after n of them."""

    def __init__(self, selected: Selected, columns: Any, shredded: int, name: str) -> None:
        self._selected, self._columns, self._name = selected, columns, name
        self.shredded = shredded

    def __len__(self) -> int:
        return len(self._columns.sequence)

    @abstractmethod
    def state_at(self, position: int) -> Any:
        """The state after `position` events."""

    def final(self) -> Any:
        """The state after all events."""
        return self.state_at(len(self))

    def at(self, event_id: EventId) -> Any:
        """The state after the event with this id (hex, bytes, int or `uuid.UUID`). Raises as `position_of`."""
        return self.state_at(self.position_of(event_id))

    def at_sequence(self, sequence: int) -> Any:
        """The state as it was when the store had come to this global sequence.

        A batch is committed as one: a number inside of one means the moment before it. Raises `ValueError` for a
        negative number.
        """
        return self.state_at(self.position_at_sequence(sequence))

    def position_of(self, event_id: EventId) -> int:
        """How many events are folded with the one of this id; of two with one id the later one is meant.

        Raises `EventNotFoundError` where it is none of this replay's. Cost: one look at the ids.
        """
        key = id_bytes(event_id)
        wanted = np.frombuffer(key, np.uint64)
        ids = self._columns.event_id.view(np.uint64)
        found = np.flatnonzero((ids[:, 0] == wanted[0]) & (ids[:, 1] == wanted[1]))
        if not len(found):
            raise EventNotFoundError(
                f"No event of this replay has the id {key.hex()}. It may be of another entity or kind, or later; "
                f"events() lists those that are folded.",
                path=self._selected.view.path,
                actual=key.hex(),
            )
        return int(found[-1]) + 1

    def position_at_sequence(self, sequence: int) -> int:
        """How many events are folded when the store has come to this global sequence; batches as in `at_sequence`."""
        number = operator.index(sequence)
        if number < 0:
            raise ValueError(f"sequence is {number}. Give a global sequence from 0 on.")
        number = settled_at(self._selected.view, min(number, U64_MAX))
        return 0 if number < 0 else int(np.searchsorted(self._columns.sequence, np.uint64(number), side="right"))

    def diff(self, start: int, stop: int) -> Diff:
        """What differs between the states at two positions, part by part: path, old, new, delta."""
        old, new = self.state_at(start), self.state_at(stop)
        return Diff(diff_states(old, new), operator.index(start), operator.index(stop))

    def events(self, **options: Any) -> ReplayEvents:
        """A lazy table of the events that are folded, `position` first; `options` are form options of `read_batpak`:
        `columns`, `payload`, `payload_schema`, `ids`, `kind_names`, `dtype_backend`.
        """
        return ReplayEvents(self._selected, self._columns.sequence, **options)

    def positions(self, *, entity: Any = None, kind: Any = None, filters: Any = None) -> Positions:
        """The positions of the events that pass, ascending, as an array of int64; options are those of `read_batpak`.

        It says where to look, and changes nothing of what is folded. Cost: a scan of what the filters need.
        """
        options = self._selected.options | {"system": True, "entity": entity, "kind": kind, "filters": filters}
        found = Scan(self._selected.view, columns=["global_sequence"], payload=None, **options).to_arrow()
        kept = np.isin(self._columns.sequence, found["global_sequence"].to_numpy())
        return np.flatnonzero(kept).astype(np.int64) + 1

    def activity(self, bins: int = 100) -> Activity:
        """How many events happened in each of `bins` equal stretches of time, from the earliest to the latest."""
        if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
            raise ValueError(f"bins={bins!r}: give a positive int.")
        return Activity.of(self._columns.wall_ms, bins)

    def widget(self, **options: Any) -> ReplayWidget:
        """A widget to step through the states in a notebook; `ReplayWidget` describes it and its options.

        Raises `MissingExtraError` without the extra `widgets`.
        """
        made: ReplayWidget = import_module("batpak_analytics.widgets.replay").ReplayWidget(self, **options)
        return made

    def _checked(self, position: Any) -> int:
        """A position as an int; raises `IndexError` where there is none."""
        if not hasattr(position, "__index__"):
            raise TypeError(
                f"position={position!r}: give how many events are folded, an int. at() takes an event id, and "
                f"at_sequence() a global sequence."
            )
        number = operator.index(position)
        if not 0 <= number <= len(self):
            raise IndexError(
                f"position {number} is none of this replay, which has {len(self):,} events. Give one from 0 (before "
                f"any event) to {len(self)} (after all)."
            )
        return number

    def _told(self) -> dict[str, str]:
        told = {"events": f"{len(self):,}"}
        if len(self):
            numbers, times = self._columns.sequence, self._columns.wall_ms
            told["sequences"] = f"{int(numbers[0])} to {int(numbers[-1])}"
            told["times"] = f"{_time(times[0])} to {_time(times[-1])}"
        if self._selected.entity is not None:
            told["entity"] = repr(self._selected.entity)
        if self.shredded:
            told["left out"] = f"{self.shredded:,} events whose payload was shredded"
        return told

    def __repr__(self) -> str:
        told = self._told()
        told.pop("times", None)
        words = ", ".join(f"{name} {text}" if name != "events" else f"{text} events" for name, text in told.items())
        return f"{type(self).__name__}({self._name}: {words})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>'
            for name, text in self._told().items()
        )
        return f"<table><caption>{type(self).__name__} of {escape(self._name)}</caption><tbody>{rows}</tbody></table>"


def _time(wall_ms: Any) -> str:
    try:
        return datetime.fromtimestamp(int(wall_ms) / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")[:23]
    except (ValueError, OverflowError):  # where the calendar ends
        return f"{int(wall_ms)} ms since 1970"
