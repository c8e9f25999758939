"""The power fails after any call: what was said to be durable is there, batches are whole, and the store goes on.

``BATPAK_CUTS=20000`` cuts more often, ``BATPAK_SEED`` elsewhere.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import batpak_analytics as bp
from batpak_analytics.engine.filesystem import DescriptorCache
from batpak_analytics.engine.view import build_view
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.store import Store
from tests.store.half_compactions import Compaction, steps
from tests.store.power import Power
from tests.store.test_half_compaction import shown, written

CUTS = int(os.environ.get("BATPAK_CUTS", "200"))
SEED = int(os.environ.get("BATPAK_SEED", "0"))
KIND = 0x1001
MAYBE, SHOWN, HIDDEN = "maybe", "shown", "hidden"


@dataclass
class Promises:
    """What a store has promised, and from which state of the disk on."""

    files: Power
    places: dict[bytes, int] = field(default_factory=dict)
    """The sequence that each appended event was given."""
    said: dict[bytes, list[tuple[int, str]]] = field(default_factory=dict)
    """From which state on an event is surely shown, surely hidden, or either."""
    batches: list[list[bytes]] = field(default_factory=list)

    def appended(self, *receipts: Any) -> None:
        """Hear of receipts."""
        self.places.update({one.event_id: one.global_sequence for one in receipts})

    def say(self, what: str, events: list[bytes]) -> None:
        """From the present state on."""
        for event in events:
            self.said.setdefault(event, []).append((len(self.files.states) - 1, what))

    def durable(self, last: int | None) -> None:
        """Every event up to this sequence is on disk; whether those of a fence are shown, its end says."""
        events = [one for one, sequence in self.places.items() if last is not None and sequence <= last]
        self.say(SHOWN, [event for event in events if event not in self.said])

    def at(self, state: int, event: bytes) -> str:
        """What holds for an event if the power fails in that state."""
        return next((what for since, what in reversed(self.said.get(event, [])) if since <= state), MAYBE)

    def check(self, path: Path, state: int) -> None:
        """A directory that a power cut in that state left: opened here, it keeps every promise, and so again."""
        with Store.open(path) as store:
            added = store.append("later", "s", KIND, 1)
        first = self._check(path, state)
        assert added.event_id in first
        with Store.open(path):
            pass
        assert dict(list(self._check(path, state).items())[: len(first)]) == first

    def _check(self, path: Path, state: int) -> dict[bytes, int]:
        rows = shown(path)
        found = dict(rows)
        assert len(found) == len(rows)
        assert len(set(found.values())) == len(rows), "a sequence stands for two events"
        for event, sequence in self.places.items():
            promised = self.at(state, event)
            if promised == SHOWN:
                assert found.get(event) == sequence, "a durable event is gone, or has another number"
            elif promised == HIDDEN:
                assert event not in found, "a hidden event is shown"
        for batch in self.batches:
            if len({self.at(state, event) for event in batch}) == 1:
                assert len({event in found for event in batch}) == 1, "a part of a batch"
        assert_clocks(path)
        assert not [one for one in bp.open_reader(path).check() if one.severity != "info"]
        return found


def assert_clocks(path: Path) -> None:
    """The clocks of every lane, hidden events included, are 0, 1, 2 and so on: no event is missing in the middle."""
    clocks: dict[tuple[str, int], list[int]] = {}
    for segment in build_view(path, "report", DescriptorCache(), {}).segments:
        for row in segment.rows:
            name = segment.strings[int(row["entity_idx"])], int(row["lane"])
            clocks.setdefault(name, []).append(int(row["clock"]))
    for name, found in clocks.items():
        assert sorted(found) == list(range(len(found))), name


class History:
    """A store to which things happen by chance, on a disk that is watched."""

    def __init__(self, path: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.path, self.files = path, Power(path)
        self.promises = Promises(self.files)
        self.config = StoreConfig(
            segment_max_bytes=self.chance.choice([1, 1_500, 9_000]), sync=self.chance.choice([1, 3, "batch"])
        )
        self.store = Store.open(path, config=self.config, files=self.files)

    def run(self, steps: int) -> Promises:
        """So many things, and a close."""
        actions: list[Callable[[], None]] = [
            self.append, self.append, self.append, self.append_batch, self.append_table, self.fence, self.store_sync,
            self.reopen, self.close_in_fence, self.crash,
        ]  # fmt: skip
        for _ in range(steps):
            self.chance.choice(actions)()
            self.promises.durable(self.store.durable_sequence)
        self.store.close()
        self.promises.durable(1 << 60)
        return self.promises

    def item(self) -> dict[str, Any]:
        chance = self.chance
        return {
            "entity": f"order:{chance.randrange(3)}", "scope": "s", "kind": KIND, "lane": chance.choice([0, 0, 2]),
            "payload": "x" * chance.choice([1, 700, 3_000]),
        }  # fmt: skip

    def append(self) -> None:
        key = self.chance.choice([None, self.chance.getrandbits(64) + 1])
        one = self.store.append(**self.item(), idempotency_key=key)
        self.promises.appended(one)

    def append_batch(self) -> None:
        receipts = self.store.append_batch([bp.BatchItem(**self.item()) for _ in range(self.chance.randrange(1, 5))])
        assert all(one.durable for one in receipts)
        self.promises.appended(*receipts)
        self.promises.batches.append([one.event_id for one in receipts])

    def append_table(self) -> None:
        """Whose batches are durable one by one: each is a promise as soon as it was told of."""
        size = self.chance.choice([1, 700, 3_000])
        table = pa.table({"e": [f"order:{self.chance.randrange(3)}" for _ in range(5)], "text": ["x" * size] * 5})
        told = []
        done = self.store.append_frame(
            table, entity="e", scope="s", kind=KIND, batch_rows=2,
            progress=lambda rows, _: told.append((rows, len(self.files.states) - 1)),
        )  # fmt: skip
        ids = done.event_ids.to_pylist()
        sequences = [one for first, last in done.ranges for one in range(first, last + 1)]
        self.promises.places.update(zip(ids, sequences, strict=True))
        for (rows, state), (first, last) in zip(told, done.ranges, strict=True):
            batch = ids[rows - (last - first + 1) : rows]
            self.promises.batches.append(batch)
            for event in batch:
                self.promises.said[event] = [(state, SHOWN)]

    def submit(self, fence: bp.Fence) -> list[bytes]:
        one = fence.submit(**self.item())
        more = fence.submit_batch([bp.BatchItem(**self.item()) for _ in range(2)])
        self.promises.appended(one, *more)
        events = [one.event_id, *(each.event_id for each in more)]
        self.promises.say(MAYBE, events)
        self.promises.batches.append(events[1:])
        return events

    def fence(self) -> None:
        fence = self.store.begin_fence()
        events = self.submit(fence)
        keep = self.chance.random() < 0.5
        (fence.commit if keep else fence.cancel)()
        self.promises.say(SHOWN if keep else HIDDEN, events)

    def store_sync(self) -> None:
        self.store.sync()

    def reopen(self) -> None:
        self.chance.choice([self.store.close, self.store.drop])()
        self.promises.durable(1 << 60)
        self.store = Store.open(self.path, config=self.config, files=self.files)

    def close_in_fence(self) -> None:
        events = self.submit(self.store.begin_fence())
        self.store.close()
        self.promises.say(HIDDEN, events)
        self.promises.durable(1 << 60)
        self.store = Store.open(self.path, config=self.config, files=self.files)

    def crash(self) -> None:
        """The process dies: what it wrote is there for every process, and not all of it on disk."""
        die(self.store)
        self.store = Store.open(self.path, config=self.config, files=self.files)


def die(store: Store) -> None:
    """Let go of the files as the death of the process does."""
    store._running().abandon()
    store._writer = None
    store._let_go()


def cuts(files: Power, chance: random.Random, count: int) -> list[int]:
    """States in which the power may fail, those in which that makes a difference before all."""
    open_ones = [number for number, state in enumerate(files.states) if not state.is_settled()]
    return [chance.choice(open_ones) for _ in range(count)]


@pytest.fixture(autouse=True)
def in_parts(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Every other history writes its batches and footers in parts."""
    if "seed" in request.fixturenames and request.getfixturevalue("seed") % 2:
        monkeypatch.setattr("batpak_analytics.store.files.WRITE_BYTES", 500)


@pytest.mark.parametrize("seed", range(SEED, SEED + 5))
def test_power_cut_after_any_call_keeps_every_promise(tmp_path: Path, seed: int) -> None:
    promises = History(tmp_path / "store", seed).run(14)
    chance = random.Random(seed)
    for number, state in enumerate(cuts(promises.files, chance, CUTS // 5)):
        path = promises.files.states[state].after_power_cut(chance, tmp_path / str(number))
        promises.check(path, state)
        shutil.rmtree(path)


@pytest.mark.parametrize("seed", range(SEED, SEED + 2))
def test_power_cut_during_the_repair_keeps_every_promise_too(tmp_path: Path, seed: int) -> None:
    promises = History(tmp_path / "store", seed + 100).run(10)
    chance = random.Random(seed)
    for number, state in enumerate(cuts(promises.files, chance, CUTS // 20)):
        path = promises.files.states[state].after_power_cut(chance, tmp_path / str(number))
        files = Power(path)
        die(Store.open(path, files=files))
        for again in cuts(files, chance, 2):
            left = files.states[again].after_power_cut(chance, tmp_path / f"{number}-left")
            promises.check(left, state)
            shutil.rmtree(left)


@pytest.mark.parametrize("strategy", ["merge", "retention"])
def test_power_cut_while_a_compaction_is_settled_loses_no_event(tmp_path: Path, strategy: str) -> None:
    path = written(tmp_path / "store")
    chance = random.Random(SEED)
    for number, step in enumerate(steps(Compaction(path, strategy))):
        if step == "done":
            break
        state = tmp_path / str(number)
        shutil.copytree(path, state)
        before = shown(state)
        files = Power(state)
        die(Store.open(state, files=files))
        for cut in cuts(files, chance, max(2, CUTS // 50)):
            left = files.states[cut].after_power_cut(chance, tmp_path / f"{number}-left")
            Store.open(left).close()
            assert shown(left)[: len(before)] == before, (step, files.states[cut].call)
            Store.open(left).close()
            assert shown(left)[: len(before)] == before
            shutil.rmtree(left)
