"""A reader that follows a store which is being written, and checks every view of it against the writer's receipts.

The reference program notes each append the moment the engine has acknowledged it (`live --receipts FILE`): id, content
hash, global sequence and entity, in commit order. So at any time it is known exactly which events a reader must show.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import blake3
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import batpak_analytics as bp
from batpak_analytics.errors import ViewExpiredError
from batpak_analytics.format.layout import KIND_CLOSE_COMPLETED, KIND_OPEN_COMPLETED, KIND_TOMBSTONE
from batpak_analytics.model import Finding
from tests.interop.swallowed import torn_at

RECEIPT = np.dtype([("id", "V16"), ("hash", "V32"), ("sequence", "<u8"), ("entity", "S16")])
# What a compaction may not change: everything but the place, and the number if it dropped events.
LASTING = [
    "event_id", "correlation_id", "causation_id", "entity", "scope", "wall_time", "lane", "depth", "clock",
    "prev_hash", "event_hash", "timestamp", "flags", "payload_version", "payload_size", "content_hash", "extensions",
    "disposition", "payload",
]  # fmt: skip
CONTENTS = ["payload", "event_hash", "entity", "global_sequence"]
# Without the payload no frame is read: many more views can be looked at in the same time.
INDEX_ONLY = ["global_sequence", "event_id", "event_hash", "entity", "kind", "prev_hash"]
STRUCK_ENTITY = b"order:2"


class Receipts:
    """The receipts so far; `read` gives them all, in commit order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[bytes, int] = {}
        self._known = np.empty(0, RECEIPT)

    def read(self) -> Any:
        """A `RECEIPT` array of every append that was acknowledged before this call."""
        size = os.stat(self._path).st_size if self._path.exists() else 0
        fresh = size // RECEIPT.itemsize - len(self._known)
        if fresh > 0:
            with self._path.open("rb") as file:
                file.seek(len(self._known) * RECEIPT.itemsize)
                data = file.read(fresh * RECEIPT.itemsize)
            added = np.frombuffer(data, RECEIPT)
            self._places.update({item.tobytes(): len(self._known) + at for at, item in enumerate(added["id"])})
            self._known = np.concatenate([self._known, added])
        return self._known

    def places(self, ids: Any) -> Any:
        """The receipt number of each id; -1 where there is no receipt."""
        known = self.read()["id"]
        if len(ids) <= len(known) and ids.tobytes() == known[: len(ids)].tobytes():
            return np.arange(len(ids))  # so it is with a writer that was never killed and dropped nothing
        return np.array([self._places.get(one.tobytes(), -1) for one in ids], np.int64)


@dataclass(frozen=True)
class Allowed:
    """What this writer does that changes the past. `struck` events may go, or become tombstones."""

    strategy: str = "merge"
    # A writer that was killed may have written events that it never acknowledged, and a part of one.
    unacknowledged: bool = False
    # A view of unmapped files may expire before its first batch.
    expiry: bool = False


@dataclass
class Follower:
    """One reader; each `step` refreshes it, scans everything and compares with the receipts and the last step."""

    reader: bp.Reader
    receipts: Receipts
    allowed: Allowed = field(default_factory=Allowed)
    steps: int = 0
    expired: int = 0
    columns: Any = "all"
    table: pa.Table | None = None

    def step(self) -> None:
        """One refresh and scan, checked."""
        acknowledged = len(self.receipts.read())
        self.reader.refresh()
        try:
            table = scan(self.reader, self.columns)
        except ViewExpiredError:
            assert self.allowed.expiry
            self.expired += 1
            return
        self.check(table, acknowledged)
        self.table = table
        self.steps += 1

    def check(self, table: pa.Table, acknowledged: int) -> None:
        """Nothing torn, twice, out of order or missing among the events of `table`."""
        sequences = table.column("global_sequence").to_numpy()
        wrong = np.flatnonzero(sequences[1:] <= sequences[:-1])
        assert not len(wrong), f"global sequences do not ascend: {sequences[max(wrong[0] - 2, 0) : wrong[0] + 4]}"
        ids = fixed(table.column("event_id"))
        assert len(np.unique(ids.view("S16"))) == len(ids), "an event is shown twice"
        places = self.receipts.places(ids)
        self._check_complete(places, acknowledged)
        self._check_contents(table, places)
        self._check_grown(table)
        findings = self.reader.view.findings
        troubles = [one for one in findings if one.severity != "info" and not self._is_cut_write(one)]
        assert not troubles, troubles

    def _is_cut_write(self, one: Finding) -> bool:
        """Whether a finding tells of the part of a frame that a killed writer leaves at the end of a segment."""
        if not self.allowed.unacknowledged or one.rule != "unfinished-tail" or one.file is None:
            return False
        return one.offset == torn_at(Path(self.reader.path) / one.file)

    def _check_complete(self, places: Any, acknowledged: int) -> None:
        known = places >= 0
        if not self.allowed.unacknowledged:
            count = int(known.sum())
            assert bool(known[:count].all()), "an event that was never acknowledged stands before one that was"
        found = places[known]
        assert bool((np.diff(found) > 0).all()), "events are not in commit order"
        missing = np.setdiff1d(np.arange(acknowledged), found)
        if self.allowed.strategy == "retention":
            missing = missing[self.receipts.read()["entity"][missing] != STRUCK_ENTITY]
        assert len(missing) == 0, f"{len(missing)} acknowledged events are not shown, the first is number {missing[0]}"

    def _check_contents(self, table: pa.Table, places: Any) -> None:
        """Every row that is new since the last step holds the bytes the engine acknowledged."""
        if self.columns != "all":
            return
        start = 0 if self.table is None or self.allowed.strategy == "retention" else self.table.num_rows
        receipts, rows = self.receipts.read(), table.slice(start).select(CONTENTS)
        columns = [column.to_pylist() for column in rows.columns]
        for payload, stored, entity, number, place in zip(*columns, places[start:], strict=True):
            assert blake3.blake3(payload).digest() == stored, "a payload differs from its hash"
            if place >= 0:
                receipt = receipts[place]
                assert receipt["hash"].tobytes() == stored
                assert receipt["entity"] == entity.encode()
                assert self.allowed != Allowed() or receipt["sequence"] == number

    def _check_grown(self, table: pa.Table) -> None:
        """What the last step showed is shown again, unchanged and in the same order, before anything new."""
        if self.table is None:
            return
        old, kinds = self.table, KIND_TOMBSTONE
        if self.allowed.strategy == "retention":
            old = old.filter(pc.is_in(old.column("event_id"), table.column("event_id").combine_chunks()))
        now = table.slice(0, old.num_rows)
        for name in [name for name in LASTING if name in table.schema.names]:
            assert plain(now.column(name)).equals(plain(old.column(name))), f"{name} of an event has changed"
        changed = np.flatnonzero(now.column("kind").to_numpy() != old.column("kind").to_numpy())
        for row in changed.tolist():
            assert self.allowed.strategy == "tombstone"
            assert now.column("kind")[row].as_py() == kinds
            assert now.column("entity")[row].as_py().encode() == STRUCK_ENTITY


def fixed(column: pa.ChunkedArray) -> Any:
    """Ids as a NumPy array of 16 bytes each."""
    array = column.combine_chunks()
    return np.frombuffer(array.buffers()[1], "V16", len(array), array.offset * 16)


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values without their dictionary, whose order may differ from one scan to the next."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def scan(reader: bp.Reader, columns: Any = "all") -> pa.Table:
    """All events that applications wrote, in commit order."""
    payload = "binary" if columns == "all" else None
    return without_lifecycle(reader.events(columns=columns, payload=payload, system=True).to_arrow())


def without_lifecycle(table: pa.Table) -> pa.Table:
    """The events that an application wrote: opening and closing a store leaves one each."""
    own = pa.array([KIND_OPEN_COMPLETED, KIND_CLOSE_COMPLETED], pa.uint16())
    return table.filter(pc.invert(pc.is_in(table.column("kind"), own)))
