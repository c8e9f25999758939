"""The reference is killed between BEGIN and COMMIT of a batch, and goes on: it loses events, and no reader here does.

It takes the first events of its next session for items of the batch, does not show them in any session after that, and
gives their sequence numbers again. Which ones is worked out from the frames alone, in `swallowed.py`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

import batpak_analytics as bp
from batpak_analytics.errors import CorruptFrameError
from batpak_analytics.format.layout import MMAP_INDEX_NAME
from batpak_analytics.store.store import Store
from tests.interop.compare import assert_store_equals, read_store
from tests.interop.following import RECEIPT
from tests.interop.oracle import Oracle, OracleFailed, OracleRefused, copy_store
from tests.interop.swallowed import swallowed_events, torn_at
from tests.interop.test_live_crashes import drop_half_a_receipt
from tests.store.test_half_compaction import Dying

BATCH, FOOTER, HEADER = "_batch", "SDX3", "FBAT"
STORES = int(os.environ.get("BATPAK_KILLED_STORES", "12"))


@dataclass
class Killed:
    """A store whose writers were killed, and the ids that readers have shown so far."""

    oracle: Oracle
    preload: Path
    path: Path
    shown: list[str] = field(default_factory=list)

    def live_until(self, text: str, calls: int, *, seed: int, segment_bytes: int = 60_000, cuts: bool = False) -> bool:
        """A session that dies before the `calls`-th change of a file, from the write of `text` on, or in the middle.

        False when the engine refuses to open the store.
        """
        environment = {**os.environ, "LD_PRELOAD": str(self.preload), "BATPAK_KILL_AT": str(calls)}
        environment["BATPAK_KILL_FROM"] = text
        if cuts:
            environment["BATPAK_KILL_CUTS"] = "1"
        command = [str(self.oracle.binary), "live", str(self.path), "--events", "5000", "--seed", str(seed)]
        command += ["--segment-bytes", str(segment_bytes), "--receipts", str(self._receipts)]
        ran = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
        if self._receipts.exists():
            drop_half_a_receipt(self._receipts)
        return ran.returncode == -signal.SIGKILL

    @property
    def _receipts(self) -> Path:
        return self.path.with_suffix(".receipts")

    def acknowledged(self) -> set[str]:
        """The ids of all events that the engine has acknowledged."""
        if not self._receipts.exists():
            return set()
        return {one.tobytes().hex() for one in np.fromfile(self._receipts, RECEIPT)["id"]}

    def look(self) -> None:
        """All that was acknowledged is shown, once, where it stands in the files and behind what was shown before."""
        rows = read_store(self.path)
        ids = [row["event_id"] for row in rows]
        assert len(set(ids)) == len(ids)
        assert self.acknowledged() <= set(ids)
        assert ids[: len(self.shown)] == self.shown
        places = [(row["segment_id"], row["offset"]) for row in rows]
        assert places == sorted(places)
        assert bool((np.diff([row["global_sequence"] for row in rows]) > 0).all())
        self.shown = ids

    def compare(self, swallowed: frozenset[str] | None = None) -> frozenset[str]:
        """The engine shows the same but for the events that it swallows; which ones, and the findings tell of them.

        Without an image the frames say which; with one, those that it swallowed when it opened the store last.
        """
        if swallowed is None:
            swallowed = swallowed_events(self.path)
        rows = self.oracle.dump(self.path)
        with bp.open_reader(self.path, on_damage="raise") as reader:
            assert_store_equals(reader, rows, swallowed)
        assert events_told_of(self.path) == len(swallowed)
        return swallowed


def events_told_of(path: Path) -> int:
    """How many events the findings call swallowed."""
    with bp.open_reader(path) as reader:
        told = [one.meaning for one in reader.view.findings if one.rule == "events-swallowed"]
    return sum(int(meaning.removeprefix("0.9.0 takes ").split()[0]) for meaning in told)


@pytest.fixture
def killed(oracle: Oracle, preload: Path, tmp_path: Path) -> Killed:
    return Killed(oracle, preload, tmp_path / "store")


@pytest.mark.parametrize("written", range(1, 10))
def test_events_behind_an_unfinished_batch_are_shown_and_brought_back(killed: Killed, written: int) -> None:
    """BEGIN and so many frames of a batch of seven were written, its COMMIT being the last: then nothing is lost."""
    assert killed.live_until(BATCH, 1 + written, seed=1000)
    killed.look()
    assert killed.compare() == frozenset()
    # The session after it is killed behind a footer, those after that before one, behind one, and in a batch again.
    for seed, text, calls in ((1001, FOOTER, 2), (1002, FOOTER, 1), (1003, FOOTER, 2), (1004, BATCH, 4)):
        assert killed.live_until(text, calls, seed=seed)
        killed.look()
        assert len(killed.compare()) == max(9 - written, 0)
    swallowed = killed.compare()
    killed.oracle.append(killed.path, seed=1, events=10)  # closes the store, and from then on an image hides them
    assert (killed.path / MMAP_INDEX_NAME).exists()
    killed.look()
    killed.compare(swallowed)
    with Store.open(killed.path) as store:
        store.append("order:1", "shop", 0x1003, 1)
    killed.look()
    assert killed.compare() == frozenset()
    killed.oracle.append(killed.path, seed=2, events=10)
    killed.look()
    assert killed.compare() == frozenset()


def test_a_merge_by_the_engine_keeps_what_it_swallows(killed: Killed) -> None:
    """It copies frames, and goes on to swallow the same; the merged segment holds batch and events."""
    for seed, text, calls in ((1000, BATCH, 5), (1001, FOOTER, 2), (1002, FOOTER, 2)):
        assert killed.live_until(text, calls, seed=seed)
    killed.look()
    swallowed = killed.compare()
    killed.oracle.compact(killed.path, "merge")
    killed.look()
    assert killed.compare(swallowed) != frozenset()
    Store.open(killed.path).close()
    killed.look()
    assert killed.compare() == frozenset()


@pytest.mark.parametrize("image", [False, True])
def test_bringing_them_back_may_be_cut_short_anywhere(killed: Killed, tmp_path: Path, image: bool) -> None:
    for seed, text, calls in (
        (1000, BATCH, 5),
        (1001, FOOTER, 2),
        (1002, FOOTER, 2),
        (1003, BATCH, 4),
        (1004, FOOTER, 2),
    ):
        assert killed.live_until(text, calls, seed=seed)
    if image:
        killed.oracle.append(killed.path, seed=1, events=10)
    killed.look()
    for at in range(1, 1000, 2):
        copy = replace(killed, path=copy_store(killed.path, tmp_path / f"{at}.copy"))
        try:
            Store.open(copy.path, files=Dying(at)).close()
        except Dying.Died:
            copy.look()
            Store.open(copy.path).close()
            copy.look()
            assert copy.compare() == frozenset()
        else:
            break
    assert 10 < at < 999


def test_events_before_and_behind_a_cut_write_are_shown_and_the_cut_is_mended(killed: Killed) -> None:
    """The engine tolerates half a frame until a segment stands behind it, and then refuses the store."""
    assert killed.live_until(HEADER, 30, seed=1000, cuts=True)
    killed.look()
    assert killed.compare() == frozenset()
    cut = torn_at(killed.path / "000001.fbat")
    assert cut is not None
    assert killed.live_until(FOOTER, 2, seed=2)
    killed.look()
    with pytest.raises(OracleRefused):
        killed.oracle.dump(killed.path)
    with bp.open_reader(killed.path) as reader:
        troubles = [one for one in reader.view.findings if one.severity != "info"]
    assert [(one.rule, one.segment, one.offset) for one in troubles] == [("unfinished-tail", 1, cut)]
    with pytest.raises(CorruptFrameError):
        bp.open_reader(killed.path, on_damage="raise")
    with Store.open(killed.path) as store:
        assert "000001.fbat" in [one.file for one in store.open_report.repairs]
        store.append("order:1", "shop", 0x1003, 1)
    killed.look()
    assert killed.compare() == frozenset()
    killed.oracle.append(killed.path, seed=3, events=10)
    killed.look()
    assert killed.compare() == frozenset()


def test_stores_killed_anywhere_again_and_again(oracle: Oracle, preload: Path, tmp_path: Path) -> None:
    """``BATPAK_KILLED_STORES=200`` makes more of them."""
    met = 0
    for seed in range(STORES):
        chance = random.Random(seed)
        killed = Killed(oracle, preload, tmp_path / str(seed))
        met += kill_again_and_again(killed, chance)
        with Store.open(killed.path) as store:
            store.append("order:1", "shop", 0x1003, 1)
        killed.look()
        assert killed.compare() == frozenset()
        oracle.append(killed.path, seed=1, events=10)
        killed.look()
        assert killed.compare() == frozenset()
    assert met > 0, "no writer was killed in a batch"


def kill_again_and_again(killed: Killed, chance: random.Random) -> int:
    """Sessions that die at a drawn moment; in how many comparisons the engine had lost events."""
    met = 0
    for _ in range(chance.randrange(2, 8)):
        text, calls = chance.choice([(BATCH, (2, 14)), (FOOTER, (1, 60)), (HEADER, (4, 20)), (HEADER, (20, 400))])
        size, cuts, seed = chance.choice([3_000, 9_000, 60_000]), chance.random() < 0.1, chance.randrange(10**6)
        if not killed.live_until(text, chance.randrange(*calls), seed=seed, segment_bytes=size, cuts=cuts):
            break  # the engine refuses, as after half a header, frame or footer
        killed.look()
        try:
            met += bool(killed.compare())
        except OracleFailed:
            break
    return met
