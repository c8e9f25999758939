"""Copies of a store: hostile destinations, what is shared and what not, and what is in them."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.errors import CopyRefusedError, FenceActiveError, ViewExpiredError
from batpak_analytics.evidence.backup import MissingExpectedSegment, SegmentBytesDigestMismatch
from batpak_analytics.evidence.fork import CacheRegenerableExcluded, FileExcluded
from batpak_analytics.format.layout import ZERO_HASH
from batpak_analytics.format.sidecars import idempotency
from batpak_analytics.format.sidecars.idempotency import IdempotencyEntry
from batpak_analytics.model import EventKind
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.copies import copying
from batpak_analytics.store.copies.source import source_of_view
from batpak_analytics.store.files import Files
from batpak_analytics.store.store import Store
from tests.engine.building import three_segments, write_store
from tests.engine.test_visibility import as_nobody, hide, opened
from tests.store.copy_cases import KIND, written
from tests.store.half_compactions import STRATEGIES, Compaction, steps
from tests.store.test_half_compaction import copied, shown
from tests.store.test_half_compaction import written as half_written

KINDS = ("snapshot", "fork")


def names(path: Path) -> dict[str, tuple[int, int]]:
    """What is in a directory and below, with inode and size."""
    return {str(one.relative_to(path)): (one.lstat().st_ino, one.lstat().st_size) for one in path.rglob("*")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("dest", "why"),
    [
        ("store/copy", "inside the store"),
        ("store/deep/copy", "no directory"),
        ("store/cursors/copy", "inside the store"),
        ("store", "exists"),
        ("store/../store", "exists"),
        ("link", "symbolic link"),
        ("link/copy", "inside the store"),
        ("nowhere", "symbolic link"),
        (".", "exists"),
        ("..", "exists"),
        ("store/..", "exists"),
        ("", "exists"),
        ("file", "a file"),
        ("file/copy", "no directory"),
        ("empty", "a directory"),
        ("full", "a directory"),
        ("missing/copy", "no directory"),
    ],
)
def test_hostile_destination_is_refused_before_anything_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, dest: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    store = written(tmp_path / "store")
    for name in ("store/cursors", "empty", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "000001.fbat").write_bytes(b"another store")
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(store)
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    before = names(tmp_path)
    for given in (dest, tmp_path / dest):
        if given == tmp_path:
            continue
        with bp.open_reader(store) as reader, pytest.raises(CopyRefusedError, match=why) as caught:
            getattr(reader, kind)(given)
        assert str(caught.value).endswith(".")
    assert names(tmp_path) == before


@pytest.mark.parametrize("kind", KINDS)
def test_place_inside_the_store_by_another_mount_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A bind mount shows one directory under two names, which no look at the names can tell."""
    store = written(tmp_path / "store")
    (tmp_path / "mounted").mkdir()
    home, real = os.stat(store), os.stat
    mounted = str(tmp_path / "mounted")
    monkeypatch.setattr(os, "stat", lambda path, **more: home if str(path) == mounted else real(path, **more))
    with bp.open_reader(store) as reader, pytest.raises(CopyRefusedError, match="inside the store"):
        getattr(reader, kind)(tmp_path / "mounted" / "copy")


def test_place_that_may_not_be_written_is_refused_for_an_unprivileged_user() -> None:
    """Not in pytest's own directory: every session that begins closes that to other users."""
    with tempfile.TemporaryDirectory() as directory:
        here = opened(Path(directory))
        store = copied("quickstart", here / "store")
        (here / "closed").mkdir(mode=0o755)
        for one in store.iterdir():
            one.chmod(0o644)
        done = as_nobody(
            f"batpak_analytics.reader.open_reader({str(store)!r}).snapshot({str(here / 'closed' / 'copy')!r})",
            "store.copies.copying",
        )
        assert "CopyRefusedError" in done.stderr and "may not be written" in done.stderr
        assert not list((here / "closed").iterdir())


class Small(Files):
    """A disk with so many bytes left."""

    free = 0

    def free_bytes(self, path: Path) -> int:
        return self.free


def copy_through(files: Files, store: Path, kind: str, dest: Path, **options: Any) -> bp.CopyReport[Any]:
    """The copy of a reader, through these files."""
    with bp.open_reader(store) as reader:
        more = {"copy": "reflink", "exclude_caches": True} if kind == "fork" else {}
        report: bp.CopyReport[Any] = getattr(copying, kind)(
            reader.path, lambda: source_of_view(reader.view), files, dest, keys="refuse", **{**more, **options}
        )
        return report


@pytest.mark.parametrize("kind", KINDS)
def test_copy_for_which_there_is_no_room_is_not_begun(tmp_path: Path, kind: str) -> None:
    """What is linked needs no room, and what has to be copied is counted in whole blocks."""
    store, files = written(tmp_path / "store"), Small()
    with pytest.raises(CopyRefusedError, match="0 are free") as caught:
        copy_through(files, store, kind, tmp_path / "copy")
    assert os.listdir(tmp_path) == ["store"]
    files.free = int(str(caught.value.expected)) - 1
    with pytest.raises(CopyRefusedError, match="Free some"):
        copy_through(files, store, kind, tmp_path / "copy")
    files.free += 1
    report = copy_through(files, store, kind, tmp_path / "copy")
    written_bytes = sum(one.size_bytes for one in report.files if one.how == "copy")
    assert written_bytes <= files.free <= written_bytes + 4096 * (1 + len(report.files))


class NoLinks(Files):
    """Another file system, or one without links, or too many of them."""

    why = errno.EXDEV

    def link(self, source: Path, target: Path) -> None:
        raise OSError(self.why, os.strerror(self.why))


@pytest.mark.parametrize("why", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP])
def test_what_cannot_be_linked_is_copied(tmp_path: Path, why: int) -> None:
    store, files = written(tmp_path / "store"), NoLinks()
    files.why = why
    report = copy_through(files, store, "fork", tmp_path / "copy")
    assert {one.how for one in report.files} == {"copy"}
    assert all(one.digest for one in report.files)
    assert shown(tmp_path / "copy") == shown(store)


def test_fork_to_another_file_system_is_a_copy(tmp_path: Path) -> None:
    store = written(tmp_path / "store")
    memory = Path("/dev/shm")
    elsewhere = memory if memory.is_dir() and os.stat(memory).st_dev != os.stat(store).st_dev else tmp_path
    dest = elsewhere / f"batpak-test-{os.getpid()}"
    with bp.open_reader(store) as reader:
        report = reader.fork(dest)
    try:
        assert shown(dest) == shown(store)
        assert ("hardlink" in {one.how for one in report.files}) == (elsewhere is tmp_path)
    finally:
        shutil.rmtree(dest)


class Clones(Files):
    """A file system that can share blocks, as far as anybody can see."""

    def clone(self, source: Path, target: Path) -> None:
        shutil.copyfile(source, target)


def test_reflink_comes_first_then_a_link_then_a_copy(tmp_path: Path) -> None:
    store = written(tmp_path / "store")
    ways = {}
    for name, files, copy in (
        ("clone", Clones(), "reflink"), ("no clone", Files(), "hardlink"), ("link", Clones(), "hardlink"),
        ("copy", Clones(), "copy"), ("nothing", NoLinks(), "hardlink"),
    ):  # fmt: skip
        report = copy_through(files, store, "fork", tmp_path / name, copy=copy)
        ways[name] = {one.how for one in report.files if one.segment_id in (1, 2)}
        assert shown(report.path) == shown(store)
        counted = report.body.strategy_counts
        assert (counted.reflink, counted.hardlink) == (
            sum(one.how == "reflink" for one in report.files), sum(one.how == "hardlink" for one in report.files)
        )  # fmt: skip
    assert ways == {
        "clone": {"reflink"}, "no clone": {"hardlink"}, "link": {"hardlink"}, "copy": {"copy"}, "nothing": {"copy"}
    }  # fmt: skip


class Compacting(Files):
    """A compaction gives a name to another file just before it is linked."""

    def link(self, source: Path, target: Path) -> None:
        other = source.with_name("other")
        other.write_bytes(b"FBAT, and something else")
        other.rename(source)
        super().link(source, target)


def test_name_that_has_another_file_now_is_not_linked(tmp_path: Path) -> None:
    """What was mapped is copied; the other file is never in the copy."""
    store = written(tmp_path / "store")
    before = shown(store)
    report = copy_through(Compacting(), store, "fork", tmp_path / "copy", copy="hardlink")
    assert {one.how for one in report.files} == {"copy"}
    assert shown(tmp_path / "copy") == before


@pytest.mark.parametrize("kind", KINDS)
def test_copy_may_be_read_by_those_who_may_read_the_store(tmp_path: Path, kind: str) -> None:
    store = written(tmp_path / "store")
    for one in store.iterdir():
        one.chmod(0o640 if one.suffix == ".fbat" else 0o600)
    store.chmod(0o550)
    copies = [copy_through(files, store, kind, tmp_path / type(files).__name__) for files in (Files(), Clones())]
    store.chmod(0o750)
    for copy in (report.path for report in copies):
        assert stat.S_IMODE(copy.stat().st_mode) == 0o750  # its owner may write to it
        for one in copy.iterdir():
            assert stat.S_IMODE(one.stat().st_mode) == (0o640 if one.suffix == ".fbat" else 0o600)


def test_last_segment_of_a_copy_is_what_the_store_itself_would_seal(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", config=StoreConfig(segment_max_bytes=1_500))
    for number in range(9):
        store.append(f"order:{number}", "shop", KIND, number)
    report = store.snapshot(tmp_path / "copy")
    store.drop()
    files = sorted(path.name for path in (tmp_path / "copy").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "store").iterdir() if path.name != ".batpak.lock")
    for name in files:
        assert (tmp_path / "copy" / name).read_bytes() == (tmp_path / "store" / name).read_bytes(), name
    assert [one.name for one in report.files if one.new_footer] == [max(name for name in files if "fbat" in name)]


@pytest.mark.parametrize("kind", KINDS)
def test_store_with_an_open_fence_is_not_copied_and_a_reader_copies_what_it_shows(tmp_path: Path, kind: str) -> None:
    with Store.open(tmp_path / "store") as store:
        fence = store.begin_fence()
        fence.submit("order:1", "shop", KIND, 1)
        with pytest.raises(FenceActiveError):
            getattr(store, kind)(tmp_path / "copy")
        assert os.listdir(tmp_path) == ["store"]
        with bp.open_reader(tmp_path / "store") as reader:
            getattr(reader, kind)(tmp_path / "copy")
        fence.cancel()
        getattr(store, kind)(tmp_path / "later")
        assert len(shown(tmp_path / "copy")) == 2
        assert shown(tmp_path / "later") == shown(tmp_path / "store")
        assert len(shown(tmp_path / "later")) == 1


def test_appends_go_on_while_a_store_is_copied(tmp_path: Path) -> None:
    """They wait for a sync, not for the copy: here the copy waits for them."""
    appended, copying_began = threading.Event(), threading.Event()

    class Waiting(Files):
        def new_directory(self, path: Path) -> None:
            copying_began.set()
            assert appended.wait(30)
            super().new_directory(path)

    with Store.open(tmp_path / "store", files=Waiting(), config=StoreConfig(segment_max_bytes=900)) as store:
        for number in range(5):
            store.append("order:1", "shop", KIND, number)
        before = shown(tmp_path / "store")
        made: list[bp.CopyReport[Any]] = []
        thread = threading.Thread(target=lambda: made.append(store.snapshot(tmp_path / "copy")))
        thread.start()
        assert copying_began.wait(30)
        for number in range(20):
            store.append("order:1", "shop", KIND, number)
        appended.set()
        thread.join()
        assert shown(tmp_path / "copy") == before
        assert made[0].last_sequence == before[-1][1] == 5


def test_copy_of_a_view_does_not_have_what_came_later(tmp_path: Path) -> None:
    """Neither events nor keys, nor hidden ranges that reach beyond the last event: the next one is not born hidden."""
    with Store.open(tmp_path / "store") as store:
        store.append("order:1", "shop", KIND, 1, idempotency_key=1)
        with bp.open_reader(tmp_path / "store") as reader:
            store.append("order:1", "shop", KIND, 2, idempotency_key=2)
            fence = store.begin_fence()
            fence.submit("order:1", "shop", KIND, 3)
            fence.cancel()
            store.close()
            report = reader.snapshot(tmp_path / "copy")
            assert report.last_sequence == 1
            assert not report.body.copied_visibility_ranges_present
    with Store.open(tmp_path / "copy") as copy:
        assert copy.append("order:1", "shop", KIND, 1, idempotency_key=1).replayed
        assert not copy.append("order:1", "shop", KIND, 2, idempotency_key=2).replayed
        assert copy.query()[-1].global_sequence == copy.last_sequence


def test_keys_of_compacted_events_are_in_the_copy_and_damaged_lists_count_as_none(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        store.append("order:1", "shop", KIND, 1, idempotency_key=1)
    path = tmp_path / "store" / "index.idemp"
    gone = [
        IdempotencyEntry(
            key, key, sequence, 1, 0, 10, ZERO_HASH, ZERO_HASH, "e", "s", EventKind(KIND), sequence, evicted, {}
        )
        for key, sequence, evicted in ((b"a" * 16, 0, False), (b"b" * 16, 900, True), (b"c" * 16, 900, False))
    ]  # fmt: skip
    path.write_bytes(idempotency.encode([*idempotency.decode(path.read_bytes()), *gone]))
    with bp.open_reader(tmp_path / "store") as reader:
        reader.snapshot(tmp_path / "copy")
        kept = {entry.key for entry in idempotency.decode((tmp_path / "copy" / "index.idemp").read_bytes())}
        assert {entry.key for entry in gone} & kept == {b"a" * 16, b"b" * 16}
        path.write_bytes(b"damaged")
        assert not reader.snapshot(tmp_path / "other").body.copied_idempotency_store_present
        path.write_bytes(b"FBATID\x09\x00" + bytes(20))
        with pytest.raises(CopyRefusedError, match="newer batpak"):
            reader.snapshot(tmp_path / "third")


def test_damage_that_a_new_footer_would_bake_in_is_refused_and_other_damage_is_copied(tmp_path: Path) -> None:
    store = written(tmp_path / "store")
    sealed = store / "000002.fbat"
    data = bytearray(sealed.read_bytes())
    data[200] ^= 1
    sealed.write_bytes(bytes(data))
    with bp.open_reader(store) as reader:
        reader.snapshot(tmp_path / "copy")
    assert (tmp_path / "copy" / "000002.fbat").read_bytes() == bytes(data)
    last = max(store.glob("*.fbat"))
    data = bytearray(last.read_bytes())
    data[100] ^= 1
    last.write_bytes(bytes(data))
    with bp.open_reader(store) as reader, pytest.raises(CopyRefusedError, match=r"Store\.open"):
        reader.snapshot(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_events_that_may_be_hidden_are_not_made_certain_by_a_copy(tmp_path: Path) -> None:
    """Where numbers can only be counted, all candidates are hidden; a footer would reveal some of them."""
    first, second, third = three_segments()
    shifted = [replace(first, footer=False), replace(second, first_sequence=5), replace(third, first_sequence=8)]
    hide(write_store(tmp_path / "store", shifted), (2, 3))
    with bp.open_reader(tmp_path / "store") as reader, pytest.raises(CopyRefusedError, match="hidden-ambiguous"):
        reader.snapshot(tmp_path / "copy")


def test_two_files_of_one_segment_are_refused(tmp_path: Path) -> None:
    store = written(tmp_path / "store")
    shutil.copyfile(store / "000002.fbat", store / "2.fbat")
    with bp.open_reader(store) as reader, pytest.raises(CopyRefusedError, match="segment"):
        reader.snapshot(tmp_path / "copy")


def test_reader_whose_files_are_gone_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    store = written(tmp_path / "store")
    with bp.open_reader(store) as reader:
        reader.view.descriptors.close()
        max(store.glob("*.fbat")).unlink()  # it has no footer, so it is read and not mapped
        with pytest.raises(ViewExpiredError):
            reader.snapshot(tmp_path / "copy")
    assert os.listdir(tmp_path) == ["store"]


def test_fork_tells_of_every_file_and_takes_caches_along_only_when_they_are_true(tmp_path: Path) -> None:
    store = copied("segments", tmp_path / "store")
    (store / "notes.txt").write_text("mine")
    (store / "cursors").mkdir()
    with bp.open_reader(store) as reader:
        report = reader.fork(tmp_path / "one")
        told = {one.file_name for one in report.body.findings if isinstance(one, FileExcluded)}
        assert told == {"notes.txt", "cursors"}
        assert CacheRegenerableExcluded("index.fbati") in report.body.findings
        report = reader.fork(tmp_path / "two", exclude_caches=False)
        assert "index.fbati" in {one.name for one in report.files}
        assert shown(tmp_path / "two") == shown(store)
    with Store.open(store, config=StoreConfig(segment_max_bytes=900)) as writer:
        writer.append("order:1", "shop", KIND, 1)
        assert "index.fbati" in {one.name for one in writer.fork(tmp_path / "three", exclude_caches=False).files}
    image = bytearray((store / "index.fbati").read_bytes())
    image[-1] ^= 1
    (store / "index.fbati").write_bytes(bytes(image))
    with bp.open_reader(store) as reader:
        report = reader.fork(tmp_path / "four", exclude_caches=False)
        assert "index.fbati" not in {one.name for one in report.files}


def test_manifest_of_a_snapshot_tells_what_a_restored_store_lacks(tmp_path: Path) -> None:
    store = written(tmp_path / "store")
    with bp.open_reader(store) as reader:
        report = reader.snapshot(tmp_path / "copy")
        with pytest.raises(CopyRefusedError, match="snapshot"):
            reader.fork(tmp_path / "fork").manifest()
        assert reader.fork(tmp_path / "deep", copy="copy").manifest().body.segments == report.manifest().body.segments
    manifest = report.manifest()
    assert bp.prove_restore(manifest, report.path).body.findings == ()
    (report.path / "000001.fbat").unlink()
    last = max(report.path.glob("*.fbat"))
    last.write_bytes(last.read_bytes() + b"\0")
    missing, other = bp.prove_restore(manifest.body, report.path).body.findings
    assert missing == MissingExpectedSegment(1)
    assert isinstance(other, SegmentBytesDigestMismatch) and other.segment_id == int(last.stem)


def test_path_digest_is_of_the_path_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = written(tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    with bp.open_reader(store) as reader:
        one, two = reader.snapshot("one"), reader.snapshot(tmp_path / "two")
    assert one.path == tmp_path / "one"
    assert one.body.destination_path_digest != two.body.destination_path_digest
    assert one.body.fence_token.token == 0 and "FenceTokenCancelled" not in str(one.body.findings)


@pytest.mark.parametrize("options", [{"keys": "all"}, {"copy": "symlink"}])
def test_options_that_do_not_exist_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with bp.open_reader(bp.demo_store()) as reader, pytest.raises(ValueError, match="Pass"):
        reader.fork(tmp_path / "copy", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", KINDS)
def test_copy_of_a_compaction_cut_short_has_every_event(tmp_path: Path, kind: str, strategy: str) -> None:
    """At every step of it: what the reader shows is in the copy, without the marker and what was moved aside."""
    path = half_written(tmp_path / "origin")
    for number, step in enumerate(steps(Compaction(path, strategy))):
        if step == "done":
            break
        with bp.open_reader(path) as reader:
            before = shown(path)
            copy = getattr(reader, kind)(tmp_path / f"copy-{number}").path
        assert shown(copy) == before, step
        assert not [one.name for one in copy.iterdir() if "compact" in one.name]
        with Store.open(copy) as store:
            store.append("order:1", "shop", KIND, 1)
        assert shown(copy)[: len(before)] == before, step
