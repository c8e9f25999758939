"""Any history of appends, batches, retries, crashes and reopens agrees with a plain list."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import batpak_analytics as bp

KIND = 0x1001
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


class StoreMachine(RuleBasedStateMachine):
    """The store under test, beside a list of what was appended to it."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp(prefix="batpak-machine-"))
        self.events: list[Known] = []
        self.used: dict[int, int] = {}
        self.store: bp.Store

    @initialize(bytes_=st.sampled_from([1, 2_000, 1 << 20]), sync=st.sampled_from([1, 3, "always", "batch"]))
    def begin(self, bytes_: int, sync: int | str) -> None:
        self.config = bp.StoreConfig(segment_max_bytes=bytes_, sync=sync)  # type: ignore[arg-type]
        self.store = bp.Store.open(self.path, config=self.config)

    def _next_clock(self, entity: str, lane: int) -> int:
        return sum((one.entity, one.lane) == (entity, lane) for one in self.events)

    def _add(self, entity: str, lane: int, number: int) -> None:
        self.events.append(Known(entity, lane, number, self._next_clock(entity, lane)))

    @rule(entity=entities, lane=lanes, number=numbers, key=keys)
    def append(self, entity: str, lane: int, number: int, key: int | None) -> None:
        receipt = self.store.append(entity, "s", KIND, {"n": number}, lane=lane, idempotency_key=key)
        if key in self.used:
            assert receipt.replayed
            assert receipt.clock == self.events[self.used[key]].clock
            return
        assert not receipt.replayed
        assert receipt.clock == self._next_clock(entity, lane)
        if key is not None:
            self.used[key] = len(self.events)
        self._add(entity, lane, number)

    @rule(items=st.lists(st.tuples(entities, lanes, numbers), max_size=5))
    def append_batch(self, items: list[tuple[str, int, int]]) -> None:
        receipts = self.store.append_batch(
            [bp.BatchItem(entity, "s", KIND, {"n": number}, lane=lane) for entity, lane, number in items]
        )
        assert all(one.durable for one in receipts)
        for item in items:
            self._add(*item)

    @rule(entity=entities, lane=lanes, offset=st.sampled_from([-1, 0, 1]))
    def append_expecting(self, entity: str, lane: int, offset: int) -> None:
        clock = self._next_clock(entity, lane) - 1
        try:
            self.store.append(entity, "s", KIND, {"n": 0}, lane=lane, expected_clock=clock + offset)
        except bp.ClockMismatchError:
            assert offset
        else:
            assert not offset
            self._add(entity, lane, 0)

    @rule()
    def close_and_reopen(self) -> None:
        self.store.close()
        self.store = bp.Store.open(self.path, config=self.config)

    @rule()
    def drop_and_reopen(self) -> None:
        self.store.drop()
        self.store = bp.Store.open(self.path, config=self.config)

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
        self.store = bp.Store.open(self.path, config=self.config)

    @invariant()
    def store_holds_the_list(self) -> None:
        columns = ["entity", "lane", "clock", "global_sequence", "payload.n"]
        rows = bp.scan_batpak(self.path, columns=columns).to_arrow().to_pylist() if self.events else []
        found = [Known(row["entity"], row["lane"], row["payload.n"], row["clock"]) for row in rows]
        assert found == self.events
        sequences = [row["global_sequence"] for row in rows]
        assert sequences == sorted(set(sequences))

    def teardown(self) -> None:
        self.store.close()
        findings = [one for one in bp.open_reader(self.path).check() if one.severity != "info"]
        shutil.rmtree(self.path)
        assert not findings


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
