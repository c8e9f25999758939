"""The reference is stopped in the middle of a frame and goes on: it refuses its store then, until it was opened here.

While an index image hides the cut segment from it, it does not notice, and may be stopped so again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import batpak_analytics as bp
from batpak_analytics.format.layout import CHECKPOINT_NAME, MMAP_INDEX_NAME
from batpak_analytics.store.store import Store
from tests.interop.compare import assert_store_equals, read_store
from tests.interop.oracle import Oracle, OracleRefused, copy_store
from tests.interop.swallowed import read

IMAGES = (MMAP_INDEX_NAME, CHECKPOINT_NAME)


def stopped_in_a_frame(oracle: Oracle, path: Path, seed: int) -> None:
    """A session of which the last segment is cut somewhere, more than 8 bytes behind the beginning of a frame."""
    oracle.append(path, seed=seed, events=12, segment_bytes=9_000, fences=0, end="drop")
    last = max(path.glob("*.fbat"))
    data = last.read_bytes()
    chance = random.Random(seed)
    starts = list(_frames(data))
    start, end = chance.choice(starts[1:])  # behind the opening event
    last.write_bytes(data[: chance.randrange(start + 8, end)])


def _frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Where each frame of a segment with a footer begins and ends."""
    at, end = 8 + int.from_bytes(data[4:8], "big"), int.from_bytes(data[-16:-8], "little")
    while at < end:
        size = 8 + int.from_bytes(data[at : at + 4], "big")
        yield at, at + size
        at += size


def is_cut(path: Path) -> bool:
    """Whether a segment that is not the last ends in a part of a frame."""
    return any(read(one).torn_at is not None for one in sorted(path.glob("*.fbat"))[:-1])


def assert_mended(oracle: Oracle, path: Path, before: list[str]) -> None:
    """Opened here, the store is the same for both, and goes on in both."""
    cut = [one.name for one in sorted(path.glob("*.fbat"))[:-1] if read(one).torn_at is not None]
    with Store.open(path) as store:
        assert set(cut) <= {one.file for one in store.open_report.repairs}
        added = store.append("order:1", "shop", 0x1003, {"later": True})
    assert ids(path)[: len(before)] == before
    assert added.event_id.hex() in ids(path)
    assert_store_equals(path, oracle.dump(path))
    oracle.append(path, seed=99, events=10, end="drop")
    assert_store_equals(path, oracle.dump(path))
    with Store.open(path) as store:
        assert store.open_report.repairs == ()
    assert ids(path)[: len(before)] == before
    assert_store_equals(path, oracle.dump(path))


def ids(path: Path) -> list[str]:
    return [row["event_id"] for row in read_store(path)]


@pytest.mark.parametrize("end", ["drop", "close"])
@pytest.mark.parametrize("seed", range(6))
def test_store_cut_in_a_frame_and_continued_is_mended_for_both(
    oracle: Oracle, tmp_path: Path, seed: int, end: str
) -> None:
    path = tmp_path / "store"
    oracle.append(path, seed=seed, events=10)
    stopped_in_a_frame(oracle, path, 100 + seed)
    # What the reference itself shows while the cut segment is the last: it goes on from there.
    known = [row["event_id"] for row in oracle.dump(path)]
    assert ids(path) == known
    oracle.append(path, seed=200 + seed, events=10, end=end)
    assert is_cut(path)
    if end == "close":
        assert_store_equals(path, oracle.dump(path))  # its image hides the cut
        for name in IMAGES:
            (path / name).unlink(missing_ok=True)
    else:
        for name in IMAGES:
            (path / name).unlink(missing_ok=True)
    with pytest.raises(OracleRefused):
        oracle.dump(path)
    before = ids(path)
    assert before[: len(known)] == known
    with bp.open_reader(path) as reader:
        told = [one.rule for one in reader.view.findings if one.severity != "info"]
    assert told == ["unfinished-tail"]
    assert_mended(oracle, path, before)


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_cuts_that_images_hid_are_all_mended(oracle: Oracle, tmp_path: Path, seed: int, lost: bool) -> None:
    path = tmp_path / "store"
    for life in range(3):
        oracle.append(path, seed=10 * seed + life, events=10)
        stopped_in_a_frame(oracle, path, 100 + 10 * seed + life)
    oracle.append(path, seed=90 + seed, events=10)
    before = ids(path)
    assert before == [row["event_id"] for row in oracle.dump(path)]
    if lost:
        for name in IMAGES:
            (path / name).unlink(missing_ok=True)
        with pytest.raises(OracleRefused):
            oracle.dump(path)
    assert_mended(oracle, path, before)


def test_its_compaction_fails_until_the_cut_is_mended(oracle: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "store"
    oracle.append(path, seed=1, events=10)
    stopped_in_a_frame(oracle, path, 2)
    oracle.append(path, seed=3, events=10)
    failed = copy_store(path, tmp_path / "failed")
    assert "Failed" in str(oracle.compact(failed, "merge")["outcome"])
    before = ids(path)
    Store.open(path).close()
    assert "Failed" not in str(oracle.compact(path, "merge")["outcome"])
    assert [one for one in ids(path) if one in before] == before
