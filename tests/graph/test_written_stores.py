"""The views of stores by the history that they were written with: fences, batches, lanes, several runs."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

import batpak_analytics as bp
from tests.graph import brute_force
from tests.graph.brute_force import Row
from tests.graph.test_views import assert_views
from tests.interop.oracle import copy_store

ROUNDS = 12
NOBODY = bytes(range(16))


class History:
    """Writes a random store, and keeps who caused whom by sequence."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.ids: list[bytes] = []
        self.named: dict[int, str | None] = {}
        self.hidden: set[int] = set()

    def cause(self) -> bytes | None:
        return self.random.choice([None, NOBODY, *self.ids[-6:]])

    def submit(self, to: bp.Store | bp.Fence) -> int:
        cause, random = self.cause(), self.random
        write = to.append if isinstance(to, bp.Store) else to.submit
        group = random.choice([None, *self.ids[:3]])
        receipt = write(
            random.choice(["order:1", "order:2"]), "shop", 0x1001, {"n": len(self.ids)},
            causation_id=cause, correlation_id=group, lane=random.randrange(2),
        )  # fmt: skip
        return self.note(receipt, cause)

    def note(self, receipt: bp.Receipt, cause: bytes | None) -> int:
        self.ids.append(receipt.event_id)
        self.named[receipt.global_sequence] = cause.hex() if cause else None
        return receipt.global_sequence

    def batch(self, store: bp.Store) -> None:
        cause = self.cause()
        items = [bp.BatchItem("user:1", "shop", 0x1002, 1, causation_id=cause)]
        items += [bp.BatchItem("user:1", "desk", 0x1002, 2, causation_id=bp.PriorItem(at)) for at in (0, 0)]
        first, *others = store.append_batch(items)
        self.note(first, cause)
        for one in others:
            self.note(one, first.event_id)

    def fence(self, store: bp.Store) -> None:
        fence = store.begin_fence()
        written = [self.submit(fence) for _ in range(2)]
        if self.random.random() < 0.6:
            fence.cancel()
            self.hidden.update(written)
        else:
            fence.commit()

    def write(self, path: Path) -> None:
        for _ in range(2):
            with bp.Store.open(path, config=bp.StoreConfig(segment_max_bytes=4000)) as store:
                for _ in range(ROUNDS):
                    self.random.choice([self.submit, self.submit, self.batch, self.fence])(store)


def rows_of(path: Path) -> list[Row]:
    """The rows that a scan gives, which other tests hold against the engine."""
    columns = ["event_id", "correlation_id", "causation_id", "global_sequence", "kind", "entity", "scope", "timestamp"]
    rows = brute_force.plain(bp.scan_batpak(path, columns=columns, system=True).to_arrow())
    return [row | {"timestamp_us": row["timestamp"]} for row in rows]


@pytest.mark.parametrize("seed", range(8))
def test_views_of_a_written_store_leave_out_what_was_taken_back(seed: int, tmp_path: Path) -> None:
    history = History(seed)
    history.write(tmp_path / "store")
    rows = rows_of(tmp_path / "store")
    seen = {row["global_sequence"]: row["causation_id"] for row in rows}
    shown = {number: cause for number, cause in history.named.items() if number not in history.hidden}
    assert shown.items() <= seen.items() and not history.hidden & seen.keys()
    with bp.open_reader(tmp_path / "store") as reader:
        assert_views(reader, rows)


def test_a_copy_of_a_store_gives_the_same_tables(fixture_stores: Path, tmp_path: Path) -> None:
    copy = copy_store(fixture_stores / "segments", tmp_path / "copy")
    for read in (bp.read_causes, bp.read_causal_nodes, bp.read_correlations):
        assert read(copy).equals(read(fixture_stores / "segments"))
