"""Tables become the events that single appends would make of their rows, or say exactly how far they came."""

from __future__ import annotations

import errno
import math
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.arrow.schema import ID
from batpak_analytics.engine.filesystem import DescriptorCache
from batpak_analytics.engine.view import build_view
from batpak_analytics.store.files import WRITE_BYTES, Files

KIND = 0x1001


def stored(path: Path) -> list[dict[str, Any]]:
    """The events of a store without its own, payloads as JSON text."""
    rows: list[dict[str, Any]] = bp.scan_batpak(path, columns="all", payload="json").to_arrow().to_pylist()
    return rows


class Counting:
    """Ids that are 1, 2, 3 and so on."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, now_us: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(16)

    def many(self, now_us: int, count: int) -> Any:
        return np.frombuffer(b"".join(self(now_us) for _ in range(count)), np.uint8).reshape(count, 16)


def small() -> pa.Table:
    return pa.table({"e": ["a", "b", "a", "c", "a"], "n": [1, 2, 3, 4, 5], "s": ["x", None, "é", "", "y" * 40]})


# -- the same bytes as append_batch ----------------------------------------------------------------------------
def test_bytes_are_those_of_append_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batpak_analytics.store.writer.IdSource", Counting)
    monkeypatch.setattr("batpak_analytics.store.lifecycle.opened_payload", lambda state, elapsed: b"\x80")
    config = bp.StoreConfig(clock=lambda: 1_700_000_000_123_456)
    table = small()
    cause = bytes(range(16))
    with bp.Store.open(tmp_path / "items", config=config) as store:
        for low in range(0, len(table), 2):
            rows = table.slice(low, 2).to_pylist()
            store.append_batch(
                [bp.BatchItem(row.pop("e"), "shop", KIND, row, causation_id=cause) for row in rows]
            )  # fmt: skip
    with bp.Store.open(tmp_path / "table", config=config) as store:
        store.append_frame(table, entity="e", scope="shop", kind=KIND, causation_id=cause, batch_rows=2)
    files = [(tmp_path / name / "000001.fbat").read_bytes() for name in ("items", "table")]
    assert files[0] == files[1]


# -- round trips -----------------------------------------------------------------------------------------------
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (pa.bool_(), st.booleans()),
    (pa.int8(), st.integers(-128, 127)),
    (pa.int64(), st.integers(-(1 << 63), (1 << 63) - 1)),
    (pa.uint16(), st.integers(0, 65535)),
    (pa.uint64(), st.integers(0, (1 << 64) - 1)),
    (pa.float32(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    (pa.string(), texts),
    (pa.large_string(), texts),
    (pa.string_view(), texts),
    (pa.null(), st.none()),
    (pa.list_(pa.int32()), st.lists(st.integers(-9, 9) | st.none(), max_size=3)),
    (pa.large_list(pa.string()), st.lists(texts, max_size=3)),
    (pa.list_(pa.int16(), 2), st.lists(st.integers(-9, 9), min_size=2, max_size=2)),
    (
        pa.struct({"z": pa.int64(), "a": pa.list_(pa.float64())}),
        st.fixed_dictionaries({"z": st.integers(0, 9), "a": st.lists(st.just(1.5), max_size=2)}),
    ),
]


@st.composite
def tables(draw: Any) -> pa.Table:
    count = draw(st.integers(0, 12))
    names = draw(st.lists(texts.filter(lambda name: name != "entity"), max_size=4, unique=True))
    arrays = []
    for _ in names:
        kind, values = draw(st.sampled_from(TYPES))
        array = pa.array(draw(st.lists(st.none() | values, min_size=count, max_size=count)), kind)
        arrays.append(array.dictionary_encode() if kind == pa.string() and draw(st.booleans()) else array)
    entities = pa.array(draw(st.lists(st.sampled_from("abc"), min_size=count, max_size=count)), pa.string())
    table = pa.Table.from_arrays([entities, *arrays], names=["entity", *names])
    low = draw(st.integers(0, count))
    pieces = [table.slice(0, low), table.slice(low)]
    return pa.concat_tables(pieces) if draw(st.booleans()) else table.slice(min(1, count))


@given(tables(), st.integers(1, 13))
@settings(max_examples=60, deadline=None)
def test_rows_are_read_back_and_are_what_append_makes(
    tmp_path_factory: pytest.TempPathFactory, table: pa.Table, batch_rows: int
) -> None:
    path, other = tmp_path_factory.mktemp("table"), tmp_path_factory.mktemp("single")
    with bp.Store.open(path) as store:
        done = store.append_frame(table, entity="entity", scope="s", kind=KIND, batch_rows=batch_rows)
    rows = table.to_pylist()
    with bp.Store.open(other) as store:
        for row in rows:
            store.append(row.pop("entity"), "s", KIND, row)
    found, expected = stored(path), stored(other)
    for name in ("entity", "scope", "kind", "clock", "lane", "depth", "flags", "payload_version", "global_sequence"):
        assert [row[name] for row in found] == [row[name] for row in expected], name
    if not any(pa.types.is_float32(field.type) for field in table.schema):  # which `append` has no type for
        assert [row["event_hash"] for row in found] == [row["event_hash"] for row in expected]
        assert [row["prev_hash"] for row in found] == [row["prev_hash"] for row in expected]
    assert [row["payload"] for row in found] == [row["payload"] for row in expected]
    assert done.event_ids.to_pylist() == [row["event_id"] for row in found]
    assert done.rows == len(rows)
    assert not bp.open_reader(path).check()


def test_frame_of_pandas_is_read_back_equal(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "who": pd.Categorical(["u:1", "u:2", "u:1"]),
            "count": [1, 2, 3],
            "ratio": [0.5, math.nan, math.inf],
            "single": np.array([0.1, math.nan, 2], np.float32),
            "name": ["x", None, "z"],
            "flag": [True, False, True],
            "whole": pd.array([1, None, 3], "Int64"),
            "color": pd.Categorical(["red", None, "blue"]),
            "at": np.array(["2026-01-01", "NaT", "2026-01-02"], "datetime64[us]"),
        },
        index=[7, 8, 9],
    )
    with bp.Store.open(tmp_path) as store:
        store.append_frame(frame, entity="who", scope="s", kind=KIND)
    table = bp.scan_batpak(tmp_path, columns=["entity", *(f"payload.{name}" for name in frame.columns[1:])]).to_arrow()
    found = {name.removeprefix("payload."): table[name].to_pylist() for name in table.column_names}
    assert found["entity"] == ["u:1", "u:2", "u:1"]
    assert found["count"] == [1, 2, 3]
    assert found["ratio"][0] == 0.5 and math.isnan(found["ratio"][1]) and found["ratio"][2] == math.inf
    assert found["single"][0] == float(np.float32(0.1)) and math.isnan(found["single"][1])
    assert found["name"] == ["x", None, "z"]
    assert found["flag"] == [True, False, True]
    assert found["whole"] == [1, None, 3]
    assert found["color"] == ["red", None, "blue"]
    assert found["at"] == [1767225600000000, None, 1767312000000000]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.timestamp("ns", "UTC"), 7), (pa.timestamp("s"), -7), (pa.date32(), 3), (pa.date64(), 86_400_000),
        (pa.time32("ms"), 5), (pa.time64("ns"), 6), (pa.duration("us"), 9), (pa.float16(), np.float16(1.5)),
    ],
)  # fmt: skip
def test_times_are_integers_of_their_unit(tmp_path: Path, kind: pa.DataType, value: Any) -> None:
    table = pa.table({"t": pa.array([None, value, value], kind)}).slice(1)
    with bp.Store.open(tmp_path) as store:
        store.append_frame(table, entity=bp.literal("e"), scope="s", kind=KIND)
    assert [row["payload"] for row in stored(tmp_path)] == [f'{{"t":{value}}}'] * 2


class Stream:
    """Something that is no Arrow object and exports a stream, once."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


SOURCES: list[Callable[[pa.Table], Any]] = [
    lambda table: table,
    lambda table: table.to_batches()[0],
    lambda table: pa.RecordBatchReader.from_batches(table.schema, (b for b in table.to_batches(max_chunksize=2))),
    lambda table: table.to_pandas(),
    Stream,
]


@pytest.mark.parametrize("made_of", SOURCES)
@pytest.mark.parametrize("batch_rows", [1, 3, 100])
def test_every_kind_of_table_is_taken(tmp_path: Path, made_of: Callable[[pa.Table], Any], batch_rows: int) -> None:
    with bp.Store.open(tmp_path) as store:
        done = store.append_frame(made_of(small()), entity="e", scope="s", kind=KIND, batch_rows=batch_rows)
    assert [row["payload"] for row in stored(tmp_path)][:2] == ['{"n":1,"s":"x"}', '{"n":2,"s":null}']
    assert (done.rows, done.first_sequence, done.last_sequence) == (5, 1, 5)
    assert len(done.ranges) == math.ceil(5 / batch_rows)


def test_dictionaries_may_differ_from_batch_to_batch(tmp_path: Path) -> None:
    batches = [
        pa.record_batch({"e": pa.array(names).dictionary_encode(), "v": pa.array(names).dictionary_encode()})
        for names in (["a", "b"], ["c", "a"], ["b", None][:1])
    ]
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, batches)
    with bp.Store.open(tmp_path) as store:
        store.append_frame(reader, entity="e", scope="s", kind=KIND)
    assert [row["entity"] for row in stored(tmp_path)] == ["a", "b", "c", "a", "b"]
    assert stored(tmp_path)[3]["payload"] == '{"v":"a"}'


def test_a_stream_is_read_as_it_is_written(tmp_path: Path) -> None:
    read = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal read
        for _ in range(20):
            read += 1
            yield pa.record_batch({"n": range(10)})

    seen = []
    reader = pa.RecordBatchReader.from_batches(pa.schema({"n": pa.int64()}), batches())
    with bp.Store.open(tmp_path) as store:
        store.append_frame(reader, entity=bp.literal("e"), scope="s", kind=KIND, batch_rows=10,
                           progress=lambda done, total: seen.append((done, total, read)))  # fmt: skip
    assert [(done, total) for done, total, _ in seen] == [(10 * n, None) for n in range(1, 21)]
    assert all(ahead <= done // 10 + 2 for done, _, ahead in seen)


# -- parts of events -------------------------------------------------------------------------------------------
def test_parts_come_from_columns_or_are_the_same_for_all(tmp_path: Path) -> None:
    one, two = uuid.UUID(int=1 << 100), uuid.UUID(int=7)
    table = pa.table(
        {
            "kind": pa.array([0x1001, 0x2002, 0x1001], pa.int32()), "region": ["eu", "us", "eu"],
            "cause": [one.hex, None, str(two)], "link": pa.array([one.bytes, two.bytes, None], pa.binary()),
            "n": [1, 2, 3],
        }
    )  # fmt: skip
    with bp.Store.open(tmp_path) as store:
        store.append_frame(table, entity=bp.literal("e"), scope=bp.column("region"), kind="kind", payload=["n"],
                           causation_id="cause", correlation_id="link")  # fmt: skip
        store.append_frame(table, entity="region", scope="s", kind=bp.literal(KIND), payload=[], causation_id=two)
    found = stored(tmp_path)
    assert [row["scope"] for row in found] == ["eu", "us", "eu", "s", "s", "s"]
    assert [row["kind"] for row in found] == [0x1001, 0x2002, 0x1001, KIND, KIND, KIND]
    assert [row["causation_id"] for row in found] == [one.bytes, None, two.bytes, two.bytes, two.bytes, two.bytes]
    assert [row["correlation_id"] for row in found][:3] == [one.bytes, two.bytes, found[2]["event_id"]]
    assert [row["payload"] for row in found] == ['{"n":1}', '{"n":2}', '{"n":3}', "{}", "{}", "{}"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.binary(16), pa.string_view()])
def test_ids_of_every_type(tmp_path: Path, kind: pa.DataType) -> None:
    ids = [bytes([n]) * 16 for n in range(1, 4)]
    values = [None, *(one.hex() if kind in (pa.string(), pa.large_string(), pa.string_view()) else one for one in ids)]
    table = pa.table({"n": [0, 1, 2, 3], "c": pa.array(values, kind)}).slice(1)
    with bp.Store.open(tmp_path) as store:
        store.append_frame(table, entity=bp.literal("e"), scope="s", kind=KIND, causation_id="c")
    assert [row["causation_id"] for row in stored(tmp_path)] == ids


def test_links_go_on_from_and_to_single_appends(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path) as store:
        before = store.append("a", "s", KIND, 0)
        store.append_frame(small(), entity="e", scope="s", kind=KIND, batch_rows=2)
        assert store.append("a", "s", KIND, 0).clock == 4
    with bp.Store.open(tmp_path) as store:
        assert store.append("c", "s", KIND, 0).clock == 1
    found = [row for row in stored(tmp_path) if row["entity"] == "a"]
    assert [row["clock"] for row in found] == [0, 1, 2, 3, 4]
    assert [row["prev_hash"] for row in found[1:]] == [row["event_hash"] for row in found[:-1]]
    assert found[0]["event_hash"] == before.content_hash


def test_batches_go_into_small_segments_with_footers(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path, config=bp.StoreConfig(segment_max_bytes=3000)) as store:
        table = pa.table({"e": [f"e:{n % 3}" for n in range(40)], "n": range(40)})
        done = store.append_frame(table, entity="e", scope="s", kind=KIND, batch_rows=3)
    view = build_view(tmp_path, "raise", DescriptorCache(), {})
    assert len(view.segments) > 5
    assert {segment.footer_state for segment in view.segments} == {"trusted"}
    assert [row["global_sequence"] for row in stored(tmp_path)] == list(range(1, 41))
    assert done.event_ids.type == ID


def test_ids_of_tables_are_known_as_used_keys(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path) as store:
        store.append("e", "s", KIND, 1, idempotency_key=5)
        assert store.append("e", "s", KIND, 1, idempotency_key=5).replayed
        done = store.append_frame(small(), entity="e", scope="s", kind=KIND)
        again = store.append("a", "s", KIND, 1, idempotency_key=done.event_ids[4].as_py())
        assert (again.replayed, again.global_sequence) == (True, done.last_sequence)


def test_an_empty_table_writes_nothing(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path) as store:
        before = (tmp_path / "000001.fbat").read_bytes()
        done = store.append_frame(small().slice(0, 0), entity="e", scope="s", kind=KIND)
        assert (tmp_path / "000001.fbat").read_bytes() == before
    assert (done.rows, done.first_sequence, done.last_sequence, len(done.event_ids)) == (0, None, None, 0)


def test_payloads_of_a_batch_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batpak_analytics.store.table.append.MAX_BATCH_BYTES", 100)
    table = pa.table({"t": ["x" * size for size in (10, 10, 300, 10, 80, 80, 5, 5)]})
    with bp.Store.open(tmp_path) as store:
        done = store.append_frame(table, entity=bp.literal("e"), scope="s", kind=KIND)
    assert [last - first + 1 for first, last in done.ranges] == [2, 1, 2, 2, 1]
    assert [row["clock"] for row in stored(tmp_path)] == list(range(8))


def test_long_rows_are_taken_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batpak_analytics.store.table.append.BLOCK_BYTES", 10_000)
    table = pa.table({"n": range(300), "t": [f"{n % 10}" * (n % 7 * 100) for n in range(300)]})
    sizes: list[list[int]] = []
    for made in (table, pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=3))):
        path = tmp_path / str(len(sizes))
        with bp.Store.open(path) as store:
            done = store.append_frame(made, entity=bp.literal("e"), scope="s", kind=KIND)
        sizes.append([last - first + 1 for first, last in done.ranges])
        assert bp.scan_batpak(path, columns=["payload.n", "payload.t"]).to_arrow()["payload.n"].to_pylist() == [
            *range(300)
        ]
    assert all(10 < max(one) < 60 for one in sizes)


# -- what is refused -------------------------------------------------------------------------------------------
REFUSED: list[tuple[dict[str, Any], dict[str, Any], type[Exception], str]] = [
    ({}, {"entity": "entityy"}, bp.UnknownColumnError, "entity"),
    ({}, {"payload": ["m"]}, bp.UnknownColumnError, "no column 'm'"),
    ({}, {"entity": "n"}, TypeError, "int64, and entity is text"),
    ({}, {"kind": "entity"}, TypeError, "kinds are integers"),
    ({}, {"kind": 0x0008}, bp.AppendRefusedError, "reserved"),
    ({}, {"scope": "a/b"}, bp.AppendRefusedError, "separator"),
    ({}, {"entity": bp.literal("")}, bp.AppendRefusedError, "empty"),
    ({}, {"causation_id": "n"}, TypeError, "ids are text or binary"),
    ({}, {"payload": "n"}, TypeError, "list of names"),
    ({}, {"payload": ["n", "n"]}, bp.AppendRefusedError, "twice"),
    ({}, {"batch_rows": 0}, ValueError, "batch_rows"),
    ({}, {"batch_rows": 1_000_001}, ValueError, "1000000"),
    ({"x": pa.array([b"1"] * 3)}, {}, bp.AppendRefusedError, "base64"),
    ({"x": pa.array([1] * 3, pa.decimal128(5))}, {}, bp.AppendRefusedError, "float64"),
    ({"x": pa.array([[("a", 1)]] * 3, pa.map_(pa.string(), pa.int8()))}, {}, bp.AppendRefusedError, "struct"),
    ({"x": pa.array([{"y": b"1"}] * 3)}, {}, bp.AppendRefusedError, r"x\.y"),
    ({"x": pa.array([[b"1"]] * 3)}, {}, bp.AppendRefusedError, r"x\[\]"),
]


@pytest.mark.parametrize(("columns", "options", "error", "message"), REFUSED)
def test_wrong_arguments_write_nothing(
    tmp_path: Path, columns: dict[str, Any], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    table = pa.table({"entity": ["a", "b", "c"], "n": [1, 2, 3], **columns})
    with bp.Store.open(tmp_path) as store:
        before = (tmp_path / "000001.fbat").read_bytes()
        with pytest.raises(error, match=message):
            store.append_frame(table, **{"entity": "entity", "scope": "s", "kind": KIND, **options})
        with pytest.raises(TypeError, match="is no table"):
            store.append_frame([1], entity="entity", scope="s", kind=KIND)
        assert (tmp_path / "000001.fbat").read_bytes() == before


def test_columns_of_pandas_that_have_no_arrow_form_are_refused(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path) as store:
        for frame in (pd.DataFrame({"m": [1, "x"]}), pd.DataFrame({0: [1, 2]}), pd.DataFrame({"m": [object()]})):
            with pytest.raises(bp.AppendRefusedError, match="column"):
                store.append_frame(frame, entity=bp.literal("e"), scope="s", kind=KIND)
        assert store.last_sequence == 0


BAD_ROWS: list[tuple[str, Any, str]] = [
    ("entity", "a/b", "path separator"),
    ("entity", None, "null"),
    ("entity", "é" * 513, "1026 bytes"),
    ("kind", 0xD001, "reserved"),
    ("kind", 1 << 17, "from 0 to"),
    ("kind", None, "null"),
    ("cause", "xyz", "not an event id"),
    ("cause", "00 00" * 8, "not an event id"),
    ("text", "x" * 200, "may have 100"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD_ROWS)
def test_a_bad_row_is_named_and_its_batch_not_written(tmp_path: Path, name: str, value: Any, message: str) -> None:
    columns: dict[str, list[Any]] = {
        "entity": ["a"] * 10, "kind": [KIND] * 10, "cause": [bytes(16).hex()] * 10, "text": ["t"] * 10,
    }  # fmt: skip
    columns[name][6] = value
    with bp.Store.open(tmp_path, config=bp.StoreConfig(append_max_bytes=100)) as store:
        with pytest.raises(bp.AppendFrameError, match=message) as caught:
            store.append_frame(pa.table(columns), entity="entity", scope="s", kind="kind", causation_id="cause",
                               batch_rows=4)  # fmt: skip
        error = caught.value
        assert (error.row, error.appended.rows, error.appended.ranges) == (6, 4, ((1, 4),))
        assert "Row 6" in str(error) and "first 4 rows" in str(error)
        assert isinstance(error.__cause__, ValueError)
        rest = pa.table({name: values[7:] for name, values in columns.items()})
        assert store.append_frame(rest, entity="entity", scope="s", kind="kind").first_sequence == 5
    assert [row["event_id"] for row in stored(tmp_path)][:4] == error.appended.event_ids.to_pylist()


def test_a_source_that_fails_says_what_is_there(tmp_path: Path) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        for _ in range(3):
            yield pa.record_batch({"n": range(4)})
        raise RuntimeError("the database went away")

    reader = pa.RecordBatchReader.from_batches(pa.schema({"n": pa.int64()}), batches())
    with bp.Store.open(tmp_path) as store:
        with pytest.raises(bp.AppendFrameError, match="went away") as caught:
            store.append_frame(reader, entity=bp.literal("e"), scope="s", kind=KIND, batch_rows=4)
        assert caught.value.row is None
        assert caught.value.appended.last_sequence == store.durable_sequence
    assert len(stored(tmp_path)) == caught.value.appended.rows >= 8


def test_an_open_fence_takes_no_table(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path) as store:
        fence = store.begin_fence()
        with pytest.raises(bp.FenceActiveError):
            store.append_frame(small(), entity="e", scope="s", kind=KIND)
        fence.commit()
        assert store.append_frame(small(), entity="e", scope="s", kind=KIND).rows == 5
    with pytest.raises(bp.StoreClosedError):
        store.append_frame(small(), entity="e", scope="s", kind=KIND)


class FailingSync(Files):
    """The real files, of which a certain write or sync of a segment fails; a failed write leaves half."""

    def __init__(self, what: str, at: int) -> None:
        self.what, self.at = what, at

    def _meet(self, what: str) -> None:
        if what == self.what:
            self.at -= 1
            if self.at == 0:
                raise OSError(errno.ENOSPC, "No space left on device")

    def write(self, descriptor: int, data: memoryview) -> int:
        try:
            self._meet("write")
        except OSError:
            os.write(descriptor, data[: len(data) // 2])
            raise
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._meet("sync")
        super().sync(descriptor)


def test_batches_that_are_written_in_parts_are_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever write fails after the open: of a part of a batch, of the closing event, of a part of the footer."""
    monkeypatch.setattr("batpak_analytics.store.files.WRITE_BYTES", 700)
    table = pa.table({"e": [f"e:{n % 3}" for n in range(12)], "n": range(12)})
    told, files, at = set(), FailingSync("write", 0), 0
    while files.at <= 0:  # until one more write than there are would have to fail
        at += 1
        path, files = tmp_path / str(at), FailingSync("write", 0)
        try:
            with bp.Store.open(path, files=files) as store:
                files.at = at
                done = store.append_frame(table, entity="e", scope="s", kind=KIND, batch_rows=4).rows
        except bp.AppendFrameError as error:
            done = error.appended.rows
        except bp.WriteFailedError:
            assert done == 12
        told.add(done)
        assert [row["payload"] for row in stored(path)] == [f'{{"n":{n}}}' for n in range(done)]
        with bp.Store.open(path) as store:
            store.append_frame(table.slice(done), entity="e", scope="s", kind=KIND)
        assert [row["payload"] for row in stored(path)] == [f'{{"n":{n}}}' for n in range(12)]
        assert not [one for one in bp.open_reader(path).check() if one.severity != "info"]
    assert told == {0, 4, 8, 12}
    assert at > 16


@pytest.mark.parametrize("what", ["write", "sync"])
@pytest.mark.parametrize("at", range(3, 8))
def test_a_full_disk_says_which_rows_are_on_it(tmp_path: Path, what: str, at: int) -> None:
    store = bp.Store.open(tmp_path, files=FailingSync(what, at))
    table = pa.table({"e": [f"e:{n % 3}" for n in range(100)], "n": range(100)})
    with pytest.raises(bp.AppendFrameError, match="No space left") as caught:
        store.append_frame(table, entity="e", scope="s", kind=KIND, batch_rows=10)
    kept = caught.value.appended
    assert isinstance(caught.value.__cause__, bp.WriteFailedError)
    assert kept.rows == 10 * (at - 3)
    store.close()
    assert [row["event_id"] for row in stored(tmp_path)] == kept.event_ids.to_pylist()
    with bp.Store.open(tmp_path) as store:
        store.append_frame(table.slice(kept.rows), entity="e", scope="s", kind=KIND)
    assert [row["payload"] for row in stored(tmp_path)] == [f'{{"n":{n}}}' for n in range(100)]
    assert not [one for one in bp.open_reader(tmp_path).check() if one.severity != "info"]


class Measuring(Files):
    """The real files, and the greatest size that was given to a write."""

    most = 0

    def write(self, descriptor: int, data: memoryview) -> int:
        self.most = max(self.most, len(data))
        return super().write(descriptor, data)


def test_no_write_is_so_large_that_the_system_takes_its_largest_pages(tmp_path: Path) -> None:
    """Frames and footers of many megabytes: where such pages are dear, writing takes several times as long."""
    files = Measuring()
    with bp.Store.open(tmp_path, files=files) as store:
        store.append_frame(pa.table({"n": range(16_000)}), entity=bp.literal("e"), scope="s", kind=KIND)
        assert files.most == WRITE_BYTES
    assert len((tmp_path / "000001.fbat").read_bytes()) > 8 * WRITE_BYTES
    assert files.most == WRITE_BYTES < 2 << 20
    assert bp.scan_batpak(tmp_path).count() == 16_000
    assert not bp.open_reader(tmp_path).check()


class Interrupted(Files):
    """The real files; a call is interrupted as by Ctrl-C, a write when half of it is done."""

    def __init__(self, what: str, at: int) -> None:
        self.what, self.at = what, at

    def _meet(self, what: str) -> bool:
        self.at -= what == self.what
        return what == self.what and self.at == 0

    def write(self, descriptor: int, data: memoryview) -> int:
        if self._meet("write"):
            os.write(descriptor, data[: len(data) // 2])
            raise KeyboardInterrupt
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        if self._meet("sync"):
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", range(1, 13))
def test_a_table_interrupted_in_any_part_of_a_batch_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr("batpak_analytics.store.files.WRITE_BYTES", 700)
    table = pa.table({"e": [f"e:{n % 3}" for n in range(12)], "n": range(12)})
    files = Interrupted("write", 0)
    with bp.Store.open(tmp_path, files=files) as store:
        files.at = at
        with pytest.raises(KeyboardInterrupt):
            store.append_frame(table, entity="e", scope="s", kind=KIND, batch_rows=4)
        done = store.last_sequence or 0
        assert done % 4 == 0
        store.append_frame(table.slice(done), entity="e", scope="s", kind=KIND)
    assert [row["payload"] for row in stored(tmp_path)] == [f'{{"n":{n}}}' for n in range(12)]
    assert not bp.open_reader(tmp_path).check()


@pytest.mark.parametrize("what", ["write", "sync"])
def test_an_interrupted_table_leaves_whole_batches_and_a_store_that_goes_on(tmp_path: Path, what: str) -> None:
    table = pa.table({"e": [f"e:{n % 3}" for n in range(50)], "n": range(50)})
    with bp.Store.open(tmp_path, files=Interrupted(what, 5)) as store:
        with pytest.raises(KeyboardInterrupt) as caught:
            store.append_frame(table, entity="e", scope="s", kind=KIND, batch_rows=10)
        assert "The first 20 rows are events" in caught.value.__notes__[0]
        store.append_frame(table.slice(20), entity="e", scope="s", kind=KIND)
    assert [row["payload"] for row in stored(tmp_path)] == [f'{{"n":{n}}}' for n in range(50)]
    assert [row["clock"] for row in stored(tmp_path) if row["entity"] == "e:0"] == list(range(17))
    assert not bp.open_reader(tmp_path).check()


def test_an_interrupted_append_leaves_nothing(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path, files=Interrupted("write", 4)) as store:
        store.append("e", "s", KIND, 0)
        with pytest.raises(KeyboardInterrupt):
            store.append("e", "s", KIND, 1)
        assert store.append("e", "s", KIND, 2).clock == 1
    assert [row["payload"] for row in stored(tmp_path)] == ["0", "2"]
    assert not bp.open_reader(tmp_path).check()


def test_threads_append_between_batches(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path) as store:
        results = []

        def table(number: int) -> None:
            rows = pa.table({"e": ["shared", f"own:{number}"] * 100, "n": range(200)})
            results.append(store.append_frame(rows, entity="e", scope="s", kind=KIND, batch_rows=7))

        threads = [threading.Thread(target=table, args=(number,)) for number in range(3)]
        threads.append(threading.Thread(target=lambda: [store.append("shared", "s", KIND) for _ in range(50)]))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = stored(tmp_path)
    assert [row["global_sequence"] for row in found] == list(range(1, 651))
    shared = [row for row in found if row["entity"] == "shared"]
    assert [row["clock"] for row in shared] == list(range(350))
    assert [row["prev_hash"] for row in shared[1:]] == [row["event_hash"] for row in shared[:-1]]
    by_id = {row["event_id"]: row["global_sequence"] for row in found}
    for done in results:
        sequences = [n for first, last in done.ranges for n in range(first, last + 1)]
        assert [by_id[one] for one in done.event_ids.to_pylist()] == sequences


def test_clocks_do_not_run_over(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path) as store:
        store.append("a", "s", KIND)
        writer: Any = store._writer
        writer._heads["a", 0] = writer._heads["a", 0]._replace(clock=(1 << 32) - 3)
        with pytest.raises(bp.AppendFrameError, match="every clock"):
            store.append_frame(small(), entity="e", scope="s", kind=KIND)
        assert store.last_sequence == 1


def test_progress_draws_a_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with bp.Store.open(tmp_path) as store:
        store.append_frame(small(), entity="e", scope="s", kind=KIND, progress=True)
    assert "appending events" in capsys.readouterr().err
