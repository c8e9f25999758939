"""States and reports of projections are those of the reference, to the byte of the report's hash.

Where they differ, the reference is wrong by its own rules (trap T-6), and the test shows it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.engine.snapshot import Snapshot
from batpak_analytics.errors import PayloadEncryptedError, ProjectionRunError, ProjectionStateError
from batpak_analytics.evidence.canonical import Unavailable
from batpak_analytics.format.layout import VISIBILITY_NAME
from batpak_analytics.format.sidecars import visibility
from batpak_analytics.format.sidecars.projection_cache import decode
from batpak_analytics.format.sidecars.visibility import HiddenRanges
from batpak_analytics.projection.plan import Plan
from batpak_analytics.projection.project import STATE_NOT_ENCODABLE
from tests.interop.folds import ALL, Bounded, Count, Last, Order, Sum, Theirs, Unmeasured, asked
from tests.interop.oracle import Oracle, OracleFailed, copy_store
from tests.interop.test_queries_against_reference import FIXTURES, agrees, written
from tests.interop.test_random_stores import Written
from tests.interop.test_same_bytes import CLOCK_US, as_item, make_script

__all__ = ["written"]
LONG = 3_600_000


def evidence(source: Any, projection: Theirs, entity: str, **options: Any) -> Any:
    """The report of a run, also of one that failed."""
    try:
        return source.project_run(projection, entity, **options)[1]
    except ProjectionRunError as error:
        return error.report


def is_sealed(source: Any, projection: Theirs, entity: str) -> bool:
    """Whether only the reference, which has the keys, can tell the state."""
    try:
        source.project_run(projection, entity)
    except ProjectionRunError as error:
        return isinstance(error.__cause__, PayloadEncryptedError)
    return False


def compare(oracle: Oracle, path: Path, scratch: Path) -> Counter[str]:
    """Every projection of every entity; how many reports were compared, by how fresh they were."""
    compared: Counter[str] = Counter()
    with bp.open_reader(path) as reader:
        entities = sorted({entry.entity for entry in reader.query()} - {"batpak:store"})
        runs = [(one, entity) for entity in [*entities, "nobody"] for one in ALL]
        theirs = oracle.project(copy_store(path, scratch), [asked(*run) for run in runs])
        for (one, entity), their in zip(runs, theirs, strict=True):
            if is_sealed(reader, one, entity):
                continue
            ours = evidence(reader, one, entity)
            if ours.body.output_hash == Unavailable(STATE_NOT_ENCODABLE):
                compared["too deep"] += 1  # a payload of 1023 levels, inside a state
                continue
            assert ours.body_hash == their["body_hash"], (path.name, one.id, entity, ours.body, their)
            compared[type(ours.body.observed_freshness).__name__] += 1
            compared["not on one lane"] += len({entry.position.lane for entry in reader.stream(entity)}) > 1
    return compared


@pytest.mark.filterwarnings("ignore:.*have lost their key")
@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.name)
def test_reports_on_fixtures_have_the_hashes_of_the_reference(oracle: Oracle, path: Path, tmp_path: Path) -> None:
    assert compare(oracle, path, tmp_path / "copy").total() > 0


@pytest.mark.filterwarnings("ignore:.*have lost their key")
def test_reports_on_random_stores_have_the_hashes_of_the_reference(
    oracle: Oracle, written: Written, tmp_path: Path
) -> None:
    """Hidden, compacted, crashed and encrypted stores among them. What both engines see differently is left out."""
    compared: Counter[str] = Counter()
    for store in written.stores:
        if store.refusal is None and agrees(store.path, store.rows()):
            try:
                compared += compare(oracle, store.path, tmp_path / store.path.name)
            except OracleFailed:  # it opens that store for reading only
                compared["refused"] += 1
    assert compared["Fresh"] > 500 and compared["NotApplicable"] > 100 and compared["Unavailable"] > 10, compared
    assert compared["not on one lane"] > 100 and compared["refused"] < 10 and compared["too deep"] < 10, compared


def test_events_hidden_on_their_lane_alone_are_folded_by_neither(
    oracle: Oracle, tmp_path: Path, fixture_stores: Path
) -> None:
    """An event is judged by the view of its own lane (engine-read 8.2); queries over all lanes show it."""
    path = copy_store(fixture_stores / "lanes", tmp_path / "store")
    with bp.open_reader(path) as reader:
        shown = {entry.entity: len(reader.stream(entry.entity)) for entry in reader.query()}
    hidden = HiddenRanges(((20, 24),), {0: ((30, 45),), 1: ((0, 60),), 7: ((0, 200),)})
    (path / VISIBILITY_NAME).write_bytes(visibility.encode(hidden))
    assert compare(oracle, path, tmp_path / "copy")["Fresh"] > 20
    with bp.open_reader(path) as reader:
        planned = sum(len(Plan.of(Snapshot.of_view(reader.view), entity)) for entity in shown)
        assert planned < sum(len(reader.stream(entity)) for entity in shown) < sum(shown.values())


@pytest.mark.filterwarnings("ignore:.*have lost their key")
def test_shredded_events_among_others_are_left_out_by_both(
    oracle: Oracle, tmp_path: Path, fixture_stores: Path
) -> None:
    path = copy_store(fixture_stores / "encrypted", tmp_path / "store")
    with bp.Store.open(path, config=bp.StoreConfig(allow_plaintext=True)) as store:
        for number in range(3):
            store.append("order:3", "shop", 0x1001, number)
        ours = [evidence(store, one, "order:3") for one in ALL]
        assert store.project(Count(), "order:3") == Count.State(3)
    theirs = oracle.project(path, [asked(one, "order:3") for one in ALL])
    assert [one.body_hash for one in ours] == [one["body_hash"] for one in theirs]
    assert ours[0].diagnostics and "10 events" in ours[0].diagnostics[0]


def item(key: int, lane: int, *, entity: str = "a", payload: Any = 1) -> dict[str, Any]:
    """One append, as both engines take it."""
    return {
        "entity": entity, "scope": "s", "kind": 0x1001, "payload": payload, "key": f"{key:032x}", "lane": lane,
        "depth": 0, "branch_root": False, "flags": 0, "correlation": None, "cause": None, "prior": None,
        "extensions": {},
    }  # fmt: skip


def course(path: Path, lines: Sequence[Any], cache: Any = None) -> list[Any]:
    """What `project` of the oracle does, by this engine: the report of each run."""
    told = []
    with bp.Store.open(path, config=bp.StoreConfig(clock=lambda: CLOCK_US)) as store:
        for line in lines:
            if isinstance(line, dict) and "run" in line:
                run = line["run"]
                (one,) = (one for one in (*ALL, Bounded(), Unmeasured()) if type(one).__name__ == run["projection"])
                age = run["max_stale_ms"]
                freshness: Any = "consistent" if age is None else bp.MaybeStale(age)
                told.append(evidence(store, one, run["entity"], freshness=freshness, cache=cache))
            elif line == "sync":
                store.sync()
            else:
                store.append_batch([as_item(given) for given in line.get("batch", [line.get("append")])])
    return told


@pytest.mark.parametrize("seed", range(12))
def test_a_random_course_within_one_millisecond_gives_equal_reports(oracle: Oracle, tmp_path: Path, seed: int) -> None:
    """Many lanes, and nothing but clocks and ids to tell the order by."""
    chance = random.Random(seed)
    lines: list[Any] = []
    for step in make_script(seed, CLOCK_US)["steps"]:
        given = step if step == "sync" else step.get("batch", [step.get("append")])
        lines.append(step)
        if given != "sync":
            lines += [asked(one, given[0]["entity"]) for one in ALL if chance.random() < 0.5]
    theirs = oracle.project(tmp_path / "theirs", lines, clock_us=CLOCK_US)
    ours = course(tmp_path / "ours", lines)
    assert [one.body_hash for one in ours] == [one["body_hash"] for one in theirs]
    assert len(ours) > 20


@pytest.mark.parametrize("incremental", [0, 1])
def test_a_cache_is_hit_missed_and_stale_as_in_the_reference(oracle: Oracle, tmp_path: Path, incremental: int) -> None:
    """On one lane, where its watermark can be trusted. With incremental application, what was cached counts as hit."""
    lines: list[Any] = [asked(Order(), "a")]
    for key in range(1, 4):
        lines += [{"append": item(key, 0, payload=key)}, *(asked(one, "a", age) for age in (LONG, None) for one in ALL)]
        lines += [{"append": item(100 + key, 0, entity="b")}, *(asked(one, "a") for one in ALL), asked(Count(), "b")]
    cache = tmp_path / "cache"
    theirs = oracle.project(tmp_path / "theirs", lines, clock_us=CLOCK_US, cache=cache, incremental=incremental)
    for one in ALL:
        one.__dict__["incremental"] = bool(incremental)
    ours = course(tmp_path / "ours", lines, bp.DirectoryCache(tmp_path / "states"))
    assert [one.body_hash for one in ours] == [one["body_hash"] for one in theirs]
    seen = Counter((type(one.body.cache_status).__name__, type(one.body.observed_freshness).__name__) for one in ours)
    assert set(seen) == {("Bypassed", "NotApplicable"), ("Miss", "Fresh"), ("Hit", "Fresh"), ("Hit", "StaleAllowed")}


def test_what_the_reference_misses_or_misplaces_on_several_lanes_is_right_here(oracle: Oracle, tmp_path: Path) -> None:
    """Trap T-6: an event of another lane that sorts before the last one leaves its watermark as it was."""
    lines: list[Any] = [{"append": item(key, lane)} for key, lane in [(1, 0), (0xFF, 1), (0xAA, 0)]]
    lines += [asked(Order(), "a"), {"append": item(2, 1)}, asked(Order(), "a")]
    lines += [{"append": item(0xBB, 0)}, asked(Order(), "a")]
    plain = oracle.project(tmp_path / "plain", lines, clock_us=CLOCK_US)
    cached = oracle.project(tmp_path / "theirs", lines, clock_us=CLOCK_US, cache=tmp_path / "cache", incremental=1)
    order = [[event_id[-2:] for event_id in one["state"]["ids"]] for one in (*plain, *cached)]
    right = [["01", "ff", "aa"], ["01", "ff", "02", "aa"], ["01", "ff", "02", "aa", "bb"]]
    assert order == [*right, right[0], right[0], ["01", "ff", "aa", "02", "bb"]]
    ours = course(tmp_path / "ours", lines, bp.MemoryCache())
    hashes = [list(one.body.output_hash.value) for one in ours]
    assert hashes == [one["body"]["output_hash"]["Known"] for one in plain]


def test_fused_states_are_those_of_the_reference(oracle: Oracle, tmp_path: Path, fixture_stores: Path) -> None:
    with bp.open_reader(fixture_stores / "lanes") as reader:
        entities = sorted({entry.entity for entry in reader.query()} - {"batpak:store"})
        fused = [Count(), Sum(), Order()]
        theirs = oracle.project(
            copy_store(fixture_stores / "lanes", tmp_path / "copy"),
            [{"fused": {"entity": entity}} for entity in entities],
        )
        told = 0
        for entity, their in zip(entities, theirs, strict=True):
            if isinstance(their, dict):  # a payload that is no JSON
                with pytest.raises(bp.BatpakError):
                    reader.project_fused(fused, entity)
                continue
            ours = [state if state is None else state.__dict__ for state in reader.project_fused(fused, entity)]
            assert ours == their
            told += 1
    assert told > 5


@pytest.mark.parametrize("projection", [Bounded(), Unmeasured()])
def test_a_broken_state_contract_gives_the_report_of_the_reference(
    oracle: Oracle, tmp_path: Path, projection: Theirs
) -> None:
    lines: list[Any] = [asked(projection, "a")]
    for key in range(1, 5):
        lines += [{"append": item(key, 0)}, asked(projection, "a")]
    theirs = oracle.project(tmp_path / "theirs", lines, clock_us=CLOCK_US)
    assert [one.body_hash for one in course(tmp_path / "ours", lines)] == [one["body_hash"] for one in theirs]
    assert theirs[-1]["error"]
    with (
        bp.open_reader(tmp_path / "theirs") as reader,
        pytest.raises(ProjectionRunError) as caught,
    ):
        reader.project_run(projection, "a")
    assert isinstance(caught.value.__cause__, ProjectionStateError)


@pytest.mark.parametrize("strategy", ["merge", "retention", "tombstone"])
def test_cached_states_follow_a_compaction(oracle: Oracle, tmp_path: Path, strategy: str) -> None:
    """It renumbers events, drops them, or gives them another kind (T-1): a cached state is then made anew."""
    path, cache = tmp_path / "store", bp.MemoryCache()
    oracle.write("segments", path, events=150, segment_bytes=6_000)
    with bp.open_reader(path) as reader:
        before = {entry.entity for entry in reader.query()} - {"batpak:store"}
        struck = max(sorted(before), key=lambda entity: len(reader.stream(entity)))
        for entity in before:
            for one in (Order(), Count(), Last(), Sum()):
                reader.project(one, entity, cache=cache)
    oracle.compact(path, strategy, strike=struck)
    with bp.open_reader(path) as reader:
        for entity in before:
            for one in (Order(), Count(), Last(), Sum()):
                for freshness in ("consistent", bp.MaybeStale(LONG)):
                    plain = reader.project(one, entity)
                    assert reader.project(one, entity, freshness=freshness, cache=cache) == plain
        assert strategy != "retention" or reader.project(Count(), struck) != Count.State(150)
        theirs = oracle.project(copy_store(path, tmp_path / "copy"), [asked(Order(), entity) for entity in before])
        ours = [evidence(reader, Order(), entity).body_hash for entity in before]
        assert ours == [one["body_hash"] for one in theirs]


def test_files_of_the_reference_are_read_and_not_taken_for_ours(oracle: Oracle, tmp_path: Path) -> None:
    lines = [{"append": item(1, 0, payload=3)}, asked(Last(), "a")]
    oracle.project(tmp_path / "store", lines, clock_us=CLOCK_US, cache=tmp_path / "cache")
    (path,) = (tmp_path / "cache").rglob("*.bin")
    body, trailer = decode(path.read_bytes())
    assert (body, trailer.watermark, trailer.cached_at_us) == (b'{"value":3}', 1, CLOCK_US)
    assert path.parent.name == path.name[:2] and path.stem.startswith(b"a\0".hex())
    cache = bp.DirectoryCache(tmp_path / "cache")
    with bp.open_reader(tmp_path / "store") as reader:
        assert reader.project(Last(), "a", cache=cache) == Last.State(3)
    ours = [one for one in (tmp_path / "cache").rglob("*.bin") if one != path]
    assert len(ours) == 1 and path.exists()
    ours[0].write_bytes(path.read_bytes())
    with bp.open_reader(tmp_path / "store") as reader:
        state, told = reader.project_run(Last(), "a", cache=cache)
        assert (state, str(told.body.cache_status)) == (Last.State(3), "Miss()")


def test_generations_change_when_those_of_the_reference_do(oracle: Oracle, tmp_path: Path) -> None:
    lines: list[Any] = []
    for key, entity in enumerate("aabab", 1):
        lines += [{"append": item(key, key % 2, entity=entity)}, asked(Count(), "a")]
    theirs = [one["generation"] for one in oracle.project(tmp_path / "theirs", lines, clock_us=CLOCK_US)]
    ours = []
    with bp.Store.open(tmp_path / "ours") as store:
        for line in lines[::2]:
            store.append_batch([as_item(line["append"])])
            ours.append(store.entity_generation("a"))
    pairs = [(left, right) for right in range(5) for left in range(right)]
    assert [ours[left] == ours[right] for left, right in pairs] == [theirs[a] == theirs[b] for a, b in pairs]
