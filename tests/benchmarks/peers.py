"""The same events by other means: batpak itself, a generic MessagePack decoder, SQLite, Parquet."""

from __future__ import annotations

import json
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgpack
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import batpak_analytics as bp
from tests.benchmarks import children
from tests.benchmarks.stores import Stores, segment_files
from tests.benchmarks.timing import Case, timed
from tests.interop.oracle import Oracle

UNCOMPILED_SAMPLE = 20_000
MSGPACK_SAMPLE = 50_000
SYSTEM_CATEGORY = 0

SEGMENT_PREFIX = struct.Struct(">4sI")
FRAME_HEADER = struct.Struct(">II")
TRAILER = struct.Struct("<QI4s")


def peer_cases(stores: Stores, store: Path, events: int) -> list[Case]:
    """The peers. What they read beside the store is written when they are first run, and not timed."""
    sample, few = min(MSGPACK_SAMPLE, events), min(UNCOMPILED_SAMPLE, events)
    folder = stores.directory
    return [
        Case(
            "reference",
            "batpak 0.9.0 (Rust): open, query, get every event",
            lambda: _reference(stores.oracle, stores.for_the_reference(store), events),
            events,
            warm_up=False,
        ),
        Case(
            "uncompiled",
            "`scan_batpak(path).to_arrow()` without compiled kernels",
            lambda: _uncompiled(stores.everyday(few), few),
            few,
            warm_up=False,
        ),
        Case(
            "msgpack", "`msgpack` and `zlib`, frame by frame", timed(lambda: _by_msgpack(store, sample), sample), sample
        ),
        Case(
            "sqlite", "SQLite with JSON text: `pandas.read_sql`, `json.loads`", _sqlite(store, events, folder), events
        ),
        Case(
            "parquet", "Parquet: `pyarrow.parquet.read_table`, the same table", _parquet(store, events, folder), events
        ),
    ]


def _reference(oracle: Oracle, store: Path, events: int) -> float:
    report = oracle.bench(store)
    if report["readable"] < events:
        raise AssertionError(f"the reference read {report['readable']} of {events} events")
    return sum(report[f"{step}_seconds"] for step in ("open", "query", "get"))


def _uncompiled(store: Path, events: int) -> float:
    report = json.loads(children.finish(children.start("uncompiled", store, BATPAK_KERNELS="off")))
    if report["rows"] != events:
        raise AssertionError(f"{report['rows']} of {events} rows came without kernels")
    return float(report["seconds"])


def _by_msgpack(store: Path, events: int) -> int:
    """What a script in plain Python does: check and decode each frame, then the payload inside."""
    seen = 0
    for frame, crc in _frames(store):
        if zlib.crc32(frame) != crc:
            raise AssertionError("a frame's CRC differs")
        event = msgpack.unpackb(frame, strict_map_key=False)["event"]
        payload = msgpack.unpackb(bytes(event["payload"]))
        if event["header"]["event_kind"] >> 12 != SYSTEM_CATEGORY and payload is not None:
            seen += 1
        if seen == events:
            break
    return seen


def _frames(store: Path) -> Iterator[tuple[memoryview, int]]:
    """The body and the CRC of every frame, from sealed segments."""
    for path in segment_files(store):
        data = memoryview(pa.memory_map(str(path)).read_buffer())
        end, _, _ = TRAILER.unpack_from(data, len(data) - TRAILER.size)
        _, header_size = SEGMENT_PREFIX.unpack_from(data)
        place = SEGMENT_PREFIX.size + header_size
        while place < end:
            size, crc = FRAME_HEADER.unpack_from(data, place)
            place += FRAME_HEADER.size + size
            yield data[place - size : place], crc


def _by_sqlite(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        rows = pd.read_sql("SELECT * FROM events", connection)
    return len([json.loads(text) for text in rows["payload"]])


def _sqlite(store: Path, events: int, folder: Path) -> Callable[[], float]:
    """A go on a database with a row for each event, its payload as JSON text. Nothing is indexed but the rowid."""
    database = folder / f"{store.name}.sqlite"

    def go() -> float:
        if not database.exists():
            _write_sqlite(store, database)
        return timed(lambda: _by_sqlite(database), events)()

    return go


def _write_sqlite(store: Path, database: Path) -> None:
    unfinished = database.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    scan = bp.scan_batpak(store, payload="json")
    names = scan.schema.names
    with closing(sqlite3.connect(unfinished)) as connection:
        connection.execute(f"CREATE TABLE events ({', '.join(names)})")
        for batch in scan.to_batches():
            columns = [_plain(batch.column(name)).to_pylist() for name in names]
            values = ", ".join("?" * len(names))
            connection.executemany(f"INSERT INTO events VALUES ({values})", zip(*columns, strict=True))
        connection.commit()
    unfinished.rename(database)


def _plain(column: Any) -> Any:
    """Times as the integers they are: SQLite has no type for them."""
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


def _parquet(store: Path, events: int, folder: Path) -> Callable[[], float]:
    """A go on a file with the table that the scan gives, written with pyarrow's defaults."""
    path = folder / f"{store.name}.parquet"

    def go() -> float:
        if not path.exists():
            pq.write_table(bp.scan_batpak(store).to_arrow(), path)
        return timed(lambda: int(pq.read_table(path).num_rows), events)()

    return go
