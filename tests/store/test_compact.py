"""What a plan says is what compacting does, while the store goes on, and nothing that was not planned is touched."""

from __future__ import annotations

import errno
import gc
import itertools
import shutil
import threading
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.errors import (
    AnchorError,
    CompactionPlanError,
    EventNotFoundError,
    FenceActiveError,
    PlanOutgrownError,
    StoreClosedError,
)
from batpak_analytics.format.layout import (
    COMPACTED_PREFIX,
    IDEMPOTENCY_NAME,
    KIND_TOMBSTONE,
    MARKER_NAME,
    SWAP_NAME,
    VISIBILITY_NAME,
)
from batpak_analytics.format.sidecars import idempotency, visibility
from batpak_analytics.format.sidecars.marker import CompactionMarker
from batpak_analytics.format.sidecars.visibility import HiddenRanges
from batpak_analytics.store import swap
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.files import Files
from batpak_analytics.store.store import Store
from tests.engine.building import EPOCH_US, Segment, begin, make_event, write_store
from tests.store.compactions import (
    KIND,
    STRATEGIES,
    STRUCK,
    after,
    assert_no_trace,
    assert_settles,
    copy_of,
    keeps,
    plan_of,
    shown,
    written,
)

FIXTURE_NAMES = ("segments", "lanes", "hidden", "crash", "payloads", "checkpoint", "merge", "retention", "tombstone")


def sizes(path: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in path.glob("*.fbat")}


def assert_as_planned(path: Path, plan: Any, report: Any, before: dict[str, int]) -> None:
    """Every number of the plan, counted again on what is on disk and shown."""
    said, now = plan.summary(), sizes(path)
    sources = [source.name for source in plan.sources]
    assert said == report.planned
    for name in ("events_kept", "events_dropped", "events_tombstoned", "bytes_net", "bytes_gross"):
        assert getattr(report, name) == getattr(said, name), name
    assert said.bytes_gross == sum(before[name] for name in sources)
    assert said.bytes_net == now[report.output.name] - said.bytes_gross
    added = set(before) - set(sources)
    assert set(now) == added | {report.output.name}
    assert (report.segments_before, report.segments_after) == (len(before), len(now))
    assert report.bytes_after == sum(now.values()) and report.bytes_net == report.bytes_after - report.bytes_before
    with bp.open_reader(path) as reader:
        output = reader.view.segments[0]
        assert len(output.rows) == said.events_kept + said.events_tombstoned
        assert output.footer_state == "trusted" and (output.source == 1).all()
        again = reader.plan_compaction(min_segments=1).summary()
        assert again.events_kept == len(output.rows) and again.uncommitted_left_out == 0
    assert said.sequences_renumbered == said.hidden_ranges_stale == said.cursors_stale == 0
    assert report.evidence.body.output_segment_bytes_hash == blake3(report.output.read_bytes()).digest()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["written", *FIXTURE_NAMES])
def test_plan_is_what_happens(tmp_path: Path, name: str, strategy: Any) -> None:
    path = tmp_path / "store"
    written(path) if name == "written" else copy_of(name, path)
    with Store.open(path) as store:
        plan = store.plan_compaction(strategy, *([] if strategy == "merge" else [keeps()]))
        first, kept, files = shown(path), after(shown(path), plan, path), sizes(path)
        report = store.compact(plan)
        assert report.outcome == "performed" and not report.unfinished
        assert shown(path) == kept
        for event, _, _ in kept:
            store.get_raw(event)
        assert len(list(store.query(bp.Region()))) == len(kept)
        assert_as_planned(path, plan, report, files)
        assert_no_trace(path)
    assert shown(path)[: len(kept)] == kept
    assert first[: len(kept)] == kept or strategy != "merge"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sessions=st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=12), min_size=2, max_size=4),
    segment_bytes=st.sampled_from([1, 900, 5_000]),
    strategy=st.sampled_from(STRATEGIES),
    seed=st.integers(0, 1_000),
)
def test_random_stores_are_compacted_as_planned(
    tmp_path_factory: pytest.TempPathFactory, sessions: Any, segment_bytes: int, strategy: Any, seed: int
) -> None:
    path = tmp_path_factory.mktemp("random") / "store"
    for number, session in enumerate(sessions):
        store = Store.open(path, config=StoreConfig(segment_max_bytes=segment_bytes))
        for one in session:
            if one < 3:
                store.append(f"order:{one}", "shop", KIND, {"n": one}, lane=one % 2)
            elif one < 5:
                fence = store.begin_fence()
                fence.submit(f"order:{one % 3}", "shop", KIND, one)
                fence.cancel() if one == 3 else fence.commit()
            else:
                store.append_batch([bp.BatchItem(f"order:{n % 3}", "shop", KIND, n) for n in range(one - 4)])
        store.close() if (seed + number) % 2 else store.drop()
    with Store.open(path, config=StoreConfig(segment_max_bytes=segment_bytes)) as store:
        plan = store.plan_compaction(strategy, *([] if strategy == "merge" else [keeps()]), min_segments=1)
        kept, files = after(shown(path), plan, path), sizes(path)
        report = store.compact(plan)
        assert shown(path) == kept
        assert_as_planned(path, plan, report, files)
    assert_settles(path, shown(path))


def test_survivors_keep_their_bytes_and_encrypted_ones_their_ciphertext(tmp_path: Path) -> None:
    path = copy_of("encrypted", tmp_path / "store")
    with bp.open_reader(path) as reader:
        frames = {frame_id: frame for segment in reader.view.segments for frame_id, frame in _frames(segment)}
    with Store.open(path, config=StoreConfig(allow_plaintext=True)) as store:
        plan = store.plan_compaction("retention", keeps())
        assert store.compact(plan).events_dropped > 0
    with bp.open_reader(path) as reader:
        output = dict(_frames(reader.view.segments[0]))
        assert output and all(frames[one] == frame for one, frame in output.items())


def _frames(segment: Any) -> list[tuple[bytes, bytes]]:
    found = []
    for row in segment.rows:
        low, size = int(row["offset"]), int(row["length"])
        found.append((row["event_id"].tobytes(), bytes(segment.window(low, low + size))))
    return found


def test_encrypted_event_becomes_a_tombstone_only_when_that_is_asked_for(tmp_path: Path) -> None:
    path = copy_of("encrypted", tmp_path / "store")
    with Store.open(path, config=StoreConfig(allow_plaintext=True)) as store:
        before = shown(path)
        with pytest.raises(CompactionPlanError, match="unreadable for ever"):
            store.compact(store.plan_compaction("tombstone", keeps()))
        assert shown(path) == before
        plan = store.plan_compaction("tombstone", keeps(), tombstone_encrypted=True)
        assert store.compact(plan).events_tombstoned == plan.summary().events_tombstoned > 0


def test_items_of_a_batch_that_never_was_do_not_come_back(tmp_path: Path) -> None:
    """Trap T-9: 0.9.0 makes events of them."""
    begun = [begin(10, 3, at_us=EPOCH_US + 10), *(make_event(n, at_us=EPOCH_US + 9) for n in (10, 11))]
    path = write_store(
        tmp_path / "store",
        [
            Segment(1, [make_event(0), make_event(1), *begun], footer=False),
            Segment(2, [make_event(2), make_event(3)], first_sequence=2),
        ],
    )
    with Store.open(path) as store:
        report = store.compact(store.plan_compaction("retention", bp.keep.newer_than(0)))
    assert report.outcome == "performed" and report.planned.uncommitted_left_out in (0, 2)
    assert make_event(10).event_id not in [event for event, _, _ in shown(path)]


@pytest.mark.parametrize("strategy", ["merge", "retention"])
def test_appends_go_on_while_the_output_is_written(tmp_path: Path, strategy: Any) -> None:
    path = written(tmp_path / "store")

    class Slow(Files):
        """A disk on which an output takes as long as the test wants."""

        begun, go_on = threading.Event(), threading.Event()

        def create(self, path: Path) -> int:
            if path.name.startswith(COMPACTED_PREFIX):
                self.begun.set()
                assert self.go_on.wait(30)
            return super().create(path)

    files = Slow()
    with Store.open(path, files=files, config=StoreConfig(segment_max_bytes=2_000)) as store:
        plan = store.plan_compaction(strategy, *([] if strategy == "merge" else [keeps()]))
        kept = after(shown(path), plan, path)
        reports: list[Any] = []
        thread = threading.Thread(target=lambda: reports.append(store.compact(plan)))
        thread.start()
        assert files.begun.wait(30)
        added = [store.append(STRUCK, "shop", KIND, {"n": n}) for n in range(30)]
        fence = store.begin_fence()
        fenced = fence.submit(STRUCK, "shop", KIND, "fenced")
        files.go_on.set()
        thread.join()
        assert reports[0].outcome == "performed"
        fence.cancel()
        added.append(store.append(STRUCK, "shop", KIND, "last"))
        for one in added:
            assert store.get(one.event_id).global_sequence == one.global_sequence
        with pytest.raises(EventNotFoundError):
            store.get(fenced.event_id)
    assert [(event, number) for event, number, _ in shown(path)][:-1] == [
        *((event, number) for event, number, _ in kept),
        *((one.event_id, one.global_sequence) for one in added),
    ]


def test_many_threads_append_query_and_compact_without_a_fault(tmp_path: Path) -> None:
    path, stop = tmp_path / "store", threading.Event()
    faults: list[BaseException] = []
    receipts: list[Any] = []

    def guarded(work: Any) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                faults.append(error)
                stop.set()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def append() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            receipts.append(store.append(f"order:{number % 5}", "shop", KIND, {"n": number}))

    def query() -> None:
        while not stop.is_set():
            for one in receipts[-50:]:
                assert store.get(one.event_id).global_sequence == one.global_sequence
            seen = [entry.global_sequence for entry in store.query(bp.Region())]
            assert seen == sorted(seen) and len(seen) == len(set(seen))

    def follow() -> None:
        with bp.open_reader(path) as reader:
            while not stop.is_set():
                known = len(receipts)
                ids = reader.refresh().events(columns=["event_id"], system=True).to_arrow()["event_id"].to_pylist()
                assert len(ids) == len(set(ids))
                assert not {one.event_id for one in receipts[:known]} - set(ids)

    with Store.open(path, config=StoreConfig(segment_max_bytes=4_000, sync="batch")) as store:
        threads = [guarded(work) for work in (append, query, follow)]
        done, until = 0, time.monotonic() + 60
        while done < 12 and not stop.is_set() and time.monotonic() < until:
            plan = store.plan_compaction()
            done += plan.outcome == "ready" and store.compact(plan).outcome == "performed"
        stop.set()
        for thread in threads:
            thread.join()
        assert not faults and done >= 3
    rows = shown(path)
    assert [event for event, _, _ in rows][1:-1] == [one.event_id for one in receipts]


def test_open_readers_keep_what_they_show_and_old_scans_can_be_finished(tmp_path: Path) -> None:
    path = written(tmp_path / "store")
    reader = bp.open_reader(path)
    before = reader.events(columns=["event_id", "payload"], payload="binary", system=True).to_arrow()
    with Store.open(path) as store:
        scan = bp.scan_batpak(path, columns=["event_id"], system=True).to_batches(2)
        first = next(scan)
        store.compact(store.plan_compaction("retention", keeps()))
        again = reader.events(columns=["event_id", "payload"], payload="binary", system=True).to_arrow()
        assert again.equals(before)
        rest = [row for batch in scan for row in batch.column("event_id").to_pylist()]
        assert first.column("event_id").to_pylist() + rest == [*before["event_id"].to_pylist(), shown(path)[-1][0]]
        now = reader.refresh().events(columns=["event_id"], system=True).to_arrow()["event_id"].to_pylist()
        assert now == [event for event, _, _ in shown(path)]


def test_plan_of_a_reader_applies_after_further_appends_and_another_session(tmp_path: Path) -> None:
    path = written(tmp_path / "store")
    plan = plan_of(path, "retention")
    with Store.open(path) as store:
        store.append(STRUCK, "shop", KIND, "new")
    with Store.open(path, config=StoreConfig(segment_max_bytes=1)) as store:
        added = store.append(STRUCK, "shop", KIND, "newer")
        kept = after(shown(path), plan, path)
        report = store.compact(plan)
        assert report.outcome == "performed" and shown(path) == kept
        assert store.get(added.event_id).payload == "newer"


def test_plan_is_refused_once_its_sources_changed(tmp_path: Path) -> None:
    path = written(tmp_path / "store")
    with Store.open(path) as store:
        old = store.plan_compaction("retention", keeps())
        store.compact(store.plan_compaction())
        before, files = shown(path), sizes(path)
        with pytest.raises(PlanOutgrownError, match=r"Plan again") as told:
            store.compact(old)
        assert told.value.changes
        with pytest.raises(CompactionPlanError):
            store.compact(replace(old, sampled=0.1))
        assert (shown(path), sizes(path)) == (before, files)
        assert_no_trace(path)


def test_plan_of_another_store_is_refused(tmp_path: Path) -> None:
    plan = plan_of(written(tmp_path / "one"), "merge")
    with Store.open(written(tmp_path / "two")) as store, pytest.raises(PlanOutgrownError):
        store.compact(plan)


def test_events_behind_an_open_fence_are_not_compacted_under_it(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with Store.open(path, config=StoreConfig(segment_max_bytes=1)) as store:
        store.append("order:1", "shop", KIND, 1)
        fence = store.begin_fence()
        events = [fence.submit("order:1", "shop", KIND, n) for n in range(3)]
        plan = store.plan_compaction()
        with pytest.raises(FenceActiveError, match="Commit or cancel"):
            store.compact(plan)
        fence.cancel()
        assert store.compact(store.plan_compaction()).outcome == "performed"
        assert not {one.event_id for one in events} & {event for event, _, _ in shown(path)}
    assert not {one.event_id for one in events} & {event for event, _, _ in shown(path)}


def test_keys_of_dropped_events_stay_used_also_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "store"
    key = bp.IdempotencyKey.for_operation("test", ["one"])
    store = Store.open(path, config=StoreConfig(segment_max_bytes=1))
    first = store.append(STRUCK, "shop", KIND, 1, idempotency_key=key)
    kept = store.append("order:1", "shop", KIND, 1, idempotency_key=bp.IdempotencyKey.for_operation("test", ["two"]))
    store.append("order:1", "shop", KIND, 2)
    report = store.compact(store.plan_compaction("retention", keeps()))
    assert report.events_dropped == report.planned.idempotency_keys_kept == 1
    again = store.append(STRUCK, "shop", KIND, 1, idempotency_key=key)
    assert again.replayed and again.global_sequence == first.global_sequence and again.clock is None
    moved = store.append("order:1", "shop", KIND, 1, idempotency_key=kept.event_id)
    assert moved.replayed and moved.global_sequence == kept.global_sequence
    assert moved.clock == kept.clock and moved.segment_id == 1 and store.get_raw(moved.event_id) == b"\x01"
    crashed = Path(shutil.copytree(path, tmp_path / "crashed"))
    store.close()
    for place in (path, crashed):
        with Store.open(place) as store:
            assert store.append(STRUCK, "shop", KIND, 1, idempotency_key=key).replayed
    entries = {one.key: one for one in idempotency.decode((path / IDEMPOTENCY_NAME).read_bytes())}
    assert entries[key].event_evicted and not entries[kept.event_id].event_evicted


def test_numbers_stay_after_the_last_events_were_dropped_and_a_crash(tmp_path: Path) -> None:
    """What follows the output must not be counted from a lower number (T-1, T8)."""
    path = tmp_path / "store"
    store = Store.open(path, config=StoreConfig(segment_max_bytes=1))
    store.append("order:1", "shop", KIND, 1)
    for number in range(4):
        store.append(STRUCK, "shop", KIND, number)
    store.append("order:1", "shop", KIND, 2)
    plan = store.plan_compaction("retention", keeps())
    kept = after(shown(path), plan, path)
    assert kept[-1][1] - kept[-2][1] > 1
    store.compact(plan)
    crashed = Path(shutil.copytree(path, tmp_path / "before"))
    store.append("order:1", "shop", KIND, 3)
    later = Path(shutil.copytree(path, tmp_path / "later"))
    store.close()
    assert shown(crashed) == kept
    assert shown(later)[:-1] == kept and shown(later)[-1][1] == kept[-1][1] + 1
    assert_settles(later, shown(later))


def test_retention_that_drops_everything_leaves_an_empty_segment(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with Store.open(path, config=StoreConfig(segment_max_bytes=1)) as store:
        for number in range(3):
            store.append("order:1", "shop", KIND, number)
        plan = store.plan_compaction("retention", bp.keep.entities("nobody"), system=True)
        report = store.compact(plan)
        assert (report.outcome, report.events_kept) == ("performed", 0)
        last = store.append("order:1", "shop", KIND, "on")
        assert last.clock == 3
    assert_settles(path, shown(path))


def test_store_closed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "store")

    class Closing(Files):
        store: Store | None = None

        def create(self, path: Path) -> int:
            if path.name.startswith(COMPACTED_PREFIX) and self.store is not None:
                self.store.close()
            return super().create(path)

    files = Closing()
    store = files.store = Store.open(path, files=files)
    before, plan = shown(path), store.plan_compaction("retention", keeps())
    with pytest.raises(StoreClosedError):
        store.compact(plan)
    assert shown(path)[: len(before)] == before
    assert_no_trace(path)
    with pytest.raises(StoreClosedError):
        store.compact(plan)


def test_marker_that_somebody_left_as_a_link_to_nothing_stops_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "store")
    (path / MARKER_NAME).symlink_to(SWAP_NAME)
    with Store.open(path) as store:
        assert store.compact(store.plan_compaction()).outcome == "performed"
    assert_no_trace(path)


def test_file_system_without_links_is_told_and_costs_nothing(tmp_path: Path) -> None:
    class NoLinks(Files):
        def link(self, target: str, path: Path) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

    path = written(tmp_path / "store")
    with Store.open(path, files=NoLinks()) as store:
        before = shown(path)
        report = store.compact(store.plan_compaction())
        assert report.outcome == "failed" and "Operation not permitted" in (report.reason or "")
        assert shown(path) == before
        assert_no_trace(path)


@pytest.mark.parametrize(
    ("taken", "sources", "expected"),
    [
        ([1, 2, 3], [1, 2], 0),
        ([1, 5, 6], [1, 5], 2),
        ([0, 4, 5], [0, 4], 1),
        ([3, 4], [3], 1),
        ([0, 1, 2], [0, 1], None),
        ([7, 8], [7], 1),
    ],
)
def test_output_takes_a_free_number_below_what_stays(
    taken: list[int], sources: list[int], expected: int | None
) -> None:
    assert swap.free_id(taken, sources) == expected


def test_marker_of_either_engine_is_known_for_what_it_is() -> None:
    assert CompactionMarker(0, (1, 2)).is_swap and CompactionMarker(0, (4, 7)).lasting_id == 4
    assert not CompactionMarker(1, (1, 2)).is_swap
    assert not CompactionMarker(1, ()).is_swap


def test_output_that_has_no_name_of_its_own_yet_gets_it_at_the_next_open(tmp_path: Path) -> None:
    path = written(tmp_path / "store")
    with Store.open(path) as store:
        store.compact(store.plan_compaction())
    before = shown(path)
    (path / "000001.fbat").rename(path / "000000.fbat")
    (path / SWAP_NAME).write_text('{"merged_id":0,"source_segment_ids":[1,2,3]}')
    with Store.open(path) as store:
        assert "000001.fbat" in [one.file for one in store.open_report.repairs]
    assert shown(path)[: len(before)] == before
    assert_no_trace(path)


def test_segment_that_is_no_output_keeps_its_name(tmp_path: Path) -> None:
    path = written(tmp_path / "store")
    before = shown(path)
    (path / SWAP_NAME).write_text('{"merged_id":2,"source_segment_ids":[1,3]}')  # 2 is a segment like any other
    with Store.open(path):
        pass
    assert shown(path)[: len(before)] == before and (path / "000002.fbat").exists()
    assert not (path / SWAP_NAME).exists()


def test_report_is_shown_escaped_and_cannot_be_changed(tmp_path: Path) -> None:
    path = written(tmp_path / "a<b>&c")
    with Store.open(path) as store:
        report = store.compact(store.plan_compaction("retention", keeps()))
        skipped = store.compact(replace(store.plan_compaction(), outcome="skipped"))
    assert "events_dropped" in repr(report) and "performed" in repr(report)
    assert "a&lt;b&gt;&amp;c" in report._repr_html_() and "<b>" not in report._repr_html_()
    assert "skipped" in repr(skipped) and "skipped" in skipped._repr_html_()
    with pytest.raises(AttributeError):
        setattr(report, "outcome", "failed")  # noqa: B010
    assert {one.name for one in fields(report)} >= {"planned", "evidence", "unfinished", "bytes_net"}


def test_bridge_carries_an_old_checkpoint_over_a_compaction(tmp_path: Path) -> None:
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    key = ed25519.Ed25519PrivateKey.generate()
    path = written(tmp_path / "store")
    with Store.open(path) as store:
        before = store.verify().checkpoint(key, "shop")
        report = store.compact(store.plan_compaction("retention", keeps()))
        assert store.verify(against=before).verdict == "broken"
        bridge = report.bridge(before, store.verify().checkpoint(None, "shop")).signed(key)
        store.append("order:1", "shop", KIND, "later")
        after_it = store.verify(against=before, public_key=key.public_key(), bridge=bridge)
        assert after_it.verdict == "verified"
        skipped = store.compact(replace(store.plan_compaction(), outcome="skipped"))
    with pytest.raises(AnchorError, match="Nothing was compacted"):
        skipped.bridge(before, before)


def test_compacted_store_has_nothing_to_warn_of(tmp_path: Path) -> None:
    path = written(tmp_path / "store")
    with Store.open(path) as store:
        store.append_batch([bp.BatchItem("order:1", "shop", KIND, n) for n in range(3)])
        store.compact(store.plan_compaction())
        report = store.verify("full")
        assert report.verdict == "unanchored"
        assert not [one for one in report.faults.listed if one.severity != "info"]


def test_sources_are_let_go_by_the_store_itself(tmp_path: Path) -> None:
    """Deleted files take room for as long as somebody has them mapped, as a plan with its view has."""
    path = written(tmp_path / "store")
    saved = plan_of(path, "retention").save(tmp_path / "plan.json")
    with Store.open(path) as store:
        list(store.query(bp.Region()))
        store.segments().to_pandas()
        assert store.compact(bp.CompactionPlan.load(saved)).outcome == "performed"
        gc.collect()
        assert f"{path}/00000" not in Path("/proc/self/maps").read_text().replace(f"{path}/000001.fbat\n", "")


def test_tombstones_are_events_of_their_kind_and_the_rest_is_as_it_was(tmp_path: Path) -> None:
    path = written(tmp_path / "store")
    with Store.open(path) as store:
        before = {one["event_id"]: one for one in _everything(path)}
        plan = store.plan_compaction("tombstone", keeps())
        store.compact(plan)
        struck = {bytes.fromhex(str(one)) for one in plan.events()["event_id"]}
    for row in _everything(path):
        if row["event_id"] in before:
            old = before[row["event_id"]]
            assert row["kind"] == (KIND_TOMBSTONE if row["event_id"] in struck else old["kind"])
            assert {**row, "kind": 0} == {**old, "kind": 0}
    assert len(struck) == plan.summary().events_tombstoned


def _everything(path: Path) -> list[dict[str, Any]]:
    columns = [
        *("event_id", "global_sequence", "entity", "scope", "kind", "clock", "lane", "depth", "prev_hash"),
        *("event_hash", "timestamp", "flags", "payload"),
    ]
    scan = bp.scan_batpak(path, columns=columns, payload="binary", system=True)
    rows: list[dict[str, Any]] = scan.to_arrow().to_pylist()
    return rows


def test_segment_that_a_kill_left_without_a_footer_keeps_its_numbers_beside_the_output(tmp_path: Path) -> None:
    """A plan from before the open does not know it as a source; nothing but counting knew its numbers."""
    path = written(tmp_path / "store")
    store = Store.open(path)
    added = [store.append(STRUCK, "shop", KIND, n).event_id for n in range(3)]
    killed = Path(shutil.copytree(path, tmp_path / "killed"))
    store.close()
    plan = plan_of(killed, "retention")
    with Store.open(killed) as store:
        kept = after(shown(killed), plan, killed)
        assert store.compact(plan).outcome == "performed"
        assert shown(killed) == kept
        assert [store.get(one).payload for one in added] == [0, 1, 2]
        store.append(STRUCK, "shop", KIND, "later")
        again = Path(shutil.copytree(killed, tmp_path / "again"))
    assert shown(again)[: len(kept)] == kept
    assert_settles(again, shown(again))


def test_everything_can_be_appended_to_the_segment_that_follows(tmp_path: Path) -> None:
    """The one that was being written is sealed; each way to append begins another."""
    path = tmp_path / "store"
    with Store.open(path) as store:
        store.append("order:1", "shop", KIND, 0)
    with Store.open(path) as store:
        for number in range(4):
            store.compact(store.plan_compaction(min_segments=1))
            store.sync()
            if number == 0:
                store.append_frame(
                    pa.table({"order": ["order:1", "order:2"], "n": [1, 2]}), entity="order", scope="s", kind=KIND
                )
            elif number == 1:
                store.append_batch([bp.BatchItem("order:3", "s", KIND, n) for n in range(2)])
            elif number == 2:
                with store.begin_fence() as fence:
                    fence.submit("order:4", "s", KIND, 1)
            assert store.last_sequence is not None and store.durable_sequence is not None
        rows = shown(path)
        assert [number for _, number, _ in rows] == list(range(len(rows))) and len(rows) == 9
    assert_settles(path, shown(path))
    dropped = Store.open(path)
    dropped.compact(dropped.plan_compaction(min_segments=1))
    dropped.drop()
    assert_settles(path, shown(path))


def test_kinds_that_a_footer_would_change_cost_the_numbers_and_never_what_is_hidden(tmp_path: Path) -> None:
    """0.9.0 reads an unknown reserved kind from a frame as it is, and from a footer as another: no footer then."""
    odd = replace(make_event(1), kind=bp.EventKind(0x0123))
    segments = [
        Segment(1, [make_event(0), odd], footer=False),
        Segment(2, [make_event(2), make_event(3)], first_sequence=7),
        Segment(3, [make_event(4)], first_sequence=9),
    ]
    path = write_store(tmp_path / "store", segments)
    with Store.open(path) as store:
        plan = store.plan_compaction()
        assert plan.summary().sequences_renumbered
        report = store.compact(plan)
        assert report.outcome == "performed"
        assert [entry.global_sequence for entry in store.query(bp.Region())][:5] == [0, 1, 2, 3, 4]
    assert [number for _, number, _ in shown(path)][:5] == [0, 1, 2, 3, 4]
    path = write_store(tmp_path / "hidden", segments)
    (path / VISIBILITY_NAME).write_bytes(hiding(8, 9))
    with Store.open(path) as store:
        before = shown(path)
        with pytest.raises(CompactionPlanError, match="cancelled events would be shown"):
            store.compact(store.plan_compaction())
        assert shown(path) == before


def hiding(start: int, stop: int) -> bytes:
    return visibility.encode(HiddenRanges(((start, stop),), {}))
