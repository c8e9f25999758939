"""`project` folds the right events in the right order, with the right payloads, and fails by naming the event."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.errors import (
    CrcMismatchError,
    PayloadEncryptedError,
    PayloadUndecodableError,
    PayloadVersionError,
    ProjectionDeclarationError,
    ProjectionError,
    ProjectionRunError,
    ProjectionStateError,
    StoreClosedError,
)
from batpak_analytics.format.layout import KEYSET_NAME
from batpak_analytics.projection.block import Block
from tests.arrow.scan_stores import store_of
from tests.engine.building import Segment, make_event
from tests.projection.states import KIND, OTHER, Everything, Objects, Order, Sum, append, at_one_time, ids_of

registry = bp.PayloadRegistry()


@registry.event_payload(category=1, type_id=1, version=2)
@dataclass
class Paid:
    cents: int


@registry.upcast(Paid, from_version=1)
def _to_cents(value: dict[str, Any]) -> dict[str, Any]:
    return {"cents": value["euros"] * 100}


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with at_one_time(tmp_path / "store") as opened:
        yield opened


def test_lanes_are_replayed_by_clock_and_id_and_not_as_they_were_appended(store: bp.Store) -> None:
    ids = [append(store, number, lane=lane) for number, lane in [(1, 0), (9, 1), (5, 0), (2, 1)]]
    assert store.project(Order(), "a") == ["0001", "0009", "0002", "0005"] != ids
    assert store.project(Order(), "a") == ids_of(store.stream("a"))


def test_only_this_very_entity_and_the_kinds_asked_for_are_folded(store: bp.Store) -> None:
    append(store, 1, value=2)
    append(store, 2, entity="a:b", value=100)
    append(store, 3, kind=OTHER, value=100)
    append(store, 4, value=3)
    assert store.project(Sum(), "a") == {"total": 5}
    assert store.project(Order(kinds=[KIND, OTHER]), "a") == ["0001", "0003", "0004"]
    assert store.project(Order(kinds=bp.category(2)), "a") == ["0003"]
    assert store.project(Order(), "batpak:store") is not None


def test_nothing_to_fold_is_none_and_not_the_initial_state(store: bp.Store) -> None:
    append(store, 1, kind=OTHER)
    assert store.project(Sum(), "nobody") is None
    assert store.project(Sum(), "a") is None


def test_what_a_fence_holds_back_or_took_back_is_not_folded(store: bp.Store) -> None:
    append(store, 1)
    with pytest.raises(RuntimeError), store.begin_fence() as fence:
        fence.submit("a", "s", KIND, 10)
        assert store.project(Sum(), "a") == {"total": 1}
        raise RuntimeError
    append(store, 2)
    assert store.project(Sum(), "a") == {"total": 2}
    with store.reader() as reader:
        assert reader.project(Sum(), "a") == {"total": 2}


def test_store_and_reader_say_the_same_and_a_reader_stays_at_its_moment(store: bp.Store) -> None:
    append(store, 1)
    with store.reader() as reader:
        append(store, 2)
        assert (reader.project(Sum(), "a"), store.project(Sum(), "a")) == ({"total": 1}, {"total": 2})
        assert reader.refresh().project(Sum(), "a") == {"total": 2}


def test_typed_payloads_of_every_version_arrive_as_the_current_class(store: bp.Store) -> None:
    store.append("a", "s", KIND, {"euros": 2}, payload_version=1)
    store.append("a", "s", KIND, {"cents": 5}, payload_version=2)
    store.append("a", "s", KIND, {"cents": 7})
    paid: Any = bp.fold(lambda n, event: n + event.payload.cents, initial=0, kinds=Paid, registry=registry)
    plain: Any = bp.fold(lambda seen, event: [*seen, *event.payload], initial=[], kinds=KIND)
    assert store.project(paid, "a") == 212
    assert store.project_fused([paid, plain, paid], "a") == (212, ["euros", "cents", "cents"], 212)
    store.append("a", "s", KIND, {"cents": 7}, payload_version=3)
    with pytest.raises(PayloadVersionError, match="version 3"):
        store.project(paid, "a")


def test_classes_are_looked_up_in_the_registry_of_the_store(tmp_path: Path) -> None:
    class Cents:
        kinds = Paid

        def initial(self) -> int:
            return 0

        def apply(self, state: int, event: Any) -> int:
            return state + int(event.payload.cents)

    with bp.Store.open(tmp_path / "store", config=bp.StoreConfig(payloads=registry)) as store:
        store.append_typed("a", "s", Paid(3))
        assert store.project(Cents(), "a") == 3


def test_shredded_events_are_left_out_and_counted(fixture_stores: Path, tmp_path: Path) -> None:
    shutil.copytree(fixture_stores / "encrypted", tmp_path / "store", copy_function=shutil.copyfile)
    with bp.Store.open(tmp_path / "store", config=bp.StoreConfig(allow_plaintext=True)) as store:
        lost = len(store.stream("order:3"))
        with pytest.warns(bp.BatpakWarning, match=f"{lost} events of 'order:3' have lost their key"):
            assert store.project(Order(), "order:3") is None
        plain = append(store, 1, entity="order:3")
        with pytest.warns(bp.BatpakWarning, match=f"{lost} events"):
            assert store.project(Order(), "order:3") == [plain]
        with pytest.warns(bp.BatpakWarning, match=f"{lost} events"):
            assert store.project_fused([Order()], "order:3") == ([plain],)
        with pytest.warns(bp.BatpakWarning, match=f"{lost} events"), store.reader() as reader:
            assert reader.project(Order(), "order:3") == [plain]


def test_sealed_events_whose_key_may_exist_are_no_state(fixture_stores: Path, tmp_path: Path) -> None:
    """Not even for a projection that looks at no payload; and without a keyset nothing counts as shredded."""
    shutil.copytree(fixture_stores / "encrypted", tmp_path / "store", copy_function=shutil.copyfile)
    for missing in (False, True):
        if missing:
            (tmp_path / "store" / KEYSET_NAME).unlink()
        with bp.open_reader(tmp_path / "store") as reader, pytest.raises(PayloadEncryptedError):
            reader.project(Order(), "order:3" if missing else "order:1")
        with bp.open_reader(tmp_path / "store") as reader, pytest.raises(PayloadEncryptedError):
            reader.project_fused([Order()], "order:3" if missing else "order:1")


def test_an_undecodable_payload_fails_as_it_does_in_batpak(store: bp.Store) -> None:
    store.append("a", "s", KIND, raw=b"\xc4\x01x")
    with pytest.raises(PayloadUndecodableError):
        store.project(Order(), "a")


def test_what_one_of_the_fused_does_to_a_payload_no_other_sees(store: bp.Store) -> None:
    append(store, 1, value={"seen": 0})

    def mark(state: Any, event: Any) -> Any:
        event.payload["seen"] += 1
        return event.payload

    marking: Any = bp.fold(mark, initial=dict)
    assert store.project_fused([marking, marking, marking], "a") == ({"seen": 1},) * 3


def test_a_damaged_frame_is_no_state(tmp_path: Path) -> None:
    with at_one_time(tmp_path / "store") as store:
        ids = [append(store, number, value="x" * 100) for number in range(1, 6)]
        place = store.stream("a")[2]
    path = tmp_path / "store" / f"{place.segment_id:06}.fbat"
    data = bytearray(path.read_bytes())
    data[place.offset + place.length - 200] ^= 1
    path.write_bytes(data)
    with bp.open_reader(tmp_path / "store") as reader:
        for ask in (lambda: reader.project(Order(), "a"), lambda: reader.project_fused([Order(), Objects()], "a")):
            with pytest.raises(CrcMismatchError, match="checksum is wrong"):
                ask()
        with pytest.raises(ProjectionRunError, match="checksum") as caught:
            reader.project_run(Order(), "a")
        assert (caught.value.event_id, caught.value.position) == (None, None)
        assert len(ids) == 5


def test_large_payloads_are_not_read_together(store: bp.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    whole = Block.read.__func__  # type: ignore[attr-defined]

    def counted(cls: type, entries: Any, tables: Any) -> Any:
        read.append(len(entries))
        return whole(cls, entries, tables)

    monkeypatch.setattr(Block, "read", classmethod(counted))
    monkeypatch.setattr("batpak_analytics.projection.folding.BYTES_AT_ONCE", 5_000)
    monkeypatch.setattr("batpak_analytics.projection.folding.AT_ONCE", 6)
    for number in range(1, 21):
        append(store, number, value="x" * (9_000 if number in (3, 4) else 1))
    assert len(store.project(Order(), "a")) == 20 == sum(read)
    assert read == [2, 1, 1, 6, 6, 4]


class Lying(Segment):
    """Its footer has other depths than its frames."""

    def _rows(self) -> Any:
        rows, strings = super()._rows()
        rows["depth"][::2] += 7
        return rows, strings


def test_a_frame_that_contradicts_the_index_is_folded_as_it_is(tmp_path: Path) -> None:
    """As everywhere: the frame wins."""
    Lying(1, [make_event(number) for number in range(5)]).write(tmp_path)
    with bp.open_reader(tmp_path) as reader:
        assert [entry.position.depth for entry in reader.stream("order:1")] == [7, 0, 7, 0, 7]
        state = reader.project(Everything(), "order:1")
        assert len(state) == 10 and all("depth=0" in told for told in state[::2])


@pytest.mark.parametrize("returned", ["none", "raises"])
def test_a_failing_apply_is_told_with_its_event(store: bp.Store, returned: str) -> None:
    append(store, 1)
    append(store, 2, value="text")

    def apply(state: int, event: Any) -> Any:
        if returned == "none":
            return None if event.payload == "text" else state
        return state + event.payload

    failing: Any = bp.fold(apply, initial=0)
    for ask in (lambda: store.project(failing, "a"), lambda: store.project_fused([Order(), failing], "a")):
        with pytest.raises(ProjectionError, match="number 2 of the replay") as caught:
            ask()
        error = caught.value
        assert (error.position, error.entity, error.kind) == (2, "a", KIND)
        assert error.event_id == (2).to_bytes(16, "big")
        assert error.global_sequence == store.stream("a")[-1].global_sequence
        assert isinstance(error.__cause__, ProjectionError if returned == "none" else TypeError)


def test_the_last_good_state_is_told_also_where_apply_had_changed_it(store: bp.Store) -> None:
    class Half(Order):
        incremental = True

        def apply(self, state: list[str], event: Any) -> list[str]:
            super().apply(state, event)
            return state if event.payload != "bad" else 1 / 0  # type: ignore[return-value]

    append(store, 1)
    append(store, 2, kind=OTHER)
    append(store, 3)
    cache = bp.MemoryCache()
    assert store.project(Half(incremental=True), "a", cache=cache) == ["0001", "0002", "0003"]
    append(store, 4, value="bad")
    for given in (None, cache):
        with pytest.raises(ProjectionError, match="number 4") as caught:
            store.project(Half(incremental=True), "a", cache=given)
        assert caught.value.state == ["0001", "0002", "0003"]
    with pytest.raises(ProjectionError, match="number 3") as caught:
        store.project_fused([Order(), Half(kinds=KIND)], "a")
    assert caught.value.state == ["0001", "0003"]
    with pytest.raises(ProjectionRunError) as ran:
        store.project_run(Half(), "a")
    assert ran.value.state == ["0001", "0002", "0003"]


def test_a_state_above_its_bound_or_of_unknown_size_is_refused(store: bp.Store) -> None:
    for number in range(1, 4):
        append(store, number)
    order: Any = Order()
    order.max_cardinality = 3
    assert len(store.project(order, "a")) == 3
    append(store, 4)
    with pytest.raises(ProjectionStateError, match="holds 4 entries") as caught:
        store.project(order, "a")
    assert (caught.value.actual, caught.value.expected) == (4, 3)
    with pytest.raises(ProjectionStateError):
        store.project(order, "a", cache=bp.MemoryCache())
    with pytest.raises(ProjectionStateError):
        store.project_fused([Sum(), order], "a")
    assert store.project(order, "nobody") is None
    objects: Any = Objects()
    objects.max_cardinality = 4
    assert len(store.project(objects, "a").ids) == 4
    objects.cardinality = None
    with pytest.raises(ProjectionStateError, match="size of its Ids is not known"):
        store.project(objects, "a")


def test_a_projection_about_one_entity_is_asked_about_no_other(store: bp.Store) -> None:
    append(store, 1)
    own: Any = bp.fold(lambda n, event: n + 1, initial=0, entity="a")
    assert store.project(own) == store.project(own, "a") == 1
    with pytest.raises(ProjectionDeclarationError, match="about 'a' only"):
        store.project(own, "b")
    with pytest.raises(ProjectionDeclarationError, match="Name one"):
        store.project(Order())
    with pytest.raises(ProjectionDeclarationError, match="about 'a' only"):
        store.project_fused([Order(), own], "b")


@pytest.mark.parametrize("attribute", [("id", ""), ("id", 3), ("max_cardinality", -1), ("max_cardinality", True),
                                       ("dump", lambda state: state), ("cardinality", 3)])  # fmt: skip
def test_what_a_projection_cannot_mean_is_refused(store: bp.Store, attribute: tuple[str, Any]) -> None:
    order: Any = Order()
    setattr(order, *attribute)
    with pytest.raises(ProjectionDeclarationError):
        store.project(order, "a")


@pytest.mark.parametrize("freshness", ["stale", None, 5, bp.MaybeStale(-1), bp.MaybeStale(True)])
def test_an_unknown_freshness_is_refused(store: bp.Store, freshness: Any) -> None:
    with pytest.raises(ValueError, match="freshness"):
        store.project(Order(), "a", freshness=freshness)


def test_nothing_fused_is_nothing(store: bp.Store) -> None:
    assert store.project_fused([], "a") == ()


def test_generations_change_with_the_visible_events_and_with_nothing_else(store: bp.Store) -> None:
    assert store.entity_generation("a") is None
    assert store.project_if_changed(Order(), "a", None) is None
    append(store, 1)
    first = store.project_if_changed(Order(), "a", None)
    assert first is not None and first[1] == ["0001"] and first[0] == store.entity_generation("a")
    append(store, 2, entity="b")
    assert store.project_if_changed(Order(), "a", first[0]) is None
    with pytest.raises(RuntimeError), store.begin_fence() as fence:
        fence.submit("a", "s", KIND, 10)
        assert store.entity_generation("a") == first[0]
        raise RuntimeError
    assert store.entity_generation("a") == first[0]
    append(store, 3, kind=OTHER)
    then = store.project_if_changed(Order(kinds=KIND), "a", first[0])
    assert then is not None and then[1] == ["0001"] and then[0] != first[0]
    with store.reader() as reader:
        assert reader.entity_generation("a") == then[0]


def test_a_generation_outlives_the_store_that_gave_it(tmp_path: Path) -> None:
    with at_one_time(tmp_path / "store") as store:
        append(store, 1)
        generation = store.entity_generation("a")
    with at_one_time(tmp_path / "store") as store:
        assert store.entity_generation("a") == generation


def test_a_closed_store_projects_nothing(tmp_path: Path) -> None:
    with at_one_time(tmp_path / "store") as store:
        append(store, 1)
    with pytest.raises(StoreClosedError):
        store.project(Order(), "a")


def test_states_while_others_append_are_those_of_some_moment(tmp_path: Path) -> None:
    """Each is the fold of a prefix, cached or not, and they only go forward."""
    cache, ask = bp.MemoryCache(), 300
    with bp.Store.open(tmp_path / "store", config=bp.StoreConfig(segment_max_bytes=20_000)) as store:

        def write() -> None:
            for number in range(1, ask + 1):
                append(store, number, value=number)

        writer = threading.Thread(target=write)
        writer.start()
        seen: list[int] = []
        while writer.is_alive() or not seen:
            for given in (None, cache):
                state = store.project(Order(incremental=True), "a", cache=given)
                assert state is None or state == [f"{number:04x}" for number in range(1, len(state) + 1)]
                seen.append(0 if state is None else len(state))
        writer.join()
        assert seen == sorted(seen)
        assert len(store.project(Order(incremental=True), "a", cache=cache)) == ask


def test_a_time_that_no_clock_shows_is_the_one_of_the_event(tmp_path: Path) -> None:
    made = make_event(0, entity="order:1")
    late = replace(made, position=replace(made.position, wall_ms=(1 << 63) + 5))
    reader = bp.open_reader(store_of(tmp_path / "s", [late]))
    seen = bp.fold(lambda state, event: [*state, event.position.wall_ms], initial=[])
    assert reader.project(seen, "order:1") == [(1 << 63) + 5] == [reader.get(late.event_id).position.wall_ms]
