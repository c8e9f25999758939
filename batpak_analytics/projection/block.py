"""Some events of a replay, read from their frames at once, in whatever order the replay has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.arrow.contradictions import StringTable
from batpak_analytics.arrow.windows import windows
from batpak_analytics.engine.entries import Entries
from batpak_analytics.engine.ids import Place
from batpak_analytics.engine.point_read import read_event, read_value
from batpak_analytics.errors import BatpakError, FormatError
from batpak_analytics.format.json_text import payload_to_json_value
from batpak_analytics.format.layout import FRAME_OK, ID_SIZE, FooterState
from batpak_analytics.model import Event

Typed = Mapping[int, Callable[[bytes, int, bytes], Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Events as columns. `order[n]` is the row of the nth event of the replay.

    Where `closer[n]` is True the columns do not tell the event: it is sealed, damaged, or says something else than the
    index. Then it is to be read by itself, at its place in `entries`.
    """

    entries: Entries

    numbers: dict[str, Any]
    order: Any
    closer: Any

    @classmethod
    def read(cls, entries: Entries, tables: dict[int, StringTable]) -> Block:
        """Read the frames of all entries. `tables` is what is known of segments from the blocks before."""
        parts = list(entries.by_segment())
        taken = kernels.take_frames(
            [source for segment, rows, _ in parts for source in _sources(segment, rows, tables)], keep=True
        )
        here = np.concatenate([np.zeros(0, np.int64), *(places for *_, places in parts)])
        order = np.empty(len(here), np.int64)
        order[here] = np.arange(len(here))
        closer = (taken.status != FRAME_OK) | (taken.encrypted != 0) | taken.differs
        return cls(entries, _columns(entries.taken(here), parts, taken), order, closer[order])

    def columns(self, typed: Typed) -> Any:
        """The events with payloads as plain JSON, or as `typed` makes them of the kinds that it has."""
        return kernels.EventColumns(**self.numbers, typed=typed, refuse=self._refusal, whole=self._whole)

    def _place(self, row: int) -> Place:
        return self.entries.place(int(np.flatnonzero(self.order == row)[0]))

    def _refusal(self, row: int, error: FormatError | None) -> Exception:
        """Why a payload has no value, in the words of a point read."""
        try:
            read_value(self._place(row))
        except BatpakError as told:
            return told
        raise AssertionError("one read finds a payload that the other does not") from error

    def _whole(self, row: int) -> Event:
        return read_event(self._place(row), payload_to_json_value)


def _sources(segment: Any, rows: Any, tables: dict[int, StringTable]) -> list[kernels.Source]:
    strings = None
    if segment.footer_state == FooterState.TRUSTED:  # other rows were made from these very frames
        table = tables.get(segment.segment_id)
        if table is None:
            table = tables[segment.segment_id] = StringTable.of(segment.strings)
        strings = table.text, table.bounds
    return [
        kernels.Source(window.buffer, window.start, segment.rows, window.rows, strings)
        for window in windows(segment, rows)
    ]


def _columns(entries: Entries, parts: list[Any], taken: Any) -> dict[str, Any]:
    """What `EventColumns` takes, but for what belongs to a projection. The entries are in the order of the frames."""
    causes = _ids(entries, "causation_id")
    ids = {name: _ids(entries, name) for name in ("event_id", "correlation_id")}
    return {
        **ids,
        "causation_id": causes,
        "caused": np.ascontiguousarray(causes.any(axis=1), np.uint8),
        "sequence": np.ascontiguousarray(entries.global_sequences, np.uint64),
        **{name: np.ascontiguousarray(entries.column(name)) for name in ("kind", "lane", "depth", "clock", "wall_ms")},
        "timestamp_us": np.ascontiguousarray(taken.frames["timestamp_us"], np.int64),
        "payload_version": np.ascontiguousarray(taken.frames["payload_version"], np.uint16),
        **_names(parts, "entity", "entities"),
        **_names(parts, "scope", "scopes"),
        "data": taken.data,
        "bounds": taken.bounds,
        "trouble": np.zeros(len(entries), np.uint8),
    }


def _ids(entries: Entries, name: str) -> Any:
    """Big-endian, as rows of 16 bytes."""
    stored = np.frombuffer(entries.column(name).tobytes(), np.uint8).reshape(-1, ID_SIZE)
    return np.ascontiguousarray(stored[:, ::-1])


def _names(parts: list[Any], name: str, names: str) -> dict[str, Any]:
    """The entity or the scope of each event, as a place in a list of names."""
    known: dict[str, int] = {}
    codes = [np.zeros(0, np.int32)]
    for segment, rows, _ in parts:
        used, here = np.unique(segment.rows[f"{name}_idx"][rows], return_inverse=True)
        numbers = [known.setdefault(segment.strings[one], len(known)) for one in used.tolist()]
        codes.append(np.array(numbers, np.int32)[here])
    return {name: np.concatenate(codes), names: list(known)}


def typed_by(types: Mapping[int, type], registry: Any) -> Typed:
    """What makes an instance of the payload of each kind that a projection gave as a class."""
    if not types:
        return {}
    from batpak_analytics.payloads.decoding import instance

    def made(packed: bytes, stored: int, event_id: bytes, known: Any) -> Any:
        return instance(packed, stored, event_id, known, registry)

    return {kind: partial(made, known=registry.type_of(cls)) for kind, cls in types.items()}
