"""All rows of a view side by side, hidden ones included, and their order along each chain.

A chain is one (entity, lane): never an entity alone, and never a search by hash (engine-read.md 19.1 and T-3).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.format.gather import Form, Job, Part
from batpak_analytics.format.layout import HASH_SIZE, ID_SIZE, U16_MAX

NOT_IN_ROWS = ("sequence", "excluded")
WORD = np.dtype("<u8")


@dataclass(frozen=True, eq=False)
class AllRows:
    """The rows of a view in (segment, offset) order, as columns; row `i` of segment `k` is at `starts[k] + i`.

    Memory: about 150 bytes an event while it is in use.
    """

    view: Any
    starts: Any
    entities: tuple[str, ...]
    columns: dict[str, Any]

    @classmethod
    def of(cls, view: Any) -> AllRows:
        """Gather the columns that chains need in one pass over the index rows."""
        counts = [len(segment.rows) for segment in view.segments]
        starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
        total = int(starts[-1])
        codes: dict[str, int] = {}
        columns: dict[str, Any] = {
            "entity": np.empty(total, np.int32),
            "lane": np.empty(total, np.uint32),
            "clock": np.empty(total, np.uint32),
            "wall_ms": np.empty(total, np.uint64),
            "prev_hash": np.empty((total, HASH_SIZE), np.uint8),
            "event_hash": np.empty((total, HASH_SIZE), np.uint8),
            "event_id": np.empty((total, ID_SIZE), np.uint8),
        }
        jobs = [
            Job("entity_idx" if name == "entity" else name, _form(name), column) for name, column in columns.items()
        ]
        parts = []
        for segment in view.segments:
            table = np.array([codes.setdefault(text, len(codes)) for text in segment.strings], np.int32)
            parts.append(Part(segment.rows, slice(0, len(segment.rows)), {"entity_idx": table}))
        kernels.gather_rows(parts, jobs)
        return cls(view, starts, tuple(codes), columns)

    def __len__(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def sequence(self) -> Any:
        """The global sequence of each row."""
        return _joined([segment.sequence for segment in self.view.segments], np.uint64)

    @cached_property
    def excluded(self) -> Any:
        """True for rows that are never shown: hidden ones and second copies."""
        return _joined([segment.excluded for segment in self.view.segments], bool)

    @cached_property
    def groups(self) -> tuple[Any, Any, Any]:
        """The chain of each row as a small number, and the entity code and lane of each chain."""
        lanes = self.columns["lane"]
        entity = self.columns["entity"].astype(np.int64)
        if not len(lanes) or not lanes.any():
            return _dense(entity, len(self.entities), np.zeros(1, np.uint32))
        known, lane = np.unique(lanes, return_inverse=True)
        return _dense(entity * len(known) + lane, len(self.entities) * len(known), known)

    @cached_property
    def order(self) -> Any:
        """The rows chain by chain, by ascending clock, and by sequence where a clock repeats."""
        group, clock = self.groups[0], self.columns["clock"]
        small = group.astype(np.uint16) if len(self.groups[1]) <= U16_MAX else group  # NumPy sorts these by radix
        order = np.argsort(small, kind="stable")
        sorted_group, sorted_clock = group[order], clock[order]
        ascends = (sorted_clock[1:] > sorted_clock[:-1]) | (sorted_group[1:] != sorted_group[:-1])
        return order if bool(ascends.all()) else np.lexsort((self.sequence, clock, group))

    def words(self, name: str) -> Any:
        """A hash column as four 64-bit words a row, which compare faster than bytes."""
        return self.columns[name].view(WORD)

    def place(self, row: int) -> tuple[Any, int]:
        """The segment of a row and its number there."""
        position = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.view.segments[position], row - int(self.starts[position])

    def event(self, row: int) -> str:
        """The id of a row in hexadecimal digits."""
        return bytes(self.columns["event_id"][row]).hex()


def _form(name: str) -> Form:
    return Form.CODE if name == "entity" else Form.REVERSED if name == "event_id" else Form.COPY


def _joined(parts: list[Any], dtype: Any) -> Any:
    return np.concatenate([np.empty(0, dtype), *parts]).astype(dtype, copy=False)


def _dense(keys: Any, size: int, lanes: Any) -> tuple[Any, Any, Any]:
    """Keys `entity * len(lanes) + lane` as numbers without holes."""
    used = np.zeros(size, bool)
    used[keys] = True
    at = np.flatnonzero(used)
    numbers = np.zeros(size, np.int64)
    numbers[at] = np.arange(len(at))
    return numbers[keys], at // len(lanes), lanes[at % len(lanes)]
