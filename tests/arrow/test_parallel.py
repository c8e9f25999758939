"""Threads: the same rows in the same order, errors in their place, nothing left running."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pyarrow as pa
import pytest
from hypothesis import given, settings

from batpak_analytics.arrow import scan
from batpak_analytics.arrow.scan import Scan
from batpak_analytics.engine import parallel
from batpak_analytics.engine.parallel import in_order
from batpak_analytics.errors import UnknownColumnError
from tests.arrow.scan_stores import FIXTURES, event, fixture_view, view_of
from tests.arrow.test_payload_properties import PAYLOADS

NAMES = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set how many threads scans use; batches of a few rows, so that there are more of them than threads."""
    monkeypatch.setattr(scan, "BATCH_SIZE", 7)
    return lambda count: monkeypatch.setattr(parallel, "thread_count", lambda: count)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(count: int) -> None:
    assert list(in_order(lambda n: n * n, range(50), count)) == [n * n for n in range(50)]
    assert list(in_order(lambda n: n, [], count)) == []


@pytest.mark.parametrize("count", [1, 3])
def test_an_error_is_raised_in_its_place(count: int) -> None:
    seen = []
    with pytest.raises(ZeroDivisionError):
        for value in in_order(lambda n: 6 // n, [3, 2, 0, 1], count):
            seen.append(value)
    assert seen == [2, 3]


def test_only_a_few_results_wait_and_closing_stops_the_rest() -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for n in range(1000):
            asked.append(n)
            yield n

    running = in_order(lambda n: n, items(), 2)
    assert next(running) == 0
    assert len(asked) <= 4
    running.close()
    assert len(asked) <= 4
    assert not [one for one in threading.enumerate() if one.name.startswith("batpak-scan")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("payload", ["columns", "json", "frame"])
def test_one_thread_and_many_give_the_same(name: str, payload: str, threads: Any) -> None:
    tables, findings = [], []
    for count in (1, 4):
        threads(count)
        view = fixture_view(name)
        tables.append(Scan(view, columns="all", payload=payload, system=True).to_arrow())
        findings.append(view.findings)
    assert tables[0].schema == tables[1].schema
    assert repr(tables[0].to_pylist()) == repr(tables[1].to_pylist())  # by text, as NaN is not equal to itself
    assert findings[0] == findings[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_result_is_the_stream_in_one(name: str, threads: Any) -> None:
    threads(2)
    for options in ({}, {"columns": "all", "system": True}, {"limit": 9}, {"columns": ["payload", "entity"]}):
        whole = Scan(fixture_view(name), **options).to_arrow()
        streamed = pa.Table.from_batches(*_stream(Scan(fixture_view(name), **options)))
        assert whole.schema == streamed.schema
        assert repr(whole.to_pylist()) == repr(streamed.to_pylist())


def _stream(one: Scan) -> tuple[list[pa.RecordBatch], pa.Schema]:
    schema = one.schema  # decided by a pass of its own, before the first batch
    return list(one.to_batches()), schema


@settings(max_examples=60, deadline=None)
@given(PAYLOADS)
def test_chunks_that_differ_in_type_end_as_one_schema(payloads: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "BATCH_SIZE", 2)
        with tempfile.TemporaryDirectory() as folder:
            events = [event(n, msgpack.packb(value)) for n, value in enumerate(payloads, 1)]
            groups = [events] if events else [[event(1)]]
            view = view_of(Path(folder) / "s", *groups)
            whole = Scan(view).to_arrow()
            view.cache.clear()
            streamed = pa.Table.from_batches(*_stream(Scan(view)))
    assert whole.schema == streamed.schema
    assert repr(whole.to_pylist()) == repr(streamed.to_pylist())


def test_unknown_field_is_refused_after_one_pass_too(tmp_path: Path) -> None:
    view = view_of(tmp_path / "s", [event(1, {"a": 1})])
    with pytest.raises(UnknownColumnError, match=r"payload\.a'"):
        Scan(view, columns=["payload.aa"]).to_arrow()
