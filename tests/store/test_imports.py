"""Imports: each event once, counted once, with its cause where that is here; and what stops one."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.errors import (
    AppendRefusedError,
    FenceActiveError,
    ImportStoppedError,
    NotAStoreError,
    StoreClosedError,
    StoreNotFoundError,
)
from batpak_analytics.format import layout
from batpak_analytics.format.provenance import of_extensions
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.imports.candidates import import_key
from batpak_analytics.store.store import Store
from tests.engine.building import make_event, three_segments, write_store
from tests.store.copy_cases import KIND, written
from tests.store.test_copies_crash import users


def events(path: Path) -> list[bp.Event]:
    """The events of applications, read whole."""
    with bp.open_reader(path) as reader:
        return [reader.get(event) for event, _ in users(path)]


def test_imported_event_keeps_what_it_is_and_says_where_it_comes_from(tmp_path: Path) -> None:
    with Store.open(tmp_path / "source") as source:
        one = source.append(
            "order:1", "shop", 0x1002, {"n": 1}, lane=3, depth=2, flags=1, payload_version=4,
            extensions={"audit.user": b"me"}, correlation_id=77,
        )  # fmt: skip
    with Store.open(tmp_path / "store") as store:
        report = store.import_events(tmp_path / "source", namespace="src")
        again = store.import_events(tmp_path / "source", namespace="other", lanes=True, versions=False)
    assert (report.imported, report.source_high_watermark) == (1, 2)
    first, second = events(tmp_path / "store")
    assert first.event_id == import_key("src", one.event_id)
    assert (first.entity, first.scope, first.kind, first.payload) == ("order:1", "shop", 0x1002, {"n": 1})
    assert first.correlation_id == (77).to_bytes(16, "big")
    assert (first.position.lane, first.position.depth, first.flags, first.payload_version) == (0, 0, 1, 4)
    assert (second.position.lane, second.position.depth, second.flags, second.payload_version) == (3, 2, 0, 0)
    origin = of_extensions(first.extensions)
    assert origin is not None and set(first.extensions) == {layout.IMPORT_PROVENANCE_KEY}
    assert origin.source_event_id == one.event_id and origin.source_global_sequence == 1
    assert (origin.source_namespace, origin.source_kind) == ("src", 0x1002)
    assert origin.source_content_hash == one.content_hash == first.content_hash
    assert again.evidence.body_hash != report.evidence.body_hash


def test_every_event_looked_at_is_counted_once_and_the_watermark_is_exact(tmp_path: Path) -> None:
    """Also the last one of the destination, which the reference can count as new when it is not."""
    source = written(tmp_path / "source")
    with bp.open_reader(source) as reader, Store.open(tmp_path / "store") as store:
        entries = list(reader.query())
        last = entries[-1].global_sequence
        first = store.import_events(reader, namespace="src", after=2, keep=lambda one: one.entity != "order:1")
        assert first.source_high_watermark == last
        looked_at = [one for one in entries if one.global_sequence > 2]
        own = [one for one in looked_at if one.kind.is_reserved]
        left_out = [one for one in looked_at if one.entity == "order:1"]
        assert (first.skipped_reserved, first.skipped_filtered) == (len(own), len(left_out))
        assert first.imported == len(looked_at) - len(own) - len(left_out)
        again = store.import_events(reader, namespace="src", after=2, keep=lambda one: one.entity != "order:1")
        assert (again.imported, again.deduplicated) == (0, first.imported)
        nothing = store.import_events(reader, namespace="src", after=last)
        assert nothing.source_high_watermark is None and nothing.evidence.body.imported == 0
        kinds = store.import_events(reader, namespace="k", kinds=[KIND], region=bp.Region(entity="order:0"))
        assert kinds.imported == sum(one.entity == "order:0" for one in entries)
        assert kinds.skipped_reserved == 0 and (kinds.source_high_watermark or 0) < last
        assert repr(kinds).startswith(f"ImportReport({kinds.imported} imported")


def test_causes_follow_their_effects_within_a_chunk_across_chunks_and_across_imports(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with Store.open(source) as store:
        cause: bytes | None = None
        ids = []
        for number in range(7):
            cause = store.append("order:1", "shop", KIND, number, causation_id=cause).event_id
            ids.append(cause)
        store.append("order:1", "shop", KIND, "orphan", causation_id=b"g" * 16)
    with Store.open(tmp_path / "store") as store:
        first = store.import_events(source, namespace="src", chunk_size=2, keep=lambda one: one.position.clock < 4)
        second = store.import_events(source, namespace="src", chunk_size=2)
    assert (first.causes_kept, first.causes_dropped) == (3, 0)
    assert (second.causes_kept, second.causes_dropped) == (3, 1)
    found = [one.causation_id for one in events(tmp_path / "store")]
    assert found == [None, *(import_key("src", one) for one in ids[:-1]), None]
    with Store.open(tmp_path / "cleared") as store:
        assert store.import_events(source, namespace="src", causes="clear").causes_kept == 0
    assert {one.causation_id for one in events(tmp_path / "cleared")} == {None}


def test_cause_that_was_left_out_is_dropped_and_counted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with Store.open(source) as store:
        cause = store.append("left:1", "shop", KIND, 1).event_id
        store.append("order:1", "shop", KIND, 2, causation_id=cause)
    with Store.open(tmp_path / "store") as store:
        report = store.import_events(source, namespace="src", region=bp.Region(entity="order"))
    assert (report.causes_kept, report.causes_dropped) == (0, 1)


def test_what_a_fork_has_done_comes_back_with_its_causes(tmp_path: Path) -> None:
    """A cause from before the fork is the same event in both, under its own id."""
    with Store.open(tmp_path / "store") as store:
        cause = store.append("order:1", "shop", KIND, "before").event_id
        report = store.fork(tmp_path / "fork")
        with Store.open(tmp_path / "fork") as fork:
            first = fork.append("order:1", "shop", KIND, "in the fork", causation_id=cause)
            fork.append("order:1", "shop", KIND, "and on", causation_id=first.event_id)
            back = store.import_events(fork, namespace="fork", after=report.last_sequence)
        assert (back.imported, back.causes_kept) == (2, 2)
    kept = [one.causation_id for one in events(tmp_path / "store")]
    assert kept == [None, cause, import_key("fork", first.event_id)]


@pytest.mark.parametrize("chunk_size", [1, 3, 256])
def test_store_imported_into_itself_ends_where_it_began(tmp_path: Path, chunk_size: int) -> None:
    path = written(tmp_path / "store")
    before = len(users(path))
    with Store.open(path) as store:
        first = store.import_events(store, namespace="own", chunk_size=chunk_size)
        assert first.imported == before
        again = store.import_events(path, namespace="own", chunk_size=chunk_size)
        assert (again.imported, again.deduplicated, again.skipped_reimported) == (0, before, before)
    assert len(users(path)) == 2 * before


def test_chunks_are_as_large_as_a_batch_may_be(tmp_path: Path) -> None:
    """An event that no batch takes is appended by itself, in its place."""
    source = tmp_path / "source"
    with Store.open(source) as store:
        for size in (10, 900, 900, 5_000, 10, 10):
            store.append("order:1", "shop", KIND, "x" * size)
    config = StoreConfig(batch_max_bytes=2_500, batch_max_items=2)
    told: list[tuple[int, int]] = []
    with Store.open(tmp_path / "store", config=config) as store:
        report = store.import_events(
            source, namespace="src", progress=lambda done, total: told.append((done, total))
        )  # fmt: skip
        assert store.durable_sequence == store.last_sequence
    assert report.imported == 6
    assert [len(one.payload) for one in events(tmp_path / "store")] == [10, 900, 900, 5_000, 10, 10]
    assert told[-1] == (8, 8) and [done for done, _ in told] == sorted(done for done, _ in told)


def test_event_that_is_too_large_stops_the_import_and_says_what_is_here(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with Store.open(source) as store:
        for size in (10, 10, 3_000, 10):
            store.append("order:1", "shop", KIND, "x" * size)
    with Store.open(tmp_path / "store", config=StoreConfig(append_max_bytes=2_000)) as store:
        with pytest.raises(ImportStoppedError, match="append_max_bytes") as caught:
            store.import_events(source, namespace="src", chunk_size=1)
        assert isinstance(caught.value.__cause__, AppendRefusedError)
        assert caught.value.report.imported == 1  # what is waiting for its chunk to fill is not written
    with Store.open(tmp_path / "store") as store:
        assert store.import_events(source, namespace="src").imported == 3
    assert len(users(tmp_path / "store")) == 4


def test_damaged_event_of_the_source_stops_the_import_unless_it_is_left_out(tmp_path: Path) -> None:
    segments = three_segments()
    source = write_store(tmp_path / "source", segments)
    path = source / "000002.fbat"
    data = bytearray(path.read_bytes())
    data[segments[1].offsets()[1] + 60] ^= 0xFF
    path.write_bytes(bytes(data))
    with Store.open(tmp_path / "store") as store:
        with pytest.raises(ImportStoppedError, match=r"000002\.fbat"):
            store.import_events(source, namespace="src", chunk_size=2)
        damaged = make_event(4).event_id
        report = store.import_events(source, namespace="src", keep=lambda one: one.event_id != damaged)
    assert report.skipped_filtered == 1
    assert len(users(tmp_path / "store")) == 8


def test_lost_events_of_the_source_are_told_in_the_report(tmp_path: Path) -> None:
    segments = three_segments(footer=False)
    source = write_store(tmp_path / "source", segments)
    path = source / "000003.fbat"
    data = bytearray(path.read_bytes())
    data[segments[2].offsets()[1] + 60] ^= 0xFF
    path.write_bytes(bytes(data))
    with Store.open(tmp_path / "store") as store:
        report = store.import_events(source, namespace="src")
    assert report.imported == 8
    assert any("000003.fbat" in line for line in report.evidence.diagnostics)


def test_two_events_with_one_id_are_imported_once(tmp_path: Path) -> None:
    segments = three_segments()
    segments[2].events[2] = replace(segments[2].events[2], event_id=segments[2].events[1].event_id)
    source = write_store(tmp_path / "source", segments)
    with Store.open(tmp_path / "store") as store:
        report = store.import_events(source, namespace="src")
    assert (report.imported, report.deduplicated) == (8, 1)


def test_fence_and_closed_store_refuse_before_anything_is_read(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store, store.begin_fence() as fence:
        with pytest.raises(FenceActiveError):
            store.import_events(bp.demo_store(), namespace="src")
        fence.cancel()
    with pytest.raises(StoreClosedError):
        store.import_events(bp.demo_store(), namespace="src")
    assert users(tmp_path / "store") == []


def test_fence_that_begins_in_the_middle_stops_the_import_which_then_goes_on(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        fences: list[bp.Fence] = []

        def begin(done: int, total: int) -> None:
            if not fences:
                fences.append(store.begin_fence())

        with pytest.raises(ImportStoppedError, match="1 events were imported") as caught:
            store.import_events(bp.demo_store(), namespace="src", chunk_size=1, progress=begin)
        assert isinstance(caught.value.__cause__, FenceActiveError)
        fences[0].cancel()
        assert store.import_events(bp.demo_store(), namespace="src").imported == 3


def test_other_threads_append_between_chunks(tmp_path: Path) -> None:
    source = written(tmp_path / "source")
    with Store.open(tmp_path / "store") as store:
        stop = threading.Event()

        def append() -> None:
            while not stop.is_set():
                store.append("mine", "shop", KIND, 1)

        thread = threading.Thread(target=append)
        thread.start()
        try:
            report = store.import_events(source, namespace="src", chunk_size=1)
        finally:
            stop.set()
            thread.join()
        imported = [one for one in store.query() if one.entity.startswith("order:")]
        assert len(imported) == report.imported == len(users(source))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"namespace": ""}, ValueError),
        ({"namespace": 7}, TypeError),
        ({"chunk_size": 0}, ValueError),
        ({"causes": "keep"}, ValueError),
        ({"encrypted": "open"}, ValueError),
        ({"source": "nowhere"}, StoreNotFoundError),
        ({"source": "."}, NotAStoreError),
    ],
)
def test_wrong_arguments_append_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], error: type[Exception]
) -> None:
    with Store.open(tmp_path / "store") as store:
        monkeypatch.chdir(tmp_path)
        given: dict[str, Any] = {"source": bp.demo_store(), "namespace": "src", **options}
        with pytest.raises(error):
            store.import_events(given.pop("source"), **given)
        assert store.last_sequence == 0


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(names, names, st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_keys_differ_where_namespace_or_id_do(one: str, other: str, left: bytes, right: bytes) -> None:
    assert (import_key(one, left) == import_key(other, right)) == (one == other and left == right)


def is_at_most(limit: int, entry: bp.IndexEntry) -> bool:
    return entry.global_sequence <= limit


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 5))
def test_imports_in_any_portions_add_up_to_one(tmp_path_factory: Any, steps: list[int], chunk: int) -> None:
    """Watermark by watermark, each portion goes on exactly where the one before ended."""
    directory = tmp_path_factory.mktemp("portions")
    source = written(directory / "source")
    with Store.open(directory / "whole") as store:
        store.import_events(source, namespace="src")
    with bp.open_reader(source) as reader, Store.open(directory / "store") as store:
        after: int | None = None
        total = 0
        for step in [*steps, 1_000]:
            limit = (-1 if after is None else after) + step
            report = store.import_events(
                reader, namespace="src", after=after, chunk_size=chunk,
                keep=partial(is_at_most, limit),
            )  # fmt: skip
            total += report.imported
            after = limit
            assert report.deduplicated == 0
    assert [event for event, _ in users(directory / "store")] == [event for event, _ in users(directory / "whole")]
    assert total == len(users(source))
