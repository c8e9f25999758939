"""Any history of appends, batches, fences, retries, compactions, crashes, power cuts and reopens is that of a list."""

from __future__ import annotations

import random
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import batpak_analytics as bp
from batpak_analytics.engine.filesystem import DescriptorCache
from batpak_analytics.engine.view import build_view
from batpak_analytics.format.layout import KIND_TOMBSTONE
from tests.store.compactions import STRATEGIES
from tests.store.power import Power
from tests.store.test_power_cut import die

KIND = 0x1001
FRAME = pa.schema({"e": pa.string(), "n": pa.int64()})
entities = st.sampled_from(["order:1", "order:2", "user"])
lanes = st.sampled_from([0, 0, 5])
keys = st.none() | st.integers(1, 6)
numbers = st.integers(0, 1 << 40)


@dataclass
class Known:
    """What an event has to be."""

    entity: str
    lane: int
    number: int
    clock: int
    sequence: int
    hidden: bool = False
    struck: bool = False


class StoreMachine(RuleBasedStateMachine):
    """The store under test, beside a list of what was appended to it."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp(prefix="batpak-machine-"))
        self.events: list[Known] = []
        self.used: dict[int, Known | None] = {}
        """The event of each key; None for one that a compaction dropped."""
        self.durable = 0
        """How many of the events are surely on disk."""
        self.store: bp.Store

    @initialize(bytes_=st.sampled_from([1, 2_000, 1 << 20]), sync=st.sampled_from([1, 3, "always", "batch"]))
    def begin(self, bytes_: int, sync: int | str) -> None:
        self.config = bp.StoreConfig(segment_max_bytes=bytes_, sync=sync)  # type: ignore[arg-type]
        self._open()

    def _open(self) -> None:
        self.files = Power(self.path)
        self.store = bp.Store.open(self.path, config=self.config, files=self.files)

    def _next_clock(self, entity: str, lane: int) -> int:
        return 1 + max((one.clock for one in self.events if (one.entity, one.lane) == (entity, lane)), default=-1)

    def _add(self, entity: str, lane: int, number: int, receipt: bp.Receipt, *, hidden: bool = False) -> None:
        clock = self._next_clock(entity, lane)
        assert receipt.clock == clock
        self.events.append(Known(entity, lane, number, clock, receipt.global_sequence, hidden))

    @rule(entity=entities, lane=lanes, number=numbers, key=keys)
    def append(self, entity: str, lane: int, number: int, key: int | None) -> None:
        receipt = self.store.append(entity, "s", KIND, {"n": number}, lane=lane, idempotency_key=key)
        if key in self.used:
            assert receipt.replayed
            known = self.used[key]
            assert receipt.clock == (None if known is None else known.clock)
            return
        assert not receipt.replayed
        assert receipt.clock == self._next_clock(entity, lane)
        self._add(entity, lane, number, receipt)
        if key is not None:
            self.used[key] = self.events[-1]

    @rule(items=st.lists(st.tuples(entities, lanes, numbers), max_size=5))
    def append_batch(self, items: list[tuple[str, int, int]]) -> None:
        receipts = self.store.append_batch(
            [bp.BatchItem(entity, "s", KIND, {"n": number}, lane=lane) for entity, lane, number in items]
        )
        assert all(one.durable for one in receipts)
        for item, receipt in zip(items, receipts, strict=True):
            self._add(*item, receipt)

    @rule(items=st.lists(st.tuples(entities, numbers), max_size=5), batch_rows=st.integers(1, 5))
    def append_frame(self, items: list[tuple[str, int]], batch_rows: int) -> None:
        table = pa.table({"e": [entity for entity, _ in items], "n": pa.array([n for _, n in items], pa.int64())})
        done = self.store.append_frame(table.cast(FRAME), entity="e", scope="s", kind=KIND, batch_rows=batch_rows)
        sequences = [one for first, last in done.ranges for one in range(first, last + 1)]
        for (entity, number), sequence in zip(items, sequences, strict=True):
            self.events.append(Known(entity, 0, number, self._next_clock(entity, 0), sequence))

    @rule(items=st.lists(st.tuples(entities, lanes, numbers), min_size=1, max_size=4), keep=st.booleans())
    def fence(self, items: list[tuple[str, int, int]], keep: bool) -> None:
        fence = self.store.begin_fence()
        receipts = [fence.submit(entity, "s", KIND, {"n": number}, lane=lane) for entity, lane, number in items]
        fence.commit() if keep else fence.cancel()
        for item, receipt in zip(items, receipts, strict=True):
            self._add(*item, receipt, hidden=not keep)

    @rule(entity=entities, lane=lanes, offset=st.sampled_from([-1, 0, 1]))
    def append_expecting(self, entity: str, lane: int, offset: int) -> None:
        clock = self._next_clock(entity, lane) - 1
        try:
            receipt = self.store.append(entity, "s", KIND, {"n": 0}, lane=lane, expected_clock=clock + offset)
        except bp.ClockMismatchError:
            assert offset
        else:
            assert not offset
            self._add(entity, lane, 0, receipt)

    @rule(chosen=st.lists(st.integers(0, 40), max_size=12), strategy=st.sampled_from(STRATEGIES))
    def compact(self, chosen: list[int], strategy: Any) -> None:
        """Some events go, none of them a tombstone or the last of its lane, hidden or not: there the clocks go on."""
        last = {(one.entity, one.lane): one for one in self.events}
        picked = [self.events[at] for at in sorted(set(chosen)) if at < len(self.events)]
        going = {one.sequence for one in picked if last[one.entity, one.lane] is not one and not one.struck}
        ids = self._ids_of(going)
        rule = () if strategy == "merge" else (lambda event: event.event_id not in ids,)
        plan = self.store.plan_compaction(strategy, *rule, min_segments=1)
        if plan.outcome == "skipped":
            return
        report = self.store.compact(plan)
        assert report.outcome == "performed"
        if strategy == "merge":
            return
        sealed = {source.segment_id for source in plan.sources}
        gone = {one for one in going if self._places[one] in sealed}
        assert report.events_dropped + report.events_tombstoned == len(gone)
        if strategy == "retention":
            self.used |= {key: None for key, one in self.used.items() if one is not None and one.sequence in gone}
            self.events = [one for one in self.events if one.sequence not in gone]
        else:
            for one in self.events:
                one.struck |= one.sequence in gone

    def _ids_of(self, sequences: set[int]) -> set[bytes]:
        """The ids of events, hidden ones too; and where each stands."""
        ids, self._places = set(), {}
        for segment in build_view(self.path, "report", DescriptorCache(), {}).segments:
            for row, sequence in zip(segment.rows, segment.sequence.tolist(), strict=True):
                self._places[sequence] = segment.segment_id
                if sequence in sequences:
                    ids.add(row["event_id"].tobytes()[::-1])
        return ids

    @rule()
    def close_and_reopen(self) -> None:
        self.store.close()
        self._open()

    @rule()
    def drop_and_reopen(self) -> None:
        self.store.drop()
        self._open()

    @rule(seed=st.integers(0, 1 << 32))
    def power_cut_and_reopen(self, seed: int) -> None:
        """What was said to be on disk is left, and perhaps some of what followed: no gap, no half batch."""
        die(self.store)
        left = Path(tempfile.mkdtemp(prefix="batpak-machine-"))
        self.files.now.after_power_cut(random.Random(seed), left)
        shutil.rmtree(self.path)
        self.path = left
        self._open()
        view = build_view(self.path, "report", DescriptorCache(), {})
        count = sum(int((np.isin(segment.rows["kind"], [KIND, KIND_TOMBSTONE])).sum()) for segment in view.segments)
        assert self.durable <= count <= len(self.events)
        assert count == len(self.events) or not any(one.hidden for one in self.events[count:])
        del self.events[count:]
        lost = {id(one) for one in self.used.values()} - {id(one) for one in self.events} - {id(None)}
        self.used = {key: one for key, one in self.used.items() if id(one) not in lost}

    @rule(torn=st.binary(max_size=40))
    def crash_and_reopen(self, torn: bytes) -> None:
        """The process is gone: what it had written is there, and perhaps the beginning of another frame."""
        left = Path(tempfile.mkdtemp(prefix="batpak-machine-"))
        shutil.copytree(self.path, left, dirs_exist_ok=True)
        self.store.drop()
        shutil.rmtree(self.path)
        self.path = left
        last = max(left.glob("*.fbat"))
        with last.open("ab") as segment:
            segment.write(b"\x00\x00\x02\x00" + torn)
        self._open()

    @invariant()
    def store_holds_the_list(self) -> None:
        columns = ["entity", "lane", "clock", "global_sequence", "payload.n", "kind"]
        filters = [("kind", "in", [KIND, KIND_TOMBSTONE])]
        scan = bp.scan_batpak(self.path, columns=columns, filters=filters, system=True)
        rows = scan.to_arrow().to_pylist() if self.events else []
        found = [
            Known(
                row["entity"], row["lane"], row["payload.n"], row["clock"], row["global_sequence"],
                struck=row["kind"] == KIND_TOMBSTONE,
            )
            for row in rows
        ]  # fmt: skip
        assert found == [one for one in self.events if not one.hidden]
        sequences = [one.sequence for one in self.events]
        assert sequences == sorted(set(sequences))
        last = self.store.durable_sequence
        self.durable = sum(last is not None and one.sequence <= last for one in self.events)

    def teardown(self) -> None:
        self.store.close()
        findings = [one for one in bp.open_reader(self.path).check() if one.severity != "info"]
        shutil.rmtree(self.path)
        assert not findings


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
