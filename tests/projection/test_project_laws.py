"""Whatever is appended: from a cache or anew, step by step or at once, together or alone, the state is the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from tests.projection.states import CLOCK_US, KIND, OTHER, Everything, Objects, Order, Sum

ENTITIES = ("a", "b")


class Append(NamedTuple):
    """`later` milliseconds after the one before; 0 leaves the order to clocks and ids."""

    entity: str
    kind: int
    lane: int
    value: int
    key: int
    later: int


class Fenced(NamedTuple):
    """Appended behind a fence, kept or taken back; a look while it is open."""

    items: tuple[Append, ...]
    keep: bool


Step = Append | Fenced | str
appends = st.builds(
    Append, st.sampled_from(ENTITIES), st.sampled_from([KIND, KIND, OTHER]), st.integers(0, 3), st.integers(-5, 5),
    st.integers(1, 2**128 - 1), st.sampled_from([0, 0, 0, 1]),
)  # fmt: skip
steps = st.lists(
    st.one_of(
        appends, appends, st.builds(Fenced, st.lists(appends, max_size=4).map(tuple), st.booleans()), st.just("look"),
        st.just("look"), st.just("reopen"),
    ),
    max_size=24,
)  # fmt: skip


def by_hand(source: Any, projection: Any, entity: str) -> Any:
    """The state as the rules say it: every visible event of the stream, one `get` each."""
    state, kinds = None, projection.kinds
    for entry in source.stream(entity):
        if kinds is None or entry.kind == kinds:
            state = projection.apply(projection.initial() if state is None else state, source.get(entry.event_id))
    return state


def projections(incremental: bool) -> list[Any]:
    objects: Any = Objects(incremental=incremental)
    return [Everything(incremental=incremental), Order(incremental=incremental), Sum(incremental=incremental), objects,
            Everything(incremental=incremental)]  # fmt: skip


def look(source: Any, caches: Sequence[tuple[Any, bool]]) -> None:
    for entity in (*ENTITIES, "nobody"):
        plain = [by_hand(source, one, entity) for one in projections(False)]
        assert [source.project(one, entity) for one in projections(False)] == plain
        assert list(source.project_fused(projections(False), entity)) == plain
        for cache, incremental in caches:
            assert [source.project(one, entity, cache=cache) for one in projections(incremental)] == plain
        hashes = [source.project_run(one, entity)[1].body.output_hash for one in projections(False)]
        cached = [source.project_run(one, entity, cache=caches[0][0])[1].body.output_hash for one in projections(False)]
        assert hashes == cached


class Course:
    """A store on which steps are taken, and looked at through caches that live as long."""

    def __init__(self, directory: Path) -> None:
        self.now_us, self.path = CLOCK_US, directory / "store"
        self.caches = [
            (bp.MemoryCache(), False), (bp.MemoryCache(), True), (bp.DirectoryCache(directory / "states"), True),
        ]  # fmt: skip
        self.open()

    def open(self) -> None:
        self.store = bp.Store.open(self.path, config=bp.StoreConfig(clock=lambda: self.now_us, segment_max_bytes=4_000))

    def take(self, step: Step) -> None:
        if isinstance(step, Append):
            self.append(self.store.append, step)
        elif isinstance(step, Fenced):
            fence = self.store.begin_fence()
            for item in step.items:
                self.append(fence.submit, item)
            look(self.store, self.caches)
            with self.store.reader() as reader:  # it shows what is behind the fence, and may fill the caches with it
                look(reader, self.caches)
            fence.commit() if step.keep else fence.cancel()
        elif step == "look":
            look(self.store, self.caches)
        else:
            self.store.close()
            self.open()

    def append(self, do: Callable[..., Any], item: Append) -> None:
        self.now_us += 1000 * item.later
        value = item.value if item.kind == KIND else {"value": item.value}
        more = {"extensions": {"a.x": b"y"}, "flags": 1, "depth": 2} if item.value == 5 else {}
        do(item.entity, f"s{item.value}", item.kind, value, lane=item.lane, idempotency_key=item.key, **more)


@given(steps, st.sampled_from([1, 3, 4096]))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_cached_incremental_fused_and_plain_states_are_equal(taken: list[Step], at_once: int) -> None:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr("batpak_analytics.projection.folding.AT_ONCE", at_once)
        course = Course(Path(directory))
        for step in taken:
            course.take(step)
        look(course.store, course.caches)
        with course.store.reader() as reader:
            look(reader, course.caches)
        course.store.close()


@given(st.lists(appends, min_size=1, max_size=20), st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_stale_state_is_that_of_the_first_events_of_the_replay(taken: list[Append], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(taken)))
    with tempfile.TemporaryDirectory() as directory:
        course, cache, ask = Course(Path(directory)), bp.MemoryCache(), bp.MaybeStale(3_600_000)
        for step in taken[:cut]:
            course.take(step)
        course.store.project(Order(), "a", cache=cache)
        for step in taken[cut:]:
            course.take(step)
        full = course.store.project(Order(), "a")
        stale = course.store.project(Order(), "a", freshness=ask, cache=cache)
        assert stale == (None if full is None else full[: len(stale)])
        course.store.close()


def test_the_law_would_see_cached_events_that_are_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With counts alone for a digest, what sorts before the last event is applied twice or never (trap T-6)."""
    monkeypatch.setattr("batpak_analytics.projection.plan.Plan.digest", lambda plan, count=None: "same")
    course = Course(tmp_path)
    take = partial(Append, "a", KIND, value=1, later=0)
    for lane, key in [(0, 1), (1, 0xFF), (0, 0xAA)]:
        course.take(take(lane=lane, key=key))
    look(course.store, course.caches)
    course.take(take(lane=1, key=2))
    with pytest.raises(AssertionError):
        look(course.store, course.caches)
    course.store.close()
