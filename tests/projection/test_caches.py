"""Caches: what they hold is used while it holds, and is never worse than a fresh state where one was asked for."""

from __future__ import annotations

import shutil
import stat
import time
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.errors import ProjectionDeclarationError
from batpak_analytics.evidence.canonical import Unavailable
from batpak_analytics.evidence.projection_run import Bypassed, Fresh, Hit, Miss, NotApplicable, StaleAllowed
from batpak_analytics.format.sidecars.projection_cache import Trailer, decode, encode
from batpak_analytics.projection.declared import declared
from batpak_analytics.projection.protocol import fold_of
from tests.projection.states import KIND, OTHER, Ids, Objects, Order, Sum, append, at_one_time

LONG = bp.MaybeStale(3_600_000)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with at_one_time(tmp_path / "store") as opened:
        yield opened


@pytest.fixture(params=["memory", "directory"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return bp.MemoryCache() if request.param == "memory" else bp.DirectoryCache(tmp_path / "states" / "here")


def ran(store: Any, projection: Any, cache: Any, freshness: Any = "consistent", entity: str = "a") -> tuple[Any, ...]:
    """State, how fresh, what of the cache, and the sequence of the frontier."""
    state, evidence = store.project_run(projection, entity, freshness=freshness, cache=cache)
    body, plain = evidence.body, store.project(projection, entity)
    if freshness == "consistent":
        assert state == plain
    frontier = body.input_frontier and body.input_frontier.global_sequence
    return state, body.observed_freshness, body.cache_status, frontier


def test_miss_then_hit_then_what_was_appended(store: bp.Store, cache: Any) -> None:
    append(store, 1)
    assert ran(store, Sum(), cache) == ({"total": 1}, Fresh(), Miss(), 1)
    assert ran(store, Sum(), cache) == ({"total": 1}, Fresh(), Hit(), 1)
    append(store, 2)
    assert ran(store, Sum(), cache, LONG) == ({"total": 1}, StaleAllowed(), Hit(), 1)
    assert ran(store, Sum(), cache, bp.MaybeStale(0)) == ({"total": 2}, Fresh(), Miss(), 2)
    append(store, 3)
    assert ran(store, Sum(), cache) == ({"total": 3}, Fresh(), Miss(), 3)
    assert ran(store, Sum(), cache, LONG) == ({"total": 3}, Fresh(), Hit(), 3)


def test_an_incremental_one_reads_only_what_is_new(store: bp.Store, cache: Any) -> None:
    applied: list[Any] = []

    class Counted(Sum):
        def apply(self, state: dict[str, int], event: Any) -> dict[str, int]:
            applied.append(event.global_sequence)
            return super().apply(state, event)

    for number in range(1, 5):
        append(store, number)
    store.project(Counted(incremental=True), "a", cache=cache)
    append(store, 5)
    applied.clear()
    assert store.project(Counted(incremental=True), "a", cache=cache) == {"total": 5}
    assert applied == [5]
    assert ran(store, Sum(incremental=True), cache) == ({"total": 5}, Fresh(), Hit(), 5)


@pytest.mark.parametrize("incremental", [False, True])
def test_events_of_another_lane_that_sort_before_the_last_are_not_missed(
    store: bp.Store, cache: Any, incremental: bool
) -> None:
    """Trap T-6: the last event in the order of the replay stays the same, and so does the reference's watermark."""
    order = Order(incremental=incremental)
    for number, lane in [(1, 0), (0xFF, 1), (0xAA, 0)]:
        append(store, number, lane=lane)
    assert ran(store, order, cache)[0] == ["0001", "00ff", "00aa"]
    append(store, 2, lane=1)
    assert ran(store, order, cache) == (["0001", "00ff", "0002", "00aa"], Fresh(), Miss(), 3)
    append(store, 0xBB, lane=0)
    hit = Hit() if incremental else Miss()
    assert ran(store, order, cache) == (["0001", "00ff", "0002", "00aa", "00bb"], Fresh(), hit, 5)


def test_a_stale_state_is_one_that_once_was_right(store: bp.Store, cache: Any) -> None:
    """Where the cached events are no longer the first of the replay, even a stale request gets the state of now."""
    for number, lane in [(1, 0), (0xFF, 1), (0xAA, 0)]:
        append(store, number, lane=lane)
    store.project(Order(), "a", cache=cache)
    append(store, 2, lane=1)
    assert ran(store, Order(), cache, LONG)[1:3] == (Fresh(), Miss())


def test_projections_versions_kinds_and_entities_are_kept_apart(store: bp.Store, cache: Any) -> None:
    append(store, 1, value=3)
    append(store, 2, entity="b")
    versioned: Any = Sum()
    versioned.version = 1
    other: Any = Order(kinds=KIND)
    for one in (Sum(), versioned, Order(), other):
        assert ran(store, one, cache)[2] == Miss()
    assert ran(store, Sum(), cache, entity="b")[2] == Miss()
    for one in (Sum(), versioned, Order(), other):
        assert ran(store, one, cache)[2] == Hit()


def test_a_projection_without_an_id_is_not_kept(store: bp.Store, cache: Any) -> None:
    append(store, 1)
    nameless: Any = bp.fold(lambda n, event: n + 1, initial=0)
    with pytest.raises(ProjectionDeclarationError, match="has no id"):
        store.project(nameless, "a", cache=cache)
    assert store.project(nameless, "a") == 1


def test_what_is_ready_made_or_a_function_is_kept_under_a_declared_id(store: bp.Store, cache: Any) -> None:
    append(store, 1, kind=OTHER)
    append(store, 2)
    kinds: Any = bp.declare(
        bp.fold(lambda seen, event: seen | {int(event.kind)}, initial=frozenset(), kinds=KIND),
        "tests.kinds", incremental=True, max_cardinality=1, dump=sorted, load=frozenset,
    )  # fmt: skip
    counted = bp.declare(bp.Count(by="kind", version=3), "tests.count")
    for one, state in ((kinds, {KIND}), (bp.declare(bp.Count(), "tests.n"), 2)):
        assert ran(store, one, cache)[:3] == (state, Fresh(), Miss())
        assert ran(store, one, cache)[:3] == (state, Fresh(), Hit())
    assert store.project_run(kinds, "a")[1].body.projection_id == "tests.kinds:a"
    assert declared(fold_of(counted)).fold.version == 3
    with pytest.warns(bp.BatpakWarning, match="is not kept"):  # its keys are numbers
        assert store.project(counted, "a", cache=cache) == {KIND: 1, OTHER: 1}
    with pytest.raises(ProjectionDeclarationError, match="declared already"):
        bp.declare(counted, "twice")
    with pytest.raises(ProjectionDeclarationError, match="is no projection"):
        bp.declare(len, "no.projection")


def test_nothing_is_kept_of_an_entity_without_events(store: bp.Store, cache: Any) -> None:
    assert ran(store, Sum(), cache) == (None, NotApplicable(), Bypassed(), None)


def test_a_state_of_another_store_is_not_taken(store: bp.Store, cache: Any, tmp_path: Path) -> None:
    append(store, 1, value=5)
    store.project(Sum(), "a", cache=cache)
    with at_one_time(tmp_path / "other") as other:
        append(other, 2, value=7)
        assert ran(other, Sum(), cache) == ({"total": 7}, Fresh(), Miss(), 1)
        assert ran(other, Sum(), cache, LONG)[0] == {"total": 7}


def test_events_that_were_shown_and_taken_back_are_not_served(store: bp.Store, cache: Any) -> None:
    """A reader shows the events of an open fence; when the fence is cancelled they are gone, from caches too."""
    append(store, 1)
    with pytest.raises(RuntimeError), store.begin_fence() as fence:
        fence.submit("a", "s", KIND, 10)
        with store.reader() as reader:
            assert ran(reader, Sum(), cache)[0] == {"total": 11}
        assert ran(store, Sum(), cache)[0] == {"total": 1}
        with store.reader() as reader:
            reader.project(Sum(), "a", cache=cache)
        raise RuntimeError
    with store.reader() as reader:
        assert ran(reader, Sum(), cache, LONG)[0] == {"total": 1}
        assert ran(reader, Sum(incremental=True), cache)[0] == {"total": 1}


def test_a_state_can_be_changed_without_changing_what_is_kept(store: bp.Store, cache: Any) -> None:
    append(store, 1)
    store.project(Order(), "a", cache=cache).append("mine")
    store.project(Order(), "a", cache=cache).append("mine")
    assert store.project(Order(), "a", cache=cache) == ["0001"]


def test_objects_are_kept_by_their_own_dump_and_load(store: bp.Store, cache: Any) -> None:
    append(store, 1)
    objects: Any = Objects(incremental=True)
    assert ran(store, objects, cache)[0] == Ids(["0001"])
    append(store, 2)
    assert ran(store, objects, cache) == (Ids(["0001", "0002"]), Fresh(), Hit(), 2)
    objects.load = lambda value: 1 / 0
    assert ran(store, objects, cache) == (Ids(["0001", "0002"]), Fresh(), Miss(), 2)


@pytest.mark.parametrize("state", [(1, 2), {1: "a"}, float("nan"), {"a": {1}}, "\ud800", Ids(["a"])])
def test_a_state_that_json_would_change_is_given_but_not_kept(store: bp.Store, cache: Any, state: Any) -> None:
    class Odd(Sum):
        def apply(self, _: Any, event: Any) -> Any:
            return state

    append(store, 1)
    for _ in range(2):
        with pytest.warns(bp.BatpakWarning, match="is not kept"):
            got, evidence = store.project_run(Odd(), "a", cache=cache)
        assert got is state
        assert evidence.body.cache_status == Miss()


def the_file(cache: Any) -> Path:
    (found,) = cache.root.rglob("*.bin")
    return Path(found)


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 16, b"x" * 60, b"{}" + bytes(16), b"null" + bytes(16)])
def test_a_corrupt_file_is_removed_and_the_state_made_anew(store: bp.Store, tmp_path: Path, damage: bytes) -> None:
    cache = bp.DirectoryCache(tmp_path / "states")
    append(store, 1)
    store.project(Sum(), "a", cache=cache)
    path = the_file(cache)
    path.write_bytes(damage)
    assert ran(store, Sum(), cache) == ({"total": 1}, Fresh(), Miss(), 1)
    assert decode(path.read_bytes())[1].watermark == 1
    assert ran(store, Sum(), cache)[2] == Hit()


def test_a_damaged_state_is_gone_even_where_none_takes_its_place(store: bp.Store, tmp_path: Path) -> None:
    cache = bp.DirectoryCache(tmp_path / "states")
    append(store, 1)
    store.project(Order(), "a", cache=cache)
    the_file(cache).write_bytes(b"torn")
    failing: Any = Order()
    failing.apply = lambda state, event: 1 / 0
    with pytest.raises(bp.ProjectionError):
        store.project(failing, "a", cache=cache)
    assert not list(cache.root.rglob("*.bin"))


def test_the_old_trailer_is_read(store: bp.Store, tmp_path: Path) -> None:
    cache = bp.DirectoryCache(tmp_path / "states")
    append(store, 1)
    store.project(Sum(), "a", cache=cache)
    path = the_file(cache)
    body, _ = decode(path.read_bytes())
    path.write_bytes(encode(body, Trailer(1, time.time_ns() // 1000)))
    assert ran(store, Sum(), cache)[2] == Hit()
    append(store, 2)
    assert ran(store, Sum(), cache, LONG)[1:3] == (StaleAllowed(), Hit())
    path.write_bytes(encode(body, Trailer(1, 0)))
    assert ran(store, Sum(), cache, LONG)[1:3] == (Fresh(), Miss())


@pytest.mark.parametrize("boot", ["this", "another"])
def test_age_goes_by_this_process_where_it_made_the_state_and_by_wall_time_else(
    store: bp.Store, tmp_path: Path, boot: str
) -> None:
    cache = bp.DirectoryCache(tmp_path / "states")
    append(store, 1)
    store.project(Sum(), "a", cache=cache)
    append(store, 2)
    body, made = decode(the_file(cache).read_bytes())
    assert made.mono_ns is not None and made.boot_ns is not None
    hour_us = 3_600_000_000
    cases = [(0, 0, True), (-2 * hour_us, 0, boot == "this"), (0, -2 * hour_us * 1000, boot == "another"),
             (hour_us, 0, boot == "this"), (0, hour_us * 1000, boot == "another")]  # fmt: skip
    for wall_us, mono_ns, young in cases:
        trailer = Trailer(1, made.cached_at_us + wall_us, made.mono_ns + mono_ns, made.boot_ns + (boot != "this"))
        the_file(cache).write_bytes(encode(body, trailer))
        expected = (StaleAllowed(), Hit()) if young else (Fresh(), Miss())
        assert ran(store, Sum(), cache, LONG)[1:3] == expected, (wall_us, mono_ns)


class Failing(bp.MemoryCache):
    """A cache whose disk is gone."""

    def __init__(self, *fails: str) -> None:
        super().__init__()
        self.fails = fails

    def get(self, key: bytes) -> bytes | None:
        if "get" in self.fails:
            raise OSError("gone")
        return super().get(key)

    def put(self, key: bytes, data: bytes) -> None:
        if "put" in self.fails:
            raise OSError("full")
        super().put(key, data)


def test_a_cache_that_fails_costs_time_and_nothing_else(store: bp.Store) -> None:
    append(store, 1)
    assert ran(store, Sum(), Failing("get"))[:3] == ({"total": 1}, Fresh(), Unavailable("cache_get_failed"))
    with pytest.warns(bp.BatpakWarning, match="is not kept.*full"):
        assert ran(store, Sum(), Failing("put"))[2] == Miss()


def test_links_in_the_folder_are_refused(store: bp.Store, tmp_path: Path) -> None:
    cache, target = bp.DirectoryCache(tmp_path / "states"), tmp_path / "target"
    append(store, 1)
    store.project(Sum(), "a", cache=cache)
    path = the_file(cache)
    target.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(target)
    with pytest.warns(bp.BatpakWarning, match="symbolic link"):
        assert ran(store, Sum(), cache)[2] == Unavailable("cache_get_failed")
    shutil.rmtree(path.parent)
    path.parent.symlink_to(tmp_path, target_is_directory=True)
    with pytest.warns(bp.BatpakWarning, match="symbolic link"):
        assert ran(store, Sum(), cache)[2] == Unavailable("cache_get_failed")
    assert not (tmp_path / path.name).exists()


def test_files_are_the_owners_and_leave_nothing_else_behind(store: bp.Store, tmp_path: Path) -> None:
    cache = bp.DirectoryCache(tmp_path / "states")
    append(store, 1, entity="x" * 1000)
    assert ran(store, Sum(), cache, entity="x" * 1000)[2] == Miss()
    assert ran(store, Sum(), cache, entity="x" * 1000)[2] == Hit()
    path = the_file(cache)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file for file in cache.root.rglob("*") if file.is_file()] == [path]
    key = declared(fold_of(Sum())).key("x" * 1000)
    assert path == cache.path_of(key)


def test_memory_is_bounded_and_the_least_used_goes_first() -> None:
    cache = bp.MemoryCache(max_bytes=30)
    for key in (b"a", b"b", b"c"):
        cache.put(key, bytes(9))
    assert cache.get(b"a") == bytes(9)
    cache.put(b"d", bytes(9))
    assert [cache.get(key) is not None for key in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    cache.put(b"e", bytes(31))
    assert len(cache) == 0 and cache.get(b"e") is None
    cache.put(b"a", bytes(9))
    cache.put(b"a", bytes(19))
    assert repr(cache) == "MemoryCache(1 states, 20 bytes)"
