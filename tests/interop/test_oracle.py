"""The reference program itself: its dump is the fixture format, and it refuses aloud."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.oracle import Oracle, OracleRefused, copy_store

COMMITTED = Path(__file__).resolve().parents[1] / "fixtures"


@pytest.mark.parametrize("name", ["segments", "crash", "encrypted", "encrypted-event", "retention", "payloads"])
def test_dump_is_what_was_committed(oracle: Oracle, name: str) -> None:
    assert oracle.dump_text(COMMITTED / name) == (COMMITTED / f"{name}.jsonl").read_text(encoding="utf-8")


def test_every_profile_can_be_written(oracle: Oracle, tmp_path: Path) -> None:
    for name in oracle.profiles():
        oracle.write(name, tmp_path / name, seed=3, events=40)
        assert oracle.dump(tmp_path / name), name


def test_engine_that_does_not_open_is_an_error_with_its_reason(oracle: Oracle, tmp_path: Path) -> None:
    store = copy_store(COMMITTED / "hidden", tmp_path / "store")
    (store / "visibility_ranges.fbv").write_bytes(b"no ranges")
    with pytest.raises(OracleRefused, match="HiddenRangesCorrupt"):
        oracle.dump(store)


def test_bench_counts_what_it_timed(oracle: Oracle, tmp_path: Path) -> None:
    report = oracle.bench(copy_store(COMMITTED / "quickstart", tmp_path / "store"))
    assert report["events"] == report["readable"] == 6
    assert min(report["open_seconds"], report["query_seconds"], report["get_seconds"]) > 0


@pytest.mark.parametrize("batch", [0, 100])
def test_bulk_writes_what_was_asked_for_and_the_same_from_the_same_seed(
    oracle: Oracle, tmp_path: Path, batch: int
) -> None:
    payloads = []
    for name in ("one", "two"):
        oracle.bulk(tmp_path / name, events=1_050, segment_bytes=100_000, payload_bytes=80, seed=5, batch=batch)
        rows = oracle.dump(tmp_path / name)
        payloads.append([row["payload_raw"] for row in rows if row["entity"].startswith("order:")])
    assert len(payloads[0]) == 1_050
    assert payloads[0] == payloads[1]
    assert 70 < sum(map(len, payloads[0])) / 2 / 1_050 < 90
