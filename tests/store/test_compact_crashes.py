"""A compaction is stopped at every call to the disk, or the disk refuses it: the events are from before or after."""

from __future__ import annotations

import errno
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.errors import CompactionPlanError, WriteFailedError
from batpak_analytics.format.layout import MARKER_NAME
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.files import Files
from batpak_analytics.store.store import Store
from tests.store.compactions import (
    KIND,
    STRATEGIES,
    Refusing,
    Shown,
    after,
    assert_no_trace,
    assert_settles,
    copy_of,
    plan_of,
    shown,
    written,
)
from tests.store.power import Power
from tests.store.test_half_compaction import Dying

CUTS = int(os.environ.get("BATPAK_CUTS", "200"))
SEED = int(os.environ.get("BATPAK_SEED", "0"))
MOST_CALLS = 120
CASES = [
    *(("written", strategy) for strategy in STRATEGIES),
    ("retention", "merge"),  # numbers that only an index image knows
    ("hidden", "retention"),
    ("crash", "tombstone"),  # a source without a footer
]


def made(name: str, path: Path) -> Path:
    return written(path) if name == "written" else copy_of(name, path)


def frozen(path: Path, copy: Path) -> Path:
    """The directory as a process that died now leaves it."""
    shutil.copytree(path, copy, symlinks=True)
    return copy


@pytest.mark.parametrize(("name", "strategy"), CASES)
def test_death_before_any_call_leaves_before_or_after(tmp_path: Path, name: str, strategy: Any) -> None:
    made(name, tmp_path / "store")
    states = set()
    for at in range(1, MOST_CALLS):
        path, files = tmp_path / f"run-{at}", Dying(1_000_000)
        shutil.copytree(tmp_path / "store", path)
        store = Store.open(path, files=files)
        before, plan = shown(path), plan_of(path, strategy)
        kept = after(before, plan, path)
        files.left = at
        try:
            store.compact(plan)
        except Dying.Died:
            left = frozen(path, tmp_path / f"left-{at}")
            states.add(tuple(sorted(file.name.split("-")[0] for file in left.iterdir())))
            assert_settles(left, before, kept)
        else:
            break
    assert at < MOST_CALLS - 1 and len(states) >= 7
    files.left = 1_000_000
    store.close()
    assert shown(path)[: len(kept)] == kept


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_disk_that_refuses_any_call_leaves_before_or_after_and_a_store_to_go_on_with(
    tmp_path: Path, once: bool, code: int
) -> None:
    written(tmp_path / "store")
    met: dict[str, int] = {}
    for at in range(1, MOST_CALLS):
        path, files = tmp_path / f"run-{at}", Refusing(1_000_000, once=once, code=code)
        shutil.copytree(tmp_path / "store", path)
        store = Store.open(path, files=files)
        before, plan = shown(path), plan_of(path, "retention")
        kept = after(before, plan, path)
        files.left = at
        try:
            report = store.compact(plan)
        except WriteFailedError:  # the segment being written could not be synced: the one reason to stop
            assert {"sync", "write", "truncate"} & set(files.refused)
            files.left = 1_000_000
            store.drop()
            met["stopped"] = met.get("stopped", 0) + 1
            assert shown(path) == before
            assert_settles(path, before)
            continue
        files.left = 1_000_000
        met[report.outcome] = met.get(report.outcome, 0) + 1
        if not files.refused:
            break
        expected = before if report.outcome == "failed" else kept
        assert shown(path) == expected, (at, files.refused)
        if report.outcome == "failed":
            assert report.reason and report.reason.endswith("refused")
            assert report.evidence.body.findings and report.bytes_net == 0
        assert_goes_on(store, path, expected)
    assert at < MOST_CALLS - 1
    assert met["failed"] > 10 and met["performed"] > 3


def assert_goes_on(store: Store, path: Path, expected: Shown) -> None:
    """The same store appends, answers, compacts again, and closes; and so it is found."""
    for event, _, _ in expected:
        store.get(event)
    added = store.append("order:9", "shop", KIND, 1)
    assert shown(path)[: len(expected)] == expected
    try:
        again = store.compact(plan_of(path, "merge", min_segments=1))
    except CompactionPlanError:  # what the last one had left went first
        again = store.compact(plan_of(path, "merge", min_segments=1))
    assert again.outcome == "performed", (again, sorted(file.name for file in path.iterdir()))
    assert store.get(added.event_id).entity == "order:9"
    store.close()
    assert shown(path)[: len(expected)] == expected
    assert_settles(path, shown(path))


class Clinging(Files):
    """A disk that lets nothing go while it is `on`."""

    on = False

    def remove(self, path: Path) -> None:
        if self.on:
            raise OSError(errno.EIO, "refused")
        super().remove(path)


def test_what_could_not_be_cleared_away_goes_when_the_store_closes(tmp_path: Path) -> None:
    path, files = written(tmp_path / "store"), Clinging()
    with Store.open(path, files=files) as store:
        before, plan = shown(path), plan_of(path, "retention")
        kept = after(before, plan, path)
        files.on = True
        report = store.compact(plan)
        assert report.outcome == "performed" and "refused" in report.unfinished[0]
        assert (path / MARKER_NAME).is_symlink() and report.output is not None and report.output.exists()
        assert shown(path) == kept
        files.on = False
    assert_no_trace(path)
    assert shown(path)[: len(kept)] == kept


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_power_cut_at_any_call_leaves_before_or_after(tmp_path: Path, strategy: Any) -> None:
    path = written(tmp_path / "store")
    chance = random.Random(SEED)
    files = Power(path)
    store = Store.open(path, config=StoreConfig(segment_max_bytes=3_000), files=files)
    store.append("order:1", "shop", KIND, "last")
    store.sync()
    key = bp.IdempotencyKey.for_operation("test", ["not synced"])
    store.append("order:1", "shop", KIND, "keyed", idempotency_key=key)
    before, plan = shown(path), plan_of(path, strategy)
    kept = after(before, plan, path)
    first = len(files.states) - 1
    assert store.compact(plan).outcome == "performed"
    last = len(files.states)
    store.append("order:1", "shop", KIND, "later")
    store.close()
    for number in range(CUTS):
        state = files.states[first + number % (last - first)]
        left = state.after_power_cut(chance, tmp_path / f"cut-{number}")
        with Store.open(Path(shutil.copytree(left, tmp_path / "copy", symlinks=True))) as opened:
            retried = opened.append("order:1", "shop", KIND, "keyed", idempotency_key=key)
            assert not retried.replayed or opened.get(key).payload == "keyed", "a key is used, and its event is lost"
        shutil.rmtree(tmp_path / "copy")
        assert_settles(left, before, kept, before[:-1], kept[:-1])
        shutil.rmtree(left)
