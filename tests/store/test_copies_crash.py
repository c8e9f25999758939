"""A copy is there whole or not at all, whatever stops it; an import has whole chunks, and goes on when it is repeated.

``BATPAK_CUTS=20000`` cuts the power more often, ``BATPAK_SEED`` elsewhere.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.errors import CopyFailedError, CopyRefusedError, ImportStoppedError, WriteFailedError
from batpak_analytics.store.files import Files
from batpak_analytics.store.store import Store
from tests.store.copy_cases import COPIES, KIND, importing, written
from tests.store.failing import FailingCall, full, interrupt
from tests.store.test_half_compaction import Shown
from tests.store.tree_power import TreePower

CUTS = int(os.environ.get("BATPAK_CUTS", "200"))
SEED = int(os.environ.get("BATPAK_SEED", "0"))
NOTICED = ("new_directory", "write", "set_mode", "sync_directory", "rename")
FAILURES = (CopyFailedError, CopyRefusedError, WriteFailedError, ImportStoppedError, KeyboardInterrupt)


def users(path: Path) -> Shown:
    """(id, sequence) of every event but the store's own."""
    table = bp.scan_batpak(path, columns=["event_id", "global_sequence"]).to_arrow()
    return [(row["event_id"], row["global_sequence"]) for row in table.to_pylist()]


def assert_whole_or_absent(directory: Path, before: Shown, *, go_on: bool = True) -> bool:
    """The store shows what it showed, and the copy, if it is there, the same; both can be written (`go_on`)."""
    store, copy = directory / "store", directory / "copy"
    if copy.exists():
        assert not [one for one in bp.open_reader(copy).check() if one.severity != "info"]
    for path in (store, copy):
        assert users(path) == before if path.exists() else path is copy
        if path.exists() and go_on:
            with Store.open(path) as opened:
                assert opened.append("order:1", "shop", KIND, 0, idempotency_key=8).replayed
                opened.append("order:9", "shop", KIND, 0)
            assert users(path)[: len(before)] == before
            assert not [one for one in bp.open_reader(path).check() if one.severity != "info"]
    return copy.exists()


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("what", [full, interrupt], ids=["full", "interrupted"])
def test_a_failure_of_any_call_leaves_the_store_and_no_part_of_a_copy(tmp_path: Path, name: str, what: Any) -> None:
    origin, run = written(tmp_path / "origin"), COPIES[name]
    before = users(origin)
    calm = FailingCall()
    shutil.copytree(origin, tmp_path / "calm" / "store")
    run(tmp_path / "calm" / "store", tmp_path / "calm" / "copy", calm)
    assert calm.calls > 20
    for at in range(1, calm.calls + 1):
        directory = tmp_path / f"at-{at}"
        shutil.copytree(origin, directory / "store")
        files, failure = FailingCall(at, what), None
        try:
            run(directory / "store", directory / "copy", files)
        except FAILURES as error:
            failure = error
        call = calm.named[at - 1]
        if failure is None:  # what cannot be shared is copied
            assert call not in NOTICED, f"{call}, call {at}, was not noticed"
        left = {path.name for path in directory.iterdir()}
        assert left <= {"store", "copy"}, f"{call}, call {at}: {left}"
        there = assert_whole_or_absent(directory, before, go_on=at % 7 == 0)
        assert there or failure is not None
        shutil.rmtree(directory)


def test_what_cannot_be_cleaned_up_is_named_and_found_by_the_next_call(tmp_path: Path) -> None:
    """The disk fails and goes on failing."""
    store = written(tmp_path / "store")
    calm = FailingCall()
    COPIES["snapshot by a reader"](store, tmp_path / "calm", calm)
    at = calm.named.index("write") + 1
    with pytest.raises(CopyFailedError, match=r"copy\.batpak-partial.*rm -r"):
        COPIES["snapshot by a reader"](store, tmp_path / "copy", FailingCall(at, sticky=True))
    with pytest.raises(CopyRefusedError, match=r"copy\.batpak-partial exists.*rm -r"):
        COPIES["snapshot by a reader"](store, tmp_path / "copy", Files())
    assert not (tmp_path / "copy").exists()
    shutil.rmtree(tmp_path / "copy.batpak-partial")
    COPIES["snapshot by a reader"](store, tmp_path / "copy", Files())
    assert users(tmp_path / "copy") == users(store)


@pytest.mark.parametrize("name", COPIES)
def test_power_cut_after_any_call_leaves_a_whole_copy_or_none(tmp_path: Path, name: str) -> None:
    root, chance = tmp_path / "disk", random.Random(SEED)
    root.mkdir()
    before = users(written(root / "store"))
    files = TreePower(root)
    COPIES[name](root / "store", root / "copy", files)
    copies = 0
    for number in range(max(CUTS // 4, len(files.states))):
        state = files.states[number] if number < len(files.states) else chance.choice(files.states)
        left = state.after_power_cut(chance, tmp_path / str(number))
        copies += assert_whole_or_absent(left, before, go_on=number % 3 == 0)
        shutil.rmtree(left)
    assert copies
    assert not files.now.differs() or "store" in name  # a store goes on to its own end


def test_power_cut_after_the_copy_was_reported_leaves_it(tmp_path: Path) -> None:
    for number, name in enumerate(["snapshot by a reader", "fork by a reader"]):
        root, chance = tmp_path / name, random.Random(SEED)
        root.mkdir()
        before = users(written(root / "store"))
        files = TreePower(root)
        COPIES[name](root / "store", root / "copy", files)
        for cut in range(5):
            left = files.now.after_power_cut(chance, tmp_path / f"{number}-{cut}")
            assert assert_whole_or_absent(left, before)


@pytest.mark.parametrize("what", [full, interrupt], ids=["full", "interrupted"])
def test_import_stopped_by_any_call_has_whole_chunks_and_goes_on(tmp_path: Path, what: Any) -> None:
    source = written(tmp_path / "source")
    with Store.open(tmp_path / "origin") as store:
        store.append("order:1", "shop", KIND, "mine")
    calm = FailingCall()
    shutil.copytree(tmp_path / "origin", tmp_path / "calm")
    importing(source, tmp_path / "calm", calm)
    whole = [event for event, _ in users(tmp_path / "calm")]
    assert len(whole) > 8
    chunks_seen = set()
    for at in range(1, calm.calls + 1):
        path = tmp_path / f"at-{at}"
        shutil.copytree(tmp_path / "origin", path)
        with pytest.raises(FAILURES):
            importing(source, path, FailingCall(at, what))
        chunks_seen.add(assert_prefix_of_chunks(path, whole))
        importing(source, path, Files())
        assert [event for event, _ in users(path)] == whole
        shutil.rmtree(path)
    assert len(chunks_seen) > 3


def assert_prefix_of_chunks(path: Path, whole: list[bytes]) -> int:
    """The first event was there; then come whole chunks of three, in order. How many events there are."""
    found = [event for event, _ in users(path)]
    assert found == whole[: len(found)]
    assert (len(found) - 1) % 3 == 0 or len(found) == len(whole)
    return len(found)


def test_power_cut_in_an_import_leaves_whole_chunks(tmp_path: Path) -> None:
    root, chance = tmp_path / "disk", random.Random(SEED)
    source = written(tmp_path / "source")
    root.mkdir()
    with Store.open(root / "store") as store:
        store.append("order:1", "shop", KIND, "mine")
    files = TreePower(root)
    importing(source, root / "store", files)
    whole = [event for event, _ in users(root / "store")]
    for number in range(max(CUTS // 4, len(files.states))):
        state = files.states[number] if number < len(files.states) else chance.choice(files.states)
        left = state.after_power_cut(chance, tmp_path / str(number))
        with Store.open(left / "store"):
            pass
        assert_prefix_of_chunks(left / "store", whole)
        importing(source, left / "store", Files())
        assert [event for event, _ in users(left / "store")] == whole
        shutil.rmtree(left)
