"""Two hundred thousand events, rotations and compactions, read all along: nothing raises, tears, repeats or is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

import batpak_analytics as bp
from batpak_analytics.engine import mapping
from tests.interop.compare import assert_store_equals
from tests.interop.following import INDEX_ONLY, Allowed, Follower, Receipts
from tests.interop.oracle import Oracle
from tests.interop.witness import follower, watch

SEGMENT_BYTES = 2_000_000


def test_two_hundred_thousand_events_and_two_compactions_are_followed_without_a_fault(
    oracle: Oracle, tmp_path: Path
) -> None:
    store, receipts = tmp_path / "store", tmp_path / "receipts"

    def followers() -> list[Follower]:
        return [follower(store, receipts), follower(store, receipts, columns=INDEX_ONLY)]

    options = {"events": 200_000, "segment_bytes": SEGMENT_BYTES, "compact_at": "80000,160000", "receipts": receipts}
    watched = watch(oracle, store, followers, **options)
    assert (watched.compactions, watched.witnesses) == (2, 4)
    assert watched.witnesses_expired == 0
    assert all(one.steps > 1 for one in watched.followers)
    with bp.open_reader(store) as reader:
        assert max(segment.segment_id for segment in reader.view.segments) > 30
    assert_store_equals(watched.followers[0].reader, oracle.dump(store))


@pytest.mark.parametrize("strategy", ["merge", "retention", "tombstone"])
def test_several_threads_follow_many_compactions(oracle: Oracle, tmp_path: Path, strategy: str) -> None:
    store, receipts = tmp_path / "store", tmp_path / "receipts"
    allowed = Allowed(strategy=strategy)

    def followers() -> list[Follower]:
        shared = bp.open_reader(store, on_damage="raise")
        return [
            follower(store, receipts, allowed=allowed),
            Follower(shared, Receipts(receipts), allowed),
            Follower(shared, Receipts(receipts), allowed, columns=INDEX_ONLY),
        ]

    options = {"events": 6_000, "segment_bytes": 150_000, "compact_at": every(1_000, 6_000), "receipts": receipts}
    watched = watch(oracle, store, followers, strategy=strategy, **options)
    assert watched.compactions == 5
    assert_store_equals(watched.followers[0].reader, oracle.dump(store))


def test_views_of_files_that_cannot_be_mapped_expire_before_the_first_batch_or_never(
    oracle: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "MAPPING", False)
    store, receipts = tmp_path / "store", tmp_path / "receipts"
    allowed = Allowed(expiry=True)

    def followers() -> list[Follower]:
        return [
            follower(store, receipts, allowed=allowed),
            follower(store, receipts, allowed=allowed, columns=INDEX_ONLY),
        ]

    options = {"events": 12_000, "segment_bytes": 150_000, "compact_at": every(2_400, 12_000), "receipts": receipts}
    watched = watch(oracle, store, followers, **options)
    assert watched.compactions == 4
    assert_store_equals(watched.followers[0].reader, oracle.dump(store))


def every(step: int, end: int) -> str:
    """The counts of events at which to compact, as `live` wants them."""
    return ",".join(str(at) for at in range(step, end, step))
