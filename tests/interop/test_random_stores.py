"""Stores of seeded random workloads read as the engine reads them.

``BATPAK_SEEDS=5000`` tries more; ``BATPAK_FIRST_SEED`` moves on to others. A failure names its seed: write that store
again with ``batpak-oracle write random DIR --seed N`` (its ids differ each time, its history does not).
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import batpak_analytics as bp
from tests.interop.compare import assert_store_equals
from tests.interop.divergence import explain_differences
from tests.interop.oracle import Oracle, OracleRefused, RandomStore, copy_store
from tests.interop.rows import Row

FIRST = int(os.environ.get("BATPAK_FIRST_SEED", "0"))
SEEDS = int(os.environ.get("BATPAK_SEEDS", "200"))
PER_BATCH = 50
# The engine misnumbers few stores. If that share grows, it is this reader that changed.
DIVERGING_SHARE = 0.1
# Magic, length and header of a segment file fit into so many bytes.
SEGMENT_HEAD = 60
MOVES_NUMBERS = ("merge", "retention", "tombstone", "failed_batch")
CANCELLED_SCOPE = "shop:cancelled"


def batches() -> list[range]:
    """The seeds, some at a time."""
    stop = FIRST + SEEDS
    return [range(first, min(first + PER_BATCH, stop)) for first in range(FIRST, stop, PER_BATCH)]


@dataclass
class Written:
    """One batch of random stores."""

    directory: Path
    stores: list[RandomStore]


@pytest.fixture(scope="module", params=batches(), ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def written(
    request: pytest.FixtureRequest, oracle: Oracle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Written]:
    directory = tmp_path_factory.mktemp("random")
    yield Written(directory, oracle.write_many(request.param, directory))
    shutil.rmtree(directory)


def check(path: Path, rows: list[Row]) -> Counter[str]:
    """Exact equality, or the known causes of what differs."""
    try:
        assert_store_equals(path, rows)
    except AssertionError:
        return explain_differences(path, rows)
    return Counter()


def test_random_stores_read_as_the_engine_reads_them(written: Written) -> None:
    compared = [store for store in written.stores if store.refusal is None]
    diverging = {store.seed: dict(causes) for store in compared if (causes := check(store.path, store.rows()))}
    assert len(diverging) <= max(2, DIVERGING_SHARE * len(compared)), diverging


def test_store_that_the_engine_refuses_is_still_read(written: Written) -> None:
    for store in written.stores:
        if store.refusal is not None:
            assert bp.scan_batpak(store.path, columns="all", system=True).to_arrow().num_rows > 0, store


def test_cancelled_events_are_never_shown(written: Written) -> None:
    """Unless numbers moved under the hidden ranges: by a compaction, or by a failed batch whose gap a crash lost."""
    for store in written.stores:
        shown = cancelled_events_shown(store)
        if not any(store.did(what) for what in MOVES_NUMBERS):
            assert not shown, f"seed {store.seed}: {shown}"
        if store.refusal is None:
            by_engine = {row["event_id"] for row in store.rows() if row["scope"] == CANCELLED_SCOPE}
            assert shown <= by_engine, f"seed {store.seed}: the engine hides {shown - by_engine}"


def cancelled_events_shown(store: RandomStore) -> set[str]:
    table = bp.scan_batpak(store.path, columns=["event_id"], scope=CANCELLED_SCOPE).to_arrow()
    return {event.hex() for event in table.column("event_id").to_pylist()}


def test_torn_tail_is_cut_where_the_engine_cuts_it(written: Written, oracle: Oracle) -> None:
    crashed = [store for store in written.stores if store.last_end == "Crash"]
    for store in crashed:
        torn = tear(store)
        try:
            rows = oracle.dump(torn)
        except OracleRefused:
            continue
        check(torn, rows)


def tear(store: RandomStore) -> Path:
    """A copy whose last segment lacks its last bytes."""
    copy = copy_store(store.path, store.path.with_suffix(".torn"))
    tail = max(copy.glob("*.fbat"))
    data = tail.read_bytes()
    cut = 1 + store.seed * 7919 % min(700, len(data) - SEGMENT_HEAD)
    tail.write_bytes(data[:-cut])
    return copy
