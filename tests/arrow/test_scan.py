"""Scans: columns and what they cost, batches, limits, counts, plans."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.arrow import chunks, memory, scan, windows
from batpak_analytics.arrow.payload import PayloadInference
from batpak_analytics.arrow.scan import Scan
from batpak_analytics.arrow.schema import EVERYDAY, FRAME_SCHEMA, INDEX_SCHEMA, Tier
from batpak_analytics.engine.numbering import Run
from batpak_analytics.engine.view import SegmentRows
from batpak_analytics.errors import ResultTooLargeError, UnknownColumnError, ViewExpiredError
from batpak_analytics.format.gather import row_count
from tests.arrow.scan_stores import event, fixture_view, in_runs, rows, sequences, spy, view_of

SEGMENTS = fixture_view("segments")
TOTAL = SEGMENTS.event_count - 4  # without the store's own open and close events


@pytest.fixture
def no_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a frame was read")

    monkeypatch.setattr(SegmentRows, "window", refuse)


# -- columns ----------------------------------------------------------------------------------------------


def test_no_columns_gives_the_everyday_set() -> None:
    names = Scan(SEGMENTS, payload="json").schema.names
    assert names == list(EVERYDAY)


def test_all_gives_every_index_and_frame_column_and_the_payload() -> None:
    names = Scan(SEGMENTS, columns="all", payload="struct").schema.names
    assert names == [*INDEX_SCHEMA.names, *FRAME_SCHEMA.names, "payload"]


def test_types_are_those_of_the_documentation() -> None:
    schema = Scan(SEGMENTS, columns="all", payload=None).schema
    for field in [*INDEX_SCHEMA, *FRAME_SCHEMA]:
        assert schema.field(field.name).type == field.type
    assert schema.field("wall_time").type == pa.timestamp("ms", "UTC")
    assert schema.field("timestamp").type == pa.timestamp("us", "UTC")
    assert schema.field("event_id").type == pa.binary(16)
    assert schema.field("extensions").type == pa.map_(pa.string(), pa.binary())


def test_a_list_gives_exactly_that_list_in_its_order() -> None:
    names = ["payload.status", "kind", "disposition", "event_id"]
    assert Scan(SEGMENTS, columns=names).to_arrow().column_names == names


def test_a_field_by_name_has_the_same_values_as_among_all_columns() -> None:
    whole = Scan(SEGMENTS).to_arrow().column("payload.amount")
    assert whole.null_count < len(whole)
    for mode in ("columns", "struct", "json", "binary", "frame", None):
        alone = Scan(SEGMENTS, columns=["payload.amount"], payload=mode).to_arrow().column("payload.amount")
        assert alone.equals(whole)


def test_payload_and_one_of_its_fields_together_do_not_repeat_a_column() -> None:
    names = Scan(SEGMENTS, columns=["payload.amount", "payload"]).schema.names
    assert names[0] == "payload.amount"
    assert len(names) == len(set(names)) > 10


def test_no_payload_mode_leaves_the_everyday_set_without_payload() -> None:
    assert Scan(SEGMENTS, payload=None).schema.names == list(EVERYDAY[:-1])


def test_index_columns_read_no_frame(no_frames: None) -> None:
    table = Scan(SEGMENTS, columns=INDEX_SCHEMA.names, filters=[("kind", ">", 0x1001)]).to_arrow()
    assert table.num_rows > 0


def test_a_frame_column_reads_frames(no_frames: None) -> None:
    with pytest.raises(AssertionError, match="a frame was read"):
        Scan(SEGMENTS, columns=["flags"]).to_arrow()


@pytest.mark.parametrize(
    ("name", "meant"),
    [("event_di", "event_id"), ("amount", "payload.amount"), ("payload.amuont", "payload.amount"), ("Kind", "kind")],
)
def test_unknown_column_suggests_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(UnknownColumnError, match=f"'{meant}'") as caught:
        assert Scan(SEGMENTS, columns=["kind", name]).schema
    assert meant in caught.value.suggestions


@pytest.mark.parametrize("columns", ["kind", "everything", [1], ["kind", "kind"]])
def test_columns_that_make_no_sense_are_refused(columns: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        Scan(SEGMENTS, columns=columns)


def test_a_field_of_no_rows_at_all_is_a_null_column_not_an_error() -> None:
    table = Scan(SEGMENTS, entity="nobody", columns=["kind", "payload.amount"]).to_arrow()
    assert table.num_rows == 0
    assert table.schema.field("payload.amount").type == pa.null()


def test_unknown_payload_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="payload='text'"):
        Scan(SEGMENTS, payload="text")


def test_one_dictionary_for_all_batches() -> None:
    scan_ = Scan(SEGMENTS, columns=["entity", "scope", "sequence_source"])
    batches = list(scan_.to_batches(batch_size=7))
    assert len(batches) > 10
    for name in scan_.schema.names:
        assert len({tuple(batch[name].dictionary.to_pylist()) for batch in batches}) == 1


def test_the_dictionary_holds_only_what_is_selected() -> None:
    batch = next(Scan(SEGMENTS, columns=["entity"], entity="order:3").to_batches())
    assert batch["entity"].dictionary.to_pylist() == ["order:3"]


def test_payload_schema_skips_the_look_at_payloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PayloadInference, "update", lambda *_: pytest.fail("payloads were looked at"))
    chosen = Scan(fixture_view("segments"), payload_schema={"amount": pa.string(), "nobody": pa.int8()})
    assert chosen.schema.names[-2:] == ["payload.amount", "payload.nobody"]
    table = chosen.to_arrow()
    assert table.column("payload.nobody").null_count == table.num_rows
    assert any("did not fit" in note for note in chosen.explain().payload_notes)


@pytest.mark.parametrize("payload", ["columns", "frame", None])
def test_no_columns_are_as_many_rows_as_any(payload: str | None) -> None:
    nothing = Scan(SEGMENTS, columns=[], payload=payload)
    rows = nothing.count()
    assert rows == nothing.to_arrow().num_rows == len(nothing.to_pandas()) > 0
    assert sum(batch.num_rows for batch in nothing.to_batches(batch_size=7)) == nothing.to_reader().read_all().num_rows
    assert len(Scan(SEGMENTS, columns=[], filters=[("payload.amount", "=", None)], limit=3).to_pandas()) == 3


def test_payloads_without_a_field_are_rows_without_columns(tmp_path: Path) -> None:
    scan_ = Scan(view_of(tmp_path / "s", [event(number, {}) for number in range(3)]), columns=["payload"])
    assert scan_.to_arrow().shape == (3, 0) and scan_.to_pandas().shape == (3, 0)


def test_what_did_not_fit_is_counted_once_however_often_it_is_read() -> None:
    chosen = Scan(fixture_view("segments"), payload_schema={"amount": pa.string()})
    chosen.to_arrow()
    told = [note for note in chosen.explain().payload_notes if "did not fit" in note]
    assert told == ["payload.amount: 17 values did not fit the type and are null"]
    chosen.to_arrow(), list(chosen.to_batches(batch_size=7)), chosen.count(), chosen._repr_html_()
    assert [note for note in chosen.explain().payload_notes if "did not fit" in note] == told


def test_payload_types_are_found_once_per_view_and_selection(monkeypatch: pytest.MonkeyPatch) -> None:
    view, calls = fixture_view("segments"), spy(monkeypatch, PayloadInference, "update", lambda *_: 1)
    first = Scan(view).schema
    once = len(calls)
    assert once > 0
    assert Scan(view, payload="columns", columns="all").schema.names[-1] == first.names[-1]
    assert len(calls) == once
    Scan(view, entity="order:3").schema  # noqa: B018
    assert len(calls) > once


def test_types_are_unified_over_the_rows_selected_only(tmp_path: Path) -> None:
    view = view_of(tmp_path / "s", [event(0, {"a": 1}), event(1, {"a": "x"}, entity="order:2")])
    assert Scan(view, entity="order:1").schema.field("payload.a").type == pa.int64()
    assert Scan(view).schema.field("payload.a").type == pa.string()
    assert Scan(view, limit=1).schema.field("payload.a").type == pa.int64()


# -- batches and order ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 100, 10_000])
@pytest.mark.parametrize("payload", ["columns", "frame", None])
def test_any_batch_size_gives_the_same_rows(size: int, payload: str | None) -> None:
    whole = Scan(SEGMENTS, columns="all", payload=payload)
    batches = list(whole.to_batches(batch_size=size))
    assert all(0 < batch.num_rows <= size for batch in batches)
    assert all(batch.schema == whole.schema for batch in batches)
    assert pa.Table.from_batches(batches).to_pylist() == whole.to_arrow().to_pylist()


@pytest.mark.parametrize("size", [0, -1, True, 2.0])
def test_a_batch_size_that_makes_no_sense_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        Scan(SEGMENTS).to_batches(batch_size=size)


def test_large_events_make_small_batches_and_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MAX_CHUNK_BYTES", 2000)
    monkeypatch.setattr(windows, "MAX_WINDOW_BYTES", 1000)
    asked = spy(monkeypatch, SegmentRows, "window", lambda _, low, high: high - low)
    view = fixture_view("segments")
    cut = Scan(view, columns="all", payload="frame")
    batches = list(cut.to_batches())
    assert len(batches) > 30
    assert len(asked) > len(batches)
    monkeypatch.undo()
    assert (
        pa.Table.from_batches(batches).to_pylist() == Scan(view, columns="all", payload="frame").to_arrow().to_pylist()
    )


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 40), st.sampled_from(["columns", "frame"]))
def test_interleaved_runs_come_out_in_commit_order(random: Any, size: int, payload: str) -> None:
    plain = Scan(SEGMENTS, columns="all", payload=payload, system=True).to_arrow().to_pylist()
    by_place = {(row["segment_id"], row["offset"]): row for row in plain}
    cut = []
    for run in SEGMENTS.runs:
        at = run.start
        while at < run.stop:
            stop = min(run.stop, at + random.randint(1, 9))
            cut.append(Run(run.segment, at, stop))
            at = stop
    random.shuffle(cut)
    shuffled = in_runs(SEGMENTS, cut)
    expected = []
    for run in cut:
        segment = SEGMENTS.segments[run.segment]
        places = [(segment.segment_id, int(o)) for o in segment.rows["offset"][run.start : run.stop]]
        expected += [by_place[place] for place in places]
    given_options: dict[str, Any] = {"columns": "all", "payload": payload, "system": True}
    found = [row for batch in Scan(shuffled, **given_options).to_batches(size) for row in batch.to_pylist()]
    assert found == expected
    some = [row["event_id"] for row in expected if row["flags"] == 0 and row["kind"] != 0x1001]
    options: dict[str, Any] = {
        "columns": ["event_id", "entity"],
        "filters": [("flags", "=", 0), ("kind", "!=", 0x1001)],
    }
    batches = Scan(shuffled, system=True, **options).to_batches(size)
    assert [event_id for batch in batches for event_id in batch["event_id"].to_pylist()] == some


def test_hidden_rows_never_come_out() -> None:
    view = fixture_view("hidden")
    assert any(segment.excluded.any() for segment in view.segments)
    hidden = {int(s) for segment in view.segments for s in segment.sequence[segment.excluded]}
    assert not hidden & set(sequences(view, system=True))
    assert len(sequences(view, system=True)) == view.event_count


def test_an_expired_view_says_so_before_the_first_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def expired(_: Any) -> Any:
        raise ViewExpiredError("gone")

    monkeypatch.setattr(type(SEGMENTS), "pinned", expired)
    batches = Scan(SEGMENTS, columns=["flags"]).to_batches()
    with pytest.raises(ViewExpiredError):
        next(batches)


def test_a_stream_left_early_lets_go_of_the_files() -> None:
    batches = Scan(SEGMENTS, columns=["flags"]).to_batches(batch_size=1)
    next(batches)
    batches.close()
    assert Scan(SEGMENTS, columns=["flags"]).to_arrow().num_rows == TOTAL


def test_threads_may_share_a_scan() -> None:
    shared, found = Scan(fixture_view("segments"), columns="all"), []
    threads = [threading.Thread(target=lambda: found.append(shared.to_arrow())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(table.equals(found[0]) for table in found)


# -- limit, count, progress, memory -----------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 1, 20, 21, 120, 121])
@pytest.mark.parametrize("filters", [None, [("payload.total", ">", 0)], [("flags", ">=", 0)], [("kind", ">", 4097)]])
def test_limit_is_a_prefix_and_count_agrees(limit: int, filters: Any) -> None:
    options: dict[str, Any] = {"columns": ["event_id", "timestamp"], "filters": filters}
    everything = rows(SEGMENTS, **options)
    limited = Scan(SEGMENTS, limit=limit, **options)
    assert limited.to_arrow().to_pylist() == everything[:limit]
    assert limited.count() == len(everything[:limit])
    assert [r for b in limited.to_batches(3) for r in b.to_pylist()] == everything[:limit]


def test_limit_stops_reading_early(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = spy(monkeypatch, kernels, "take_frames", lambda given, **_: sum(row_count(one.rows) for one in given))
    Scan(fixture_view("segments"), columns="all", limit=1).to_arrow()
    assert 0 < sum(asked) <= 3


@pytest.mark.parametrize("limit", [-1, True, "10", 1.5])
def test_a_limit_that_makes_no_sense_is_refused(limit: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="limit"):
        Scan(SEGMENTS, limit=limit)


def test_count_of_the_index_reads_no_frame(no_frames: None) -> None:
    assert Scan(SEGMENTS, columns="all", filters=[("entity", "!=", "order:3")], limit=10_000).count() > 50


def test_columns_may_be_an_empty_list() -> None:
    assert Scan(SEGMENTS, columns=[]).count() == TOTAL
    assert Scan(SEGMENTS, columns=[]).to_arrow().num_columns == 0


def test_progress_reaches_the_total() -> None:
    heard: list[tuple[int, int]] = []
    batches = Scan(SEGMENTS, columns=["flags"], progress=lambda *seen: heard.append(seen)).to_batches(100)
    assert sum(batch.num_rows for batch in batches) == TOTAL
    assert heard == [(100, TOTAL), (TOTAL, TOTAL)]


def test_progress_must_be_callable() -> None:
    with pytest.raises(TypeError, match="progress"):
        Scan(SEGMENTS, progress="yes")  # type: ignore[arg-type]


def test_a_result_larger_than_memory_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, no_frames: None
) -> None:
    monkeypatch.setattr(scan, "available_bytes", lambda: 3_000)
    with pytest.raises(ResultTooLargeError, match=r"limit=.*columns=.*scan_batpak") as caught:
        Scan(SEGMENTS, payload="binary").to_arrow()
    assert isinstance(caught.value, MemoryError)
    assert Scan(SEGMENTS, columns=["kind"]).to_arrow().num_rows == TOTAL
    assert Scan(SEGMENTS, columns=INDEX_SCHEMA.names, limit=5).to_arrow().num_rows == 5


def test_a_filtered_result_larger_than_memory_is_refused_while_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = Scan(SEGMENTS, columns="all", payload="binary", filters=[("flags", ">=", 0)])
    narrow = Scan(SEGMENTS, columns="all", payload="binary", filters=[("payload_size", "<", 0)])
    monkeypatch.setattr(scan, "available_bytes", lambda: 3_000)
    with pytest.raises(ResultTooLargeError):
        wide.to_arrow()
    assert narrow.to_arrow().num_rows == 0


def test_unknown_memory_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "available_bytes", lambda: None)
    assert Scan(SEGMENTS, columns=["kind"]).to_arrow().num_rows == TOTAL
    assert memory.available_bytes() is None or memory.available_bytes() > 0  # type: ignore[operator]


# -- plans and protocols ----------------------------------------------------------------------------------


def test_explain_names_what_is_kept_pruned_touched_and_chosen() -> None:
    view = fixture_view("segments")
    plan = Scan(view, as_of=40, columns=["kind", "flags", "payload"]).explain()
    assert plan.tiers == (Tier.INDEX, Tier.FRAME, Tier.PAYLOAD)
    assert 0 < len(plan.kept) < len(plan.segments)
    assert all("as_of" in (segment.reason or "") for segment in plan.pruned)
    assert plan.rows == 40
    assert 0 < plan.frame_bytes < sum(segment.size_bytes for segment in view.segments)
    text = str(plan)
    for part in ("pruned", "as_of (sequence 40)", "payload.amount", "tiers", "KiB", "findings  none"):
        assert part in text
    assert repr(plan) == text
    assert "&lt;" in replace(plan, path="<b>")._repr_html_()


def test_explain_of_index_columns_reads_no_frame(no_frames: None) -> None:
    plan = Scan(SEGMENTS, columns=["kind"], filters=[("kind", "=", 1)]).explain()
    assert plan.frame_bytes == 0
    assert plan.tiers == (Tier.INDEX,)
    assert not plan.kept
    assert "filters: no kind = 1" in str(plan)


def test_explain_tells_what_is_filtered_after_decoding() -> None:
    plan = Scan(SEGMENTS, columns=["kind"], filters=[("kind", ">", 1), ("payload.total", ">", 1.5)]).explain()
    assert plan.filtered_later == ("payload.total",)
    assert Tier.PAYLOAD in plan.tiers


def test_the_capsule_interface_gives_a_new_stream_each_time() -> None:
    source = Scan(SEGMENTS, columns=["kind", "entity", "payload"], payload="frame")
    assert pa.schema(source) == source.schema
    for _ in range(2):
        assert pa.table(source).equals(source.to_arrow())
    assert pa.RecordBatchReader.from_stream(source).read_all().num_rows == TOTAL


def test_reprs_show_kinds_in_hex_and_ids_by_their_end() -> None:
    chosen = Scan(SEGMENTS, columns=["event_id", "causation_id", "kind", "payload"], payload="json", limit=3)
    first = rows(SEGMENTS, columns=["event_id"], limit=1)[0]["event_id"].hex()
    card = chosen._repr_html_()
    assert f"…{first[-8:]}" in card
    assert first not in card
    assert "0x10" in card
    assert f"{TOTAL} events selected" in repr(chosen)
    assert "<table>" not in Scan(SEGMENTS, entity="nobody")._repr_html_()


def test_the_card_does_not_look_at_every_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = spy(monkeypatch, PayloadInference, "update", lambda *arguments: len(arguments[-1]))
    Scan(fixture_view("segments"))._repr_html_()
    assert sum(seen) == scan.PREVIEW_ROWS


def test_numbers_in_the_index_survive_at_their_limits(tmp_path: Path) -> None:
    top = replace(event(0), position=replace(event(0).position, wall_ms=2**64 - 1, lane=2**32 - 1, clock=2**32 - 1))
    view = view_of(tmp_path / "s", [top])
    found = Scan(view, columns=["wall_time", "lane", "clock"]).to_arrow()
    assert found.column("lane").to_pylist() == found.column("clock").to_pylist() == [2**32 - 1]
    assert found.column("wall_time").cast(pa.int64()).to_pylist() == [2**63 - 1]
    assert np.uint64(2**64 - 1) == view.segments[0].rows["wall_ms"][0]
