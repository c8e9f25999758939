"""What others do to a directory while a store is open, or before: no event is replaced, and errors say what it is."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.errors import (
    NotAStoreError,
    StoreLockedError,
    StoreNeedsRepairError,
    StorePermissionError,
    WriteFailedError,
)
from batpak_analytics.format import layout
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.files import Files, replace_file
from batpak_analytics.store.store import Store
from tests.engine.building import Segment, make_event
from tests.store.test_half_compaction import shown
from tests.store.test_repair import crashed

KIND = 0x1001
LOCK = layout.LOCK_NAME


def test_segment_that_appears_is_not_replaced(tmp_path: Path) -> None:
    """Its lock file was removed, so another writer could begin; so does 0.9.0 in that case."""
    config = StoreConfig(segment_max_bytes=2_000)
    first = Store.open(tmp_path, config=config)
    kept = first.append("e", "s", KIND, 1)
    (tmp_path / LOCK).unlink()
    with Store.open(tmp_path, config=config) as second:
        theirs = [second.append("other", "s", KIND, number) for number in range(3)]
    with pytest.raises(WriteFailedError, match=r"000002\.fbat appeared"):
        for number in range(20):
            first.append("e", "s", KIND, number)
    first.drop()
    found = [event for event, _ in shown(tmp_path)]
    assert {kept.event_id, *(one.event_id for one in theirs)} <= set(found)


def test_lock_is_taken_on_the_file_that_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening the file and locking it, somebody removes it and another writer locks the one that follows."""
    real = fcntl.flock
    held: list[int] = []

    def flock(descriptor: int, how: int) -> None:
        if not held:
            (tmp_path / LOCK).unlink()
            held.append(os.open(tmp_path / LOCK, os.O_RDWR | os.O_CREAT))
            real(held[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreLockedError, match="another batpak writer"):
        Store.open(tmp_path)
    os.close(held[0])
    Store.open(tmp_path).close()


def test_lock_file_that_was_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes(b"")
    with Store.open(tmp_path) as store:
        store.append("e", "s", KIND, 1)


def test_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(_descriptor: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreLockedError, match="No locks available"):
        Store.open(tmp_path)
    assert not list(tmp_path.glob("*.fbat"))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_directory_that_may_not_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    Store.open(tmp_path).close()
    real = os.open

    def refusing(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if os.fspath(path).endswith(LOCK):
            raise OSError(code, os.strerror(code))
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(StorePermissionError, match="open_reader"):
        Store.open(tmp_path)
    with bp.open_reader(tmp_path) as reader:
        assert reader.view.event_count == 2


def test_links_to_one_directory_are_one_store(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    with Store.open(link) as store:
        store.append("e", "s", KIND, 1)
        with pytest.raises(StoreLockedError):
            Store.open(real)
    with Store.open(real) as store:
        assert store.append("e", "s", KIND, 2).clock == 1


def test_what_is_no_directory_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(NotAStoreError, match="is a file, or a link to nothing"):
            Store.open(tmp_path / name)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_repaired_segment_may_be_read_by_the_same_users(tmp_path: Path, mode: int) -> None:
    frames, _ = crashed(tmp_path)
    path = tmp_path / "000001.fbat"
    path.write_bytes(frames[:-20])
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, 12_345, 54_321)
    Store.open(tmp_path).close()
    now = path.stat()
    assert stat.S_IMODE(now.st_mode) == mode
    if os.geteuid() == 0:
        assert (now.st_uid, now.st_gid) == (12_345, 54_321)


def test_file_system_without_modes_takes_a_new_file_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chmod(_path: Any, _mode: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    (tmp_path / "one").write_bytes(b"old")
    monkeypatch.setattr(os, "chmod", chmod)
    replace_file(Files(), tmp_path / "one", [b"new"])
    assert (tmp_path / "one").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("what", "segment"),
    [
        ("sequence", Segment(1, [make_event(0)], first_sequence=layout.U64_MAX)),
        ("segment", Segment(layout.U64_MAX, [make_event(0)])),
        (
            "time",
            Segment(1, [replace(make_event(0), position=replace(make_event(0).position, wall_ms=1 << 63))]),
        ),
    ],
)
def test_store_that_has_used_up_its_numbers_is_refused(tmp_path: Path, what: str, segment: Segment) -> None:
    path = segment.write(tmp_path)
    before = path.read_bytes()
    with pytest.raises(StoreNeedsRepairError, match=f"next {what}"):
        Store.open(tmp_path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.glob("*.fbat")] == [path.name]


def test_last_sequence_of_all_is_not_given(tmp_path: Path) -> None:
    Segment(1, [make_event(0)], first_sequence=layout.U64_MAX - 2).write(tmp_path)
    store = Store.open(tmp_path)
    with pytest.raises(bp.AppendRefusedError, match="every sequence number"):
        store.append("e", "s", KIND, 1)
    store.drop()


def test_clock_beyond_the_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(bp.AppendRefusedError, match="last moment"):
        Store.open(tmp_path, config=StoreConfig(clock=lambda: 1 << 63))


def test_output_of_a_compaction_may_be_read_by_the_users_of_its_sources(tmp_path: Path) -> None:
    with Store.open(tmp_path, config=StoreConfig(segment_max_bytes=1_000)) as store:
        for number in range(8):
            store.append("e", "s", KIND, number)
        for path in tmp_path.glob("*.fbat"):
            path.chmod(0o640)
        report = store.compact(store.plan_compaction(strategy="merge"))
        assert report.outcome == "performed"
        output = min(tmp_path.glob("*.fbat"))
    assert stat.S_IMODE(output.stat().st_mode) == 0o640
