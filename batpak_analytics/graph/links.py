"""`Links`: every visible event of a view in commit order, and which of them caused which.

Causes come from the index alone. A cause counts where a visible event of the view has that id; it may be committed
later than its effect, or be the effect itself, since nobody checks what a writer gives as `causation_id`
(engine-read.md 6). Where two events share an id, the later one is meant, as in `Reader.get`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from batpak_analytics import kernels
from batpak_analytics.arrow.chunks import chunks
from batpak_analytics.arrow.columns import LabelSpace
from batpak_analytics.arrow.criteria import parse_criteria, resolve_as_of
from batpak_analytics.arrow.selection import select
from batpak_analytics.errors import EventNotFoundError, ResultTooLargeError
from batpak_analytics.format.gather import row_count
from batpak_analytics.format.layout import FOOTER_DTYPE, ID_SIZE

Array = npt.NDArray[Any]
Places = npt.NDArray[np.int64]

NONE: Final = -1
"""The parent of an event that names no cause."""
DANGLING: Final = -2
"""The parent of an event whose cause is not there: hidden, compacted away, of another store, or never written."""

MOST_EVENTS: Final = (1 << 31) - 1
NO_FILTER: Final = dict.fromkeys(("entity", "scope", "kind", "lane", "since", "until", "as_of")) | {"system": True}

_IDS: Final = ("event_id", "correlation_id", "causation_id")
_CODES: Final = {"entity": "entity_idx", "scope": "scope_idx"}


class Links:
    """The visible events of a view up to `last_sequence`; made once, shared between threads.

    A *place* is the number of an event in commit order. Columns are gathered when asked for and not kept.
    """

    def __init__(self, view: Any, last_sequence: int | None) -> None:
        self.view = view
        self.selection = select(view, parse_criteria(view, NO_FILTER | {"as_of": last_sequence}), None)
        self.count = self.selection.count
        if self.count > MOST_EVENTS:
            raise ResultTooLargeError(
                f"{view.path} has {self.count:,} events, and a causal graph takes {MOST_EVENTS:,}. Look at a prefix of "
                f"it with as_of=.",
                expected=MOST_EVENTS,
                actual=self.count,
            )
        self.labels = LabelSpace(view, self.selection.masks, self.selection.counts)
        whole = next(chunks(view, self.selection, self.count + 1, frames=False), None)
        self.groups = () if whole is None else whole.groups
        self.order = None if whole is None else whole.order
        self._starts = np.cumsum([0, *(row_count(group.rows) for group in self.groups)])
        self._lock = threading.RLock()
        self._found: dict[str, Any] = {}

    def _once(self, name: str, find: Callable[[], Any]) -> Any:
        """What `find` gives, found by one thread and kept."""
        if name not in self._found:
            with self._lock:
                if name not in self._found:
                    self._found[name] = find()
        return self._found[name]

    @property
    def parents(self) -> npt.NDArray[np.int32]:
        """The place of each event's cause, `NONE` or `DANGLING`."""
        found: npt.NDArray[np.int32] = self._once("parents", self._find_parents)
        return found

    def _find_parents(self) -> npt.NDArray[np.int32]:
        columns = self.gather(("event_id", "causation_id"))
        causes = columns["causation_id"]
        found: npt.NDArray[np.int32] = kernels.join_ids(columns["event_id"], causes, last=True)
        found[found < 0] = DANGLING
        found[(causes[:, 0] | causes[:, 1]) == 0] = NONE  # zero is no id (engine-read.md 1.1)
        return found

    @property
    def forest(self) -> kernels.Forest:
        """Depths, heights and so on of all events."""
        found: kernels.Forest = self._once("forest", lambda: kernels.measure_forest(self.parents))
        return found

    @property
    def effects(self) -> tuple[Places, Places]:
        """All places that have a cause, ordered by it, and where the effects of each place begin among them."""
        found: tuple[Places, Places] = self._once("effects", self._find_effects)
        return found

    def _find_effects(self) -> tuple[Places, Places]:
        caused = np.flatnonzero(self.parents >= 0)
        ordered = caused[np.argsort(self.parents[caused], kind="stable")]
        return ordered, np.concatenate([[0], np.cumsum(self.forest.effects, dtype=np.int64)])

    def effects_of(self, places: Places) -> Places:
        """Every effect of these places, in commit order."""
        ordered, starts = self.effects
        first, sizes = starts[places], starts[places + 1] - starts[places]
        ahead = np.cumsum(sizes) - sizes
        return np.sort(ordered[np.repeat(first - ahead, sizes) + np.arange(int(sizes.sum()))])

    def gather(self, names: Sequence[str], places: Places | None = None) -> dict[str, Array]:
        """Columns of the events at `places`, None for all of them.

        Ids as (n, 2) words whose bytes are those of the id, entity and scope as codes of `labels`, times in
        milliseconds.
        """
        at, back, count = None, self.order, self.count
        if places is not None:
            at, back, count = places if self.order is None else self.order[places], None, len(places)
            if (at[1:] < at[:-1]).any():
                sorting = np.argsort(at, kind="stable")
                at, back = at[sorting], np.argsort(sorting)
        values = {name: _room(name, count) for name in names}
        jobs = [_job(name, out) for name, out in values.items() if name != "global_sequence"]
        parts, done = [], 0
        for number, group in enumerate(self.groups):
            rows = self._rows(number, at)
            segment, size = self.view.stretches[group.segment], row_count(rows)
            if not size:
                continue
            tables = {_CODES[name]: getattr(self.labels, name).table(group.segment) for name in names if name in _CODES}
            parts.append(kernels.Part(segment.rows, rows, tables))
            if "global_sequence" in values:
                values["global_sequence"][done : done + size] = segment.sequence[rows]
            done += size
        kernels.gather_rows(parts, jobs)
        return values if back is None else {name: found[back] for name, found in values.items()}

    def _rows(self, number: int, at: Places | None) -> Any:
        """The rows of one group that stand at ascending positions `at`; None means every position."""
        group = self.groups[number]
        if at is None:
            return group.rows
        low, high = np.searchsorted(at, self._starts[number : number + 2])
        inside = at[low:high] - self._starts[number]
        return inside + group.rows.start if isinstance(group.rows, slice) else group.rows[inside]

    def marked(self, places: Places) -> tuple[Array | None, ...]:
        """One mask for each stretch that is true for the events at `places`."""
        at = np.sort(places if self.order is None else self.order[places])
        masks: list[Array | None] = [np.zeros(stretch.count, bool) for stretch in self.view.stretches]
        for number, group in enumerate(self.groups):
            mask = masks[group.segment]
            assert mask is not None
            mask[self._rows(number, at)] = True
        return tuple(masks)

    def places_of(self, masks: Sequence[Array | None]) -> Places:
        """The places of the events that the masks select, ascending: None means every row of a segment, and a mask
        without flags none of them, as in a `Selection`.
        """
        parts = [_flags(masks[group.segment], group.rows) for group in self.groups]
        flags = np.concatenate(parts) if parts else np.zeros(0, bool)
        return np.flatnonzero(flags if self.order is None else flags[self.order])

    def find(self, event_id: bytes) -> int:
        """The place of the event with this id, the later one where two share it; raises `EventNotFoundError`."""
        places = self._having("event_id", event_id)
        if not len(places):
            raise EventNotFoundError(
                f"No visible event has the id {event_id.hex()}. It may be hidden, compacted away or newer than this "
                f"view; refresh() moves the view forward.",
                path=self.view.path,
                actual=event_id.hex(),
            )
        return int(places[-1])

    def find_ending(self, digits: str) -> int:
        """The place of the event whose id ends in these hexadecimal digits, as tables show it.

        Raises `ValueError` where several do, and `EventNotFoundError` where none does.
        """
        ids = self.gather(("event_id",))["event_id"].view(np.uint8).reshape(-1, ID_SIZE)
        whole = bytes.fromhex(digits[len(digits) % 2 :])
        found = np.flatnonzero((ids[:, ID_SIZE - len(whole) :] == np.frombuffer(whole, np.uint8)).all(axis=1))
        if len(digits) % 2:
            found = found[(ids[found, ID_SIZE - 1 - len(whole)] & 0xF) == int(digits[0], 16)]
        names = {ids[place].tobytes() for place in found}
        if len(names) > 1:
            raise ValueError(f"{len(names)} events have ids that end in {digits}. Give more digits")
        if not names:
            raise EventNotFoundError(
                f"No visible event has an id that ends in {digits}. Give all 32 digits to be sure.",
                path=self.view.path,
                actual=digits,
            )
        return int(found[-1])

    def of_correlation(self, correlation_id: bytes) -> Places:
        """The places of the events with this correlation id; raises `EventNotFoundError` where there are none."""
        places = self._having("correlation_id", correlation_id)
        if not len(places):
            raise EventNotFoundError(
                f"No visible event has the correlation id {correlation_id.hex()}. correlations() lists all there are.",
                path=self.view.path,
                actual=correlation_id.hex(),
            )
        return places

    def _having(self, name: str, value: bytes) -> Places:
        found = self.gather((name,))[name]
        wanted = np.frombuffer(value, np.uint64)
        return np.flatnonzero((found[:, 0] == wanted[0]) & (found[:, 1] == wanted[1]))


def links_of(view: Any, as_of: Any = None) -> Links:
    """The links of a view as of a sequence, an event id or a time; those of the whole view and of one more are kept."""
    last = resolve_as_of(view, as_of)
    key = ("links", last is None)
    with view.lock:
        kept = view.cache.get(key)
        if kept is None or kept[0] != last:
            kept = view.cache[key] = (last, Links(view, last))
    links: Links = kept[1]
    return links


def _flags(mask: Array | None, rows: slice | Places) -> Array:
    """The flags of these rows."""
    if mask is None or not len(mask):
        return np.full(row_count(rows), mask is None)
    flags: Array = mask[rows]
    return flags


def _room(name: str, count: int) -> Array:
    """An array for `count` values of a column."""
    if name in _IDS:
        return np.empty((count, 2), np.uint64)
    if name in _CODES:
        return np.empty(count, np.int32)
    if name == "wall_time":
        return np.empty(count, np.int64)
    return np.empty(count, FOOTER_DTYPE[name].newbyteorder("="))


def _job(name: str, out: Array) -> kernels.Job:
    if name in _IDS:
        return kernels.Job(name, kernels.Form.REVERSED, out)
    if name in _CODES:
        return kernels.Job(_CODES[name], kernels.Form.CODE, out)
    if name == "wall_time":
        return kernels.Job("wall_ms", kernels.Form.TIME, out)
    return kernels.Job(name, kernels.Form.COPY, out)
