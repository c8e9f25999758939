"""`payload="frame"`: views of the mapped file itself."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from batpak_analytics.arrow.scan import Scan
from batpak_analytics.format.event import encode_event
from batpak_analytics.format.frame import encode_frame
from batpak_analytics.reader import open_reader
from tests.arrow.scan_stores import FIXTURES, event, fixture_view, in_runs, rows, store_of


def stored_frames(view: Any) -> dict[int, bytes]:
    found = {}
    for segment in view.segments:
        data = Path(segment.path).read_bytes()
        for sequence, row in zip(segment.sequence.tolist(), segment.rows, strict=True):
            found[sequence] = data[int(row["offset"]) : int(row["offset"]) + int(row["length"])]
    return found


@pytest.mark.parametrize("name", ["segments", "crash", "merge", "encrypted"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_payload_is_the_frame_as_stored(name: str, size: int) -> None:
    view = fixture_view(name)
    frames = stored_frames(view)
    scan = Scan(view, columns=["global_sequence", "payload"], payload="frame", system=True)
    assert scan.schema.field("payload").type == pa.binary_view()
    for batch in scan.to_batches(size):
        batch.validate(full=True)
        for row in batch.to_pylist():
            assert row["payload"] == frames[row["global_sequence"]]


def test_no_frame_is_copied() -> None:
    view = fixture_view("segments")
    where = {}
    for segment in view.segments:
        assert segment.mapped
        start = segment.window(0, segment.size_bytes).address
        where[segment.segment_id] = (start, start + segment.size_bytes)
    checked = 0
    for batch in Scan(view, columns=["segment_id", "offset", "payload"], payload="frame").to_batches(50):
        _, views, *buffers = batch["payload"].buffers()
        table = np.frombuffer(views, "<i4").reshape(-1, 4)
        for (_, _, number, at), segment_id, offset in zip(
            table.tolist(), batch["segment_id"].to_pylist(), batch["offset"].to_pylist(), strict=True
        ):
            low, high = where[segment_id]
            assert low <= buffers[number].address < high
            assert buffers[number].address + at == low + offset
            checked += 1
    assert checked == Scan(view).count()


def test_views_outlive_the_reader() -> None:
    reader = open_reader(FIXTURES / "quickstart")
    frames = stored_frames(reader.view)
    table = reader.events(columns=["global_sequence", "payload"], payload="frame").to_arrow()
    reader.close()
    del reader
    gc.collect()
    for row in table.to_pylist():
        assert row["payload"] == frames[row["global_sequence"]]


def test_what_is_not_mapped_gives_the_same_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"columns": "all", "payload": "frame", "system": True}
    mapped = rows(fixture_view("segments"), **options)
    monkeypatch.setattr("batpak_analytics.engine.mapping.map_file", lambda *_: None)
    view = fixture_view("segments")
    assert not any(segment.mapped for segment in view.segments)
    assert rows(view, **options) == mapped


def test_filters_and_order_apply_to_views_which_arrow_cannot_take(tmp_path: Path) -> None:
    events = [event(n, {"a": n}) for n in range(10)]
    view = open_reader(store_of(tmp_path / "s", events[:5], events[5:])).view
    runs = tuple(replace(run, start=at, stop=at + 1) for at in range(5) for run in reversed(view.runs))
    mixed = in_runs(view, runs)
    expected = [encode_frame(encode_event(events[n])) for n in (5, 0, 6, 1, 7, 2, 8, 3, 9, 4)]
    found = rows(mixed, columns=["payload"], payload="frame")
    assert [row["payload"] for row in found] == expected
    some = rows(mixed, columns=["payload"], payload="frame", filters=[("payload.a", ">", 2)])
    assert [row["payload"] for row in some] == [expected[n] for n in (0, 2, 4, 6, 7, 8, 9)]
