"""What was appended is seen at once, by everyone who holds the store, and what is taken back by nobody."""

from __future__ import annotations

import errno
import random
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.store import live
from batpak_analytics.store.files import Files
from tests.interop.questions import by_list, ours, questions_about

KIND = 0x1001
FIXTURES = {path.name: path for path in (Path(__file__).resolve().parents[1] / "fixtures").iterdir() if path.is_dir()}
SMALL = bp.StoreConfig(segment_max_bytes=3_000, sync="batch")


def numbers(store: bp.Store | bp.Reader) -> list[Any]:
    return [store.get(entry.event_id).payload for entry in store.query(bp.Region(kind=KIND))]


def test_appended_event_is_seen_at_once(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path, config=SMALL) as store:
        for number in range(60):
            receipt = store.append(f"order:{number % 3}", "shop", KIND, number)
            event = store.get(receipt.event_id)
            assert (event.payload, event.global_sequence) == (number, receipt.global_sequence)
            assert store.get_raw(receipt.event_id) == bytes([number])
            latest = store.latest(f"order:{number % 3}")
            assert latest is not None
            assert (latest.event_id, latest.segment_id, latest.offset) == (
                receipt.event_id, receipt.segment_id, receipt.offset,
            )  # fmt: skip
            assert store.query_after(receipt.global_sequence - 1, 9)[0] == latest
        assert numbers(store) == list(range(60))
        assert len({entry.segment_id for entry in store.query()}) > 3


def test_events_of_earlier_sessions_are_found_in_their_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where ids go from the dict into the index while segments are sealed."""
    monkeypatch.setattr(live, "RECENT", 7)
    receipts = []
    for _ in range(3):
        with bp.Store.open(tmp_path, config=SMALL) as store:
            for number in range(20):
                receipts.append(store.append("e", "s", KIND, number))
                if number % 3 == 0:
                    for one in random.Random(number).sample(receipts, min(5, len(receipts))):
                        assert store.get(one.event_id).global_sequence == one.global_sequence
    with bp.Store.open(tmp_path) as store:
        found = store.query(bp.Region(kind=KIND))
        assert [entry.event_id for entry in found] == [one.event_id for one in receipts]


def test_events_behind_a_fence_are_seen_after_its_commit_and_never_after_its_cancel(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path, config=SMALL) as store:
        store.append("e", "s", KIND, 0)
        kept = store.begin_fence()
        receipts = [kept.submit("e", "s", KIND, number) for number in range(1, 20)]
        assert numbers(store) == [0]
        assert store.walk_ancestors(receipts[3].event_id).end == "no-anchor"
        with pytest.raises(bp.EventNotFoundError):
            store.get(receipts[3].event_id)
        kept.commit()
        assert numbers(store) == list(range(20))
        gone = store.begin_fence()
        receipts = [gone.submit("e", "s", KIND, -number) for number in range(1, 20)]
        gone.cancel()
        assert numbers(store) == list(range(20))
        for receipt in receipts:
            with pytest.raises(bp.EventNotFoundError):
                store.get(receipt.event_id)
        after = store.append("e", "s", KIND, 20)
        assert store.get(after.event_id).payload == 20
        assert store.walk_ancestors(after.event_id).end == "missing-parent"


def test_every_thread_reads_its_own_writes_and_a_prefix_of_all(tmp_path: Path) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def guarded(work: Any) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)

        return threading.Thread(target=run)

    with bp.Store.open(tmp_path, config=SMALL) as store:

        def write(name: int) -> None:
            for number in range(60):
                receipt = store.append(f"e:{name}", "s", KIND, number)
                assert store.get(receipt.event_id).payload == number
                assert len(store.stream(f"e:{name}")) == number + 1

        def watch() -> None:
            seen = 0
            while not stop.is_set():
                found = store.query().global_sequences.tolist()
                assert found == list(range(len(found)))
                assert len(found) >= seen
                seen = len(found)

        writers = [guarded(lambda name=name: write(name)) for name in range(3)]
        watcher = guarded(watch)
        for thread in [watcher, *writers]:
            thread.start()
        for thread in writers:
            thread.join()
        stop.set()
        watcher.join()
        assert not failures
        assert len(store.query()) == 181


def test_reader_of_a_store_sees_what_was_appended_and_the_rest_after_refresh(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path) as store:
        store.append("e", "s", KIND, 1)
        with store.reader() as reader:
            assert numbers(reader) == [1]
            later = store.append("e", "s", KIND, 2)
            assert numbers(reader) == [1]
            assert numbers(reader.refresh()) == [1, 2]
            assert reader.get(later.event_id).payload == 2
            assert reader.events(columns=["payload"]).count() == 2
    for asked in (store.query, store.reader, lambda: store.get(later.event_id)):
        with pytest.raises(bp.StoreClosedError):
            asked()


def test_answers_outlive_appends_rotations_and_the_store(tmp_path: Path) -> None:
    store = bp.Store.open(tmp_path, config=SMALL)
    store.append("e:1", "s", KIND, 1)
    found = store.query()
    before = list(found)
    for number in range(40):
        store.append(f"e:{number}", "s", KIND, number)
    store.close()
    shutil.rmtree(tmp_path)
    assert list(found) == before
    assert found[-1].entity == "e:1"


@pytest.mark.parametrize("name", [name for name in sorted(FIXTURES) if not name.startswith("encrypted")])
def test_store_of_the_reference_answers_with_what_was_there_and_what_was_added(tmp_path: Path, name: str) -> None:
    """Compacted, crashed, with hidden events and index images: a reader of the files sees the same."""
    path = tmp_path / name
    shutil.copytree(FIXTURES[name], path)
    with bp.Store.open(path, config=SMALL) as store:
        for number in range(12):
            store.append(f"order:{number % 4}", "shop", KIND, number, lane=number % 2)
        with store.reader() as reader:
            visible = list(reader.query())
        assert list(store.query()) == visible
        for question in questions_about(visible, random.Random(name), 60):
            assert ours(store, question) == by_list(visible, question), question
        for entry in visible:
            assert store.get_raw(entry.event_id) == reader.get_raw(entry.event_id)


def test_store_that_a_failure_stopped_still_answers(tmp_path: Path) -> None:
    class Full(Files):
        full = False

        def write(self, descriptor: int, data: memoryview) -> int:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(descriptor, data)

    files = Full()
    store = bp.Store.open(tmp_path, files=files)
    kept = store.append("e", "s", KIND, 1)
    files.full = True
    with pytest.raises(bp.WriteFailedError):
        store.append("e", "s", KIND, 2)
    assert numbers(store) == [1]
    assert store.latest("e") == store.query()[-1]
    assert store.get(kept.event_id).payload == 1
    store.close()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append"] * 5 + ["batch", "fence", "commit", "cancel", "ask", "ask", "ask", "reopen"]),
        st.integers(0, 2**32),
    ),
    max_size=60,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_store_answers_as_a_list_of_all_events_would(steps: list[tuple[str, int]]) -> None:
    """The list: what a reader finds in the files, up to the fence that is open; and the ids that were kept."""
    with tempfile.TemporaryDirectory() as folder:
        course = Course(Path(folder))
        for step, seed in [*steps, ("ask", 1), ("reopen", 2), ("ask", 3)]:
            course.go(step, random.Random(seed))
        course.store.close()


class Course:
    """A store on its way, and a plain list of the ids that may be seen."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = bp.Store.open(path, config=SMALL)
        self.fence: bp.Fence | None = None
        self.kept: list[bytes] = []
        self.fenced: list[bytes] = []

    def go(self, step: str, chance: random.Random) -> None:
        if step in ("append", "batch"):
            self.append(step, chance)
        elif step == "ask":
            self.ask(chance)
        elif step == "reopen":
            self.end_fence(keep=False)
            self.store.close() if chance.random() < 0.5 else self.store.drop()
            self.store = bp.Store.open(self.path, config=SMALL)
        elif step == "fence" and self.fence is None:
            self.fence = self.store.begin_fence()
        elif step in ("commit", "cancel"):
            self.end_fence(keep=step == "commit")

    def append(self, step: str, chance: random.Random) -> None:
        items = [
            bp.BatchItem(
                chance.choice(["a", "a:1", "ab", "b"]), chance.choice("st"), chance.choice([0x1001, 0x1002, 0x2001]),
                chance.randrange(3), lane=chance.choice([0, 0, 1]),
            )
            for _ in range(1 if step == "append" else chance.randrange(1, 5))
        ]  # fmt: skip
        one = items[0]
        if step == "batch":
            receipts = self.store.append_batch(items, fence=self.fence)
        else:
            receipts = [
                self.store.append(one.entity, one.scope, one.kind, one.payload, lane=one.lane, fence=self.fence)
            ]
        (self.kept if self.fence is None else self.fenced).extend(receipt.event_id for receipt in receipts)

    def end_fence(self, *, keep: bool) -> None:
        if self.fence is not None:
            self.fence.commit() if keep else self.fence.cancel()
            self.kept += self.fenced if keep else []
            self.fence, self.fenced = None, []

    def ask(self, chance: random.Random) -> None:
        with self.store.reader() as reader:
            visible = [entry for entry in reader.query() if entry.event_id not in set(self.fenced)]
        assert [one.event_id for one in visible if not one.kind.is_reserved] == self.kept
        for question in questions_about(visible, chance, 12):
            assert ours(self.store, question) == by_list(visible, question), question
