"""Every number of a summary is counted: held against the output itself, and against a count by hand."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.compaction.output import layout_of
from batpak_analytics.compaction.plan import CompactionPlan, Strategy
from batpak_analytics.engine.recovery import scan_frames
from batpak_analytics.format.layout import KIND_BATCH_BEGIN, KIND_BATCH_COMMIT
from batpak_analytics.format.sidecars import cursor, visibility
from batpak_analytics.format.sidecars.cursor import CursorCheckpoint
from batpak_analytics.format.sidecars.visibility import HiddenRanges
from batpak_analytics.model import Event, EventKind
from tests.compaction import brute_force
from tests.compaction.stores import ENTITIES, rows_of, write_random
from tests.engine.building import EPOCH_US, Segment, begin, commit, make_event, write_store

keep = bp.keep
SEEDS = range(1, 7)
RULES: list[tuple[Strategy, Any]] = [
    ("merge", None),
    ("retention", keep.last_n_per_entity(3)),
    ("retention", keep.kinds(0x1001)),
    ("retention", keep.not_(keep.entities("order:2"))),
    ("retention", keep.newer_than(60)),
    ("retention", keep.kinds()),
    ("tombstone", keep.last_n_per_entity(3)),
]


@pytest.fixture(scope="module", params=SEEDS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("store") / "s", request.param, sessions=request.param % 3 + 1)


def performed(plan: CompactionPlan, store: Path, to: Path) -> Path:
    """The store as the plan leaves it, put together by hand; not safe against crashes."""
    shutil.copytree(store, to)
    layout = layout_of(plan, bp.open_reader(store).view)
    for name in [*(one.name for one in plan.sources), "index.fbati", "index.ckpt"]:
        (to / name).unlink(missing_ok=True)
    with open(to / layout.name, "wb") as out:
        out.writelines(layout.pieces(time.time_ns()))
    return to


def segment_bytes(store: Path) -> int:
    return sum(path.stat().st_size for path in store.glob("*.fbat"))


@pytest.mark.parametrize(("strategy", "rule"), RULES)
def test_every_number_is_what_the_output_then_shows(
    written: Path, strategy: Strategy, rule: Any, tmp_path: Path
) -> None:
    reader = bp.open_reader(written)
    plan = reader.plan_compaction(strategy, rule)
    numbers = plan.summary()
    new = performed(plan, written, tmp_path / "new")
    after = bp.open_reader(new)
    assert [one for one in after.check() if one.severity != "info"] == []
    assert numbers.bytes_before == segment_bytes(written)
    assert numbers.bytes_after == segment_bytes(new)
    assert numbers.bytes_net == segment_bytes(new) - segment_bytes(written)
    assert numbers.bytes_gross == sum(one.size_bytes for one in plan.sources)
    assert numbers.segments_before == len(list(written.glob("*.fbat")))
    assert numbers.segments_after == len(list(new.glob("*.fbat")))
    old, now = rows_of(reader), rows_of(after)
    sealed = [row for row in old if row.sealed]
    assert numbers.events_kept + numbers.events_dropped + numbers.events_tombstoned == len(sealed)
    assert len(old) - len(now) == numbers.events_dropped
    assert numbers.events_tombstoned == sum(row.kind == 0x0FFE for row in now)
    listed = {bytes.fromhex(name) for name in plan.events()["event_id"]}
    fate = {"merge": "", "retention": "dropped", "tombstone": "tombstoned"}[strategy]
    assert set(plan.events()["fate"].astype(str)) <= {fate}
    if strategy == "retention":
        expected = [row for row in old if row.id not in listed]
    else:
        expected = [replace(row, kind=0x0FFE, length=0) if row.id in listed else row for row in old]
    same = [replace(row, length=0) if row.kind == 0x0FFE else row for row in now]
    assert [replace(row, sealed=False) for row in same] == [replace(row, sealed=False) for row in expected]
    assert (numbers.sequences_renumbered, numbers.hidden_ranges_stale, numbers.cursors_stale) == (0, 0, 0)


@pytest.mark.parametrize(("strategy", "rule"), RULES)
def test_what_is_lost_is_what_a_count_by_hand_finds(written: Path, strategy: Strategy, rule: Any) -> None:
    reader = bp.open_reader(written)
    plan = reader.plan_compaction(strategy, rule)
    rows = rows_of(reader)
    listed = {bytes.fromhex(name) for name in plan.events()["event_id"]}
    expected = brute_force.effects(rows, [strategy == "retention" and row.id in listed for row in rows])
    assert {name: getattr(plan.summary(), name) for name in expected} == expected
    told = plan.findings()["rule"].value_counts()
    for finding, number in (
        ("link-broken", "links_broken"), ("link-ambiguous", "links_ambiguous"), ("cause-dangling", "dangling_causes"),
        ("head-dropped", "heads_dropped"), ("entity-emptied", "entities_emptied"),
    ):  # fmt: skip
        assert told.get(finding, 0) == expected[number]
    by_entity = plan.entities().set_index("entity")
    for name in ("links_broken", "links_ambiguous", "dangling_causes", "heads_dropped"):
        assert by_entity[name].sum() == expected[name]
    assert by_entity["emptied"].sum() == expected["entities_emptied"]
    assert by_entity["events_before"].sum() == sum(row.visible for row in rows)
    segments = plan.segments()
    assert segments["kept"].sum() + segments["dropped"].sum() + segments["tombstoned"].sum() == len(rows)
    assert segments["dropped"].sum() == plan.summary().events_dropped


def test_the_chains_of_the_output_miss_the_parents_that_were_named(written: Path, tmp_path: Path) -> None:
    reader = bp.open_reader(written)
    plan = reader.plan_compaction("retention", keep.kinds(0x1001, 0xF001))
    new = bp.open_reader(performed(plan, written, tmp_path / "new"))
    before, after = (one.chains().to_pandas().set_index("event_id")["link"].astype(str) for one in (reader, new))
    gaps = ("parent_missing", "ambiguous")
    lost = {name for name, link in after.items() if link in gaps and before[name] not in gaps}
    found = plan.findings()
    assert lost == set(found[found["rule"].isin(["link-broken", "link-ambiguous"])]["event_id"])


def test_dangling_causes_of_the_output_are_those_that_were_named(written: Path, tmp_path: Path) -> None:
    reader = bp.open_reader(written)
    plan = reader.plan_compaction("retention", keep.kinds(0x1001, 0xF001))
    new = bp.open_reader(performed(plan, written, tmp_path / "new"))
    ids = set(new.events(system=True, columns=["event_id"]).to_pandas()["event_id"])
    old = set(reader.events(system=True, columns=["event_id"]).to_pandas()["event_id"])
    rows = new.events(system=True, columns=["event_id", "causation_id"]).to_pandas().dropna()
    dangling = {row.event_id for row in rows.itertuples() if row.causation_id in old - ids}
    found = plan.findings()
    found = found[found["rule"] == "cause-dangling"]
    assert dangling == set(found["event_id"])
    assert set(found["related_id"]) <= old - ids


class Total:
    """Sums a field; asked for two kinds."""

    kinds = (0x1001, 0x1002)

    def initial(self) -> int:
        return 0

    def apply(self, state: int, event: Any) -> int:
        return state + int(event.payload["n"])


class Seen:
    """Collects the kinds of everything, tombstones too."""

    def initial(self) -> list[int]:
        return []

    def apply(self, state: list[int], event: Any) -> list[int]:
        return [*state, int(event.kind)]


@pytest.mark.parametrize(("strategy", "rule"), RULES)
def test_states_change_where_folding_the_output_gives_others(
    written: Path, strategy: Strategy, rule: Any, tmp_path: Path
) -> None:
    reader = bp.open_reader(written)
    asked: list[Any] = [Total(), Seen()]
    plan = reader.plan_compaction(strategy, rule, projections=asked)
    new = bp.open_reader(performed(plan, written, tmp_path / "new"))
    changed = set()
    for one in asked:
        for entity in (*ENTITIES, "batpak:store"):
            if folded(reader, one, entity) != folded(new, one, entity):
                changed.add((type(one).__name__, entity))
    assert plan.summary().states_changed == len(changed)
    assert {(one.projection, one.entity) for one in plan.effects.states} == changed
    states = plan.states()
    assert {(row.projection, row.entity) for row in states.itertuples()} == changed
    assert states["delta"].abs().dropna().is_monotonic_decreasing
    for row in states.to_dict("records"):
        assert row["before"] != row["after"]
        assert row["before"] == folded(reader, Total() if row["projection"] == "Total" else Seen(), row["entity"])
    found = plan.findings()
    assert sorted(found[found["rule"] == "state-changed"]["entity"]) == sorted(entity for _, entity in changed)
    assert plan.entities()["states_changed"].sum() == len(changed)


def folded(reader: bp.Reader, projection: Any, entity: str) -> Any:
    state = projection.initial()
    for entry in sorted(reader.stream(entity), key=lambda one: one.global_sequence):
        if getattr(projection, "kinds", None) is None or entry.kind in projection.kinds:
            state = projection.apply(state, reader.get(entry.event_id))
    return state


def test_a_projection_of_one_entity_is_folded_for_that_one_alone(written: Path) -> None:
    class One(Seen):
        entity = "order:1"

    plan = bp.open_reader(written).plan_compaction("retention", keep.kinds(), projections=[One()])
    assert {one.entity for one in plan.effects.states} <= {"order:1"}
    with pytest.raises(bp.CompactionPlanError, match="without projections"):
        bp.open_reader(written).plan_compaction("retention", keep.kinds()).states()
    with pytest.raises(TypeError, match="is no projection"):
        bp.open_reader(written).plan_compaction("retention", keep.kinds(), projections=[7])


def test_a_projection_of_a_registered_class_gets_its_instances(tmp_path: Path) -> None:
    registry = bp.PayloadRegistry()

    @registry.event_payload(category=1, type_id=1)
    @dataclass
    class Paid:
        cents: int

    class Sum:
        kinds = Paid

        def __init__(self) -> None:
            self.registry = registry

        def initial(self) -> int:
            return 0

        def apply(self, state: int, event: Any) -> int:
            assert isinstance(event.payload, Paid)
            return state + event.payload.cents

    for cents in (5, 0, 7):
        with bp.Store.open(tmp_path / "s", config=bp.StoreConfig(payloads=registry)) as store:
            store.append_typed("order:1", "shop", Paid(cents))
    plan = bp.open_reader(tmp_path / "s").plan_compaction("retention", keep.last_n_per_entity(2), projections=[Sum()])
    assert [(one.before, one.after) for one in plan.effects.states] == [(12, 7)]


def test_the_second_copy_of_an_event_does_not_come_to_light_where_the_first_goes(tmp_path: Path) -> None:
    first = Segment(1, [make_event(n) for n in range(3)])
    again = Segment(2, [make_event(n) for n in range(3)], first_sequence=3)
    store = write_store(tmp_path / "s", [first, again, Segment(3, [make_event(9)], first_sequence=6)])
    plan = bp.open_reader(store).plan_compaction("retention", lambda event: event.global_sequence < 3)
    assert plan.summary().events_dropped == 6
    new = bp.open_reader(performed(plan, store, tmp_path / "new"))
    assert [row.clock for row in rows_of(new)] == [9]


def test_keys_of_dropped_events_stay_and_are_counted(tmp_path: Path) -> None:
    for session in range(3):
        with bp.Store.open(tmp_path / "s") as store:
            for n in range(4):
                key = 100 * session + n + 1
                store.append(f"entity:{n}", "shop", 0x1001, {"n": n}, idempotency_key=key)
    plan = bp.open_reader(tmp_path / "s").plan_compaction("retention", keep.entities("entity:1"))
    assert plan.summary().idempotency_keys_kept == plan.summary().events_dropped == 6
    (tmp_path / "s" / "index.idemp").write_bytes(b"damaged")  # which counts as none, as in the reference
    plan = bp.open_reader(tmp_path / "s").plan_compaction("retention", keep.entities("entity:1"))
    assert plan.summary().idempotency_keys_kept == 0


def batched(at: int, first: int, count: int, *, end: bool = True) -> list[Event]:
    """Events `first` on as a batch, with its COMMIT or without."""
    stamp = EPOCH_US + at
    items = [make_event(n, at_us=stamp) for n in range(first, first + count)]
    return [begin(first, count, at_us=stamp + 1), *items, *([commit(first, at_us=stamp + 2)] if end else [])]


@pytest.mark.parametrize("strategy", ["merge", "retention", "tombstone"])
@pytest.mark.parametrize("footer", [True, False])
def test_items_of_a_batch_that_never_was_are_not_raised_from_the_dead(
    tmp_path: Path, strategy: Strategy, footer: bool
) -> None:
    """Trap T-9: 0.9.0 makes events of them, or lets them swallow those that follow."""
    first = Segment(1, [make_event(0), *batched(9, 10, 3, end=False)], footer=False)
    second = Segment(2, [make_event(1), *batched(99, 20, 2), make_event(2)], footer=footer, first_sequence=1)
    last = Segment(3, [make_event(3)], first_sequence=5)
    store = write_store(tmp_path / "s", [first, second, last])
    reader = bp.open_reader(store)
    plan = reader.plan_compaction(strategy, None if strategy == "merge" else keep.newer_than(0))
    assert plan.outcome == "ready"
    assert plan.summary().uncommitted_left_out == 3
    (segment, *_) = plan.segments()["uncommitted"].tolist()
    assert segment == 3
    new = performed(plan, store, tmp_path / "new")
    shown = [row.clock for row in rows_of(bp.open_reader(new))]
    expected = [row.clock for row in rows_of(reader)]
    assert sorted(expected) == [0, 1, 2, 3, 20, 21]
    assert shown == (expected if strategy != "retention" else [one for one in expected if one != 0])
    output = bp.open_reader(new).view.segments[0]
    frames = scan_frames(output.file, output.frames_start, output.frames_end).frames
    markers = [kind for kind in frames["kind"].tolist() if kind in (KIND_BATCH_BEGIN, KIND_BATCH_COMMIT)]
    assert markers == ([KIND_BATCH_BEGIN, KIND_BATCH_COMMIT] if strategy == "merge" else [])


@pytest.mark.parametrize("items", [2, 4])
def test_a_batch_at_the_very_end_leaves_its_markers_so_that_the_footer_is_believed(tmp_path: Path, items: int) -> None:
    middle, end = batched(9, 10, 2), batched(99, 20, items)
    store = write_store(
        tmp_path / "s",
        [
            Segment(1, [make_event(0), *middle, *end[:3]], footer=False),
            Segment(2, end[3:], footer=False),
            Segment(3, [make_event(2)], footer=False),
        ],
    )
    plan = bp.open_reader(store).plan_compaction()
    new = bp.open_reader(performed(plan, store, tmp_path / "new"))
    output = new.view.segments[0]
    assert int(output.rows["offset"][-1] + output.rows["length"][-1]) == output.frames_end
    frames = scan_frames(output.file, output.frames_start, output.frames_end).frames
    assert frames["kind"].tolist().count(KIND_BATCH_COMMIT) == 1
    assert rows_of(new)[: items + 3] == [
        replace(row, sealed=True) for row in rows_of(bp.open_reader(store))[: items + 3]
    ]


class Footed(Segment):
    """Its footer lists no items of a batch without COMMIT, as a writer leaves them that goes on after a failure."""

    def _rows(self) -> Any:
        rows, strings = super()._rows()
        return rows[rows["clock"] < 10], strings


def test_items_behind_a_footer_stay_dead_too(tmp_path: Path) -> None:
    first = Footed(1, [make_event(0), *batched(9, 10, 2, end=False), make_event(1)])
    store = write_store(
        tmp_path / "s", [first, Segment(2, [make_event(2)], first_sequence=9), Segment(3, [], first_sequence=10)]
    )
    for strategy in ("merge", "retention", "tombstone"):
        plan = bp.open_reader(store).plan_compaction(strategy, None if strategy == "merge" else keep.newer_than(0))
        assert plan.summary().uncommitted_left_out == 2
        new = bp.open_reader(performed(plan, store, tmp_path / strategy))
        assert [row.clock for row in rows_of(new)] == [0, 1, 2][strategy == "retention" :]


def test_a_batch_over_two_segments_is_whole_after_a_merge(tmp_path: Path) -> None:
    whole = batched(9, 10, 4)
    store = write_store(
        tmp_path / "s",
        [
            Segment(1, [make_event(0), *whole[:3]], footer=False),
            Segment(2, [*whole[3:], make_event(1)], footer=False),
            Segment(3, [make_event(2)], footer=False),
        ],
    )
    reader = bp.open_reader(store)
    plan = reader.plan_compaction()
    new = bp.open_reader(performed(plan, store, tmp_path / "new"))
    assert [row.clock for row in rows_of(new)] == [row.clock for row in rows_of(reader)] == [0, 10, 11, 12, 13, 1, 2]
    frames = scan_frames(new.view.segments[0].file, new.view.segments[0].frames_start, new.view.segments[0].frames_end)
    assert frames.frames["kind"].tolist().count(KIND_BATCH_COMMIT) == 1


def with_kind(number: int, kind: int) -> Event:
    return replace(make_event(number), kind=EventKind(kind))


def test_a_kind_that_a_footer_cannot_hold_costs_the_footer_and_the_numbers_are_told(tmp_path: Path) -> None:
    """The reference reads an unknown reserved kind from a footer as DATA."""
    events = [make_event(0), with_kind(1, 0x0123), make_event(2, entity="gone"), make_event(3)]
    store = write_store(
        tmp_path / "s",
        [
            Segment(1, events, footer=False),
            Segment(2, [make_event(4)], first_sequence=10),
            Segment(3, [make_event(5)], first_sequence=11),
        ],
    )
    hidden = HiddenRanges(((20, 21),), {})
    (store / "visibility_ranges.fbv").write_bytes(visibility.encode(hidden))
    (store / "cursors").mkdir()
    for name, position in (("low", 0), ("high", 11)):
        (store / "cursors" / f"{name}.ckpt").write_bytes(cursor.encode(CursorCheckpoint(position, True)))
    plan = bp.open_reader(store).plan_compaction("retention", keep.not_(keep.entities("gone")))
    new = performed(plan, store, tmp_path / "new")
    assert bp.open_reader(new).view.segments[0].footer_state == "absent"
    before = {row.id: row.sequence for row in rows_of(bp.open_reader(store))}
    after = {row.id: row.sequence for row in rows_of(bp.open_reader(new))}
    moved = sum(before[name] != number for name, number in after.items())
    assert plan.summary().sequences_renumbered == moved == 2
    assert plan.summary().hidden_ranges_stale == 1
    assert plan.summary().cursors_stale == 1
    assert plan.summary().bytes_after == segment_bytes(new)
    kept = bp.open_reader(store).plan_compaction("retention", keep.not_(keep.kinds(0x0123)), system=True)
    assert kept.summary().sequences_renumbered == 3


def test_tombstones_can_be_dropped_for_good(fixture_stores: Path, tmp_path: Path) -> None:
    store = fixture_stores / "tombstone"
    reader = bp.open_reader(store)
    plan = reader.plan_compaction("retention", ~keep.kinds(0x0FFE), min_segments=1, system=True)
    marked = [row for row in rows_of(reader) if row.sealed and row.kind == 0x0FFE]
    assert marked
    assert plan.summary().events_dropped == len(marked)
    assert not reader.plan_compaction("retention", ~keep.kinds(0x0FFE), min_segments=1).summary().events_dropped


def test_the_stores_own_events_stay_unless_asked_for(tmp_path: Path) -> None:
    """Trap T-33."""
    for _ in range(3):
        with bp.Store.open(tmp_path / "s") as store:
            store.append("order:1", "shop", 0x1001, {"n": 1})
    reader = bp.open_reader(tmp_path / "s")
    exempt = reader.plan_compaction("retention", keep.kinds())
    assert set(exempt.events()["entity"]) == {"order:1"}
    asked = reader.plan_compaction("retention", keep.kinds(), system=True)
    assert set(asked.events()["entity"]) == {"order:1", "batpak:store"}
    assert asked.summary().events_kept == 0
    assert asked.summary().bytes_after > 0
