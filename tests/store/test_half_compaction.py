"""A compaction that stopped at any step is settled on opening: no event is lost, and the next crash finds it so too."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.errors import MarkerCorruptError, StoreNeedsRepairError, WriteFailedError
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.files import Files
from batpak_analytics.store.store import Store
from tests.store.half_compactions import MARKER, STRATEGIES, Compaction, begin, steps

KIND = 0x1001
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
Shown = list[tuple[bytes, int]]


def shown(path: Path) -> Shown:
    """(id, sequence) of every event, in order."""
    table = bp.scan_batpak(path, columns=["event_id", "global_sequence"], system=True).to_arrow()
    return [(row["event_id"], row["global_sequence"]) for row in table.to_pylist()]


def written(path: Path) -> Path:
    """A store of five segments, with a batch, a hidden range and a last segment that a crash left without a footer."""
    with Store.open(path, config=StoreConfig(segment_max_bytes=1_200)) as store:
        for number in range(6):
            store.append(f"order:{number % 3}", "shop", KIND, {"n": number})
        fence = store.begin_fence()
        fence.submit("order:1", "shop", KIND, {"n": -1})
        fence.cancel()
        store.append_batch([bp.BatchItem(f"order:{number}", "shop", KIND, {"n": number}) for number in range(3)])
    store = Store.open(path)
    store.append("order:1", "shop", KIND, {"n": 7})
    store.drop()
    last = max(path.glob("*.fbat"))
    with bp.open_reader(path) as reader:
        size = reader.view.segments[-1].frames_end
    last.write_bytes(last.read_bytes()[:size])
    return path


def copied(name: str, path: Path) -> Path:
    """A store that the reference wrote."""
    shutil.copytree(FIXTURES / name, path, copy_function=shutil.copyfile)
    path.chmod(0o755)
    return path


def assert_settled(path: Path, before: Shown) -> None:
    """Opening keeps every event and its number, leaves no trace of the compaction, and so does opening again."""
    for _ in range(2):
        with Store.open(path) as store:
            added = store.append("order:9", "shop", KIND, 1)
        after = shown(path)
        assert after[: len(before)] == before
        assert added.event_id in [event for event, _ in after]
        assert len({number for _, number in after}) == len(after)
        assert not (path / MARKER).exists() and not list(path.glob("*.compact-src"))
        assert not [one for one in bp.open_reader(path).check() if one.rule != "hidden-after-compaction"]


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        *(("written", strategy) for strategy in STRATEGIES),
        ("segments", "retention"),
        ("lanes", "merge"),
        ("hidden", "merge"),
        ("checkpoint", "tombstone"),
        ("merge", "merge"),
    ],
)
def test_compaction_cut_short_at_any_step_is_settled_on_opening(tmp_path: Path, name: str, strategy: str) -> None:
    path = tmp_path / "store"
    written(path) if name == "written" else copied(name, path)
    for number, step in enumerate(steps(Compaction(path, strategy))):
        if step == "done" or step[:6] in ("000004", "000005", "000006", "000007", "000008", "000009"):
            continue
        state = tmp_path / str(number)
        shutil.copytree(path, state)
        before = shown(state)
        with bp.open_reader(state) as reader:
            ambiguous = [one for one in reader.view.findings if one.rule == "hidden-ambiguous"]
        if ambiguous:
            with pytest.raises(StoreNeedsRepairError, match="hidden-ambiguous"):
                Store.open(state)
            continue
        assert_settled(state, before)


class Dying(Files):
    """A process that dies before its call number `at`; what it did before is on disk."""

    class Died(BaseException):
        """No handler of the package may catch it."""

    def __init__(self, at: int) -> None:
        self.left = at

    def _meet(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise Dying.Died

    def create(self, path: Path) -> int:
        self._meet()
        return super().create(path)

    def write(self, descriptor: int, data: memoryview) -> int:
        self._meet()
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._meet()
        super().sync(descriptor)

    def sync_directory(self, path: Path) -> None:
        self._meet()
        super().sync_directory(path)

    def rename(self, source: Path, target: Path) -> None:
        self._meet()
        super().rename(source, target)

    def link(self, target: str, path: Path) -> None:
        self._meet()
        super().link(target, path)

    def remove(self, path: Path) -> None:
        self._meet()
        super().remove(path)


@pytest.mark.parametrize("strategy", ["merge", "retention"])
def test_repair_that_is_cut_short_anywhere_is_begun_again(tmp_path: Path, strategy: str) -> None:
    path = written(tmp_path / "store")
    for number, step in enumerate(steps(Compaction(path, strategy))):
        if step == "done" or step in ("written 0", "written 20"):
            continue
        before = shown(path)
        for at in range(1, 100, 1 if step in ("moved", "source removed") else 5):
            state = tmp_path / f"{number}-{at}"
            shutil.copytree(path, state)
            try:
                Store.open(state, files=Dying(at)).close()
            except Dying.Died:
                assert [one for one in shown(state) if one in before] == before, (step, at)
                assert_settled(state, before)
            else:
                break
        else:
            pytest.fail("a repair takes fewer calls than that")


class Refusing(Dying):
    """A disk that refuses from its call number `at` on."""

    def _meet(self) -> None:
        try:
            super()._meet()
        except Dying.Died as error:
            raise OSError(errno.ENOSPC, "No space left on device") from error


def test_disk_that_fails_while_a_compaction_is_settled_costs_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "store")
    for number, step in enumerate(steps(Compaction(path, "merge"))):
        if step not in ("moved", "source removed"):
            continue
        before = shown(path)
        for at in range(1, 60, 2):
            state = tmp_path / f"{number}-{at}"
            shutil.copytree(path, state)
            try:
                Store.open(state, files=Refusing(at)).close()
            except WriteFailedError as error:
                assert "No space left" in str(error)
                assert [one for one in shown(state) if one in before] == before
                assert_settled(state, before)
            else:
                break
        assert at > 15


def test_output_that_holds_what_its_sources_do_not_is_kept(tmp_path: Path) -> None:
    """A copy moved aside by an earlier compaction stands beside the segment of today; to undo would lose that one."""
    path = written(tmp_path / "store")
    names = begin(Compaction(path, "merge"))
    first = path / names[0]
    (path / f"{names[0]}.compact-src").write_bytes(first.read_bytes())
    with Store.open(tmp_path / "other") as store:
        store.append("order:1", "shop", KIND, "newer")
    first.write_bytes((tmp_path / "other" / "000001.fbat").read_bytes())
    files = sorted((file.name, file.read_bytes()) for file in path.iterdir())
    with pytest.raises(StoreNeedsRepairError, match="no other segment has"):
        Store.open(path)
    assert sorted((file.name, file.read_bytes()) for file in path.iterdir()) == files


def test_moved_aside_copy_that_nothing_names_goes_and_one_with_events_of_its_own_stays(tmp_path: Path) -> None:
    path = written(tmp_path / "store")
    before = shown(path)
    aside = path / "000002.fbat.compact-src"
    aside.write_bytes((path / "000002.fbat").read_bytes())
    with Store.open(path) as store:
        assert "000002.fbat.compact-src" in [one.file for one in store.open_report.repairs]
    assert shown(path)[: len(before)] == before and not aside.exists()
    with Store.open(tmp_path / "other"):
        pass
    aside.write_bytes((tmp_path / "other" / "000001.fbat").read_bytes())
    with pytest.raises(StoreNeedsRepairError, match="no other segment has"):
        Store.open(path)
    assert aside.exists()


@pytest.mark.parametrize("lost", ["000001.fbat", "000002.fbat"])
def test_compaction_with_a_lost_source_is_refused(tmp_path: Path, lost: str) -> None:
    path = written(tmp_path / "store")
    begin(Compaction(path, "merge"))
    (path / lost).unlink()
    with pytest.raises(StoreNeedsRepairError, match="sources-missing"):
        Store.open(path)


@pytest.mark.parametrize("text", ["", "{", '{"merged_id":1}', "null"])
def test_unreadable_marker_is_refused(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "store")
    (path / MARKER).write_text(text)
    with pytest.raises(MarkerCorruptError):
        Store.open(path)
    assert (path / MARKER).read_text() == text


def test_store_that_went_on_without_its_sources_is_refused(tmp_path: Path) -> None:
    """batpak opened it in a window in which it does not see all sources, and gave their numbers to new events."""
    path = copied("lanes", tmp_path / "store")
    with Store.open(tmp_path / "other") as store:
        store.append("order:5", "shop", KIND, 1)
    newest = max(int(file.stem) for file in path.glob("*.fbat"))
    data = (tmp_path / "other" / "000001.fbat").read_bytes()
    (path / f"{newest + 1:06}.fbat").write_bytes(data)
    begin(Compaction(path, "merge"))
    with pytest.raises(StoreNeedsRepairError, match="stand for two events"):
        Store.open(path)


def test_open_report_says_what_was_settled(tmp_path: Path) -> None:
    path = written(tmp_path / "store")
    run = steps(Compaction(path, "merge"))
    while next(run) != "moved":
        pass
    with Store.open(path) as store:
        report: Any = store.open_report
    assert report.repairs[0].file == "000001.fbat" and "undone" in report.repairs[0].what
    assert report.repairs[-1].file == MARKER
    with Store.open(path) as store:
        assert store.open_report.repairs == ()
        assert store.open_report.events == report.events + 2
