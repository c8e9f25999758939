"""Writing: this engine and the reference, equal numbers of everyday events into new stores; opening a large store."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

import batpak_analytics as bp
from tests.benchmarks.stores import Stores
from tests.benchmarks.timing import Case
from tests.interop.oracle import Oracle

MOST_EVENTS = 20_000
TABLE_ROWS = 1_000_000
BATCH = 200
ENTITIES = 500
SEGMENT_BYTES = 256 << 20
KIND = 0x1001


def writing_cases(stores: Stores, events: int, rows: int) -> list[Case]:
    """Single appends with a sync every thousand events, batches of 200, and a table of so many rows.

    Each go writes a store of its own.
    """
    oracle, folder = stores.oracle, stores.directory
    table = _table(rows)
    return [
        Case("append", "`Store.append`, one by one", _in_new_store(folder, events, _append), events),
        Case(
            "append_batch",
            f"`Store.append_batch`, {BATCH} at a time",
            _in_new_store(folder, events, _append_batch),
            events,
        ),
        Case(
            "append_frame",
            "`Store.append_frame`, a table",
            _in_new_store(folder, table.num_rows, lambda path, _: _append_frame(path, table)),
            table.num_rows,
        ),
        Case(
            "reference-append",
            "batpak 0.9.0 (Rust), one by one",
            _in_new_store(folder, events, lambda path, count: _reference(oracle, path, count, 0)),
            events,
        ),
        Case(
            "reference-append_batch",
            f"batpak 0.9.0 (Rust), {BATCH} at a time",
            _in_new_store(folder, events, lambda path, count: _reference(oracle, path, count, BATCH)),
            events,
        ),
    ]


def opening_cases(stores: Stores, store: Path, events: int) -> list[Case]:
    """Opening a large store for writing, and the reference's open of the same."""
    return [
        Case("store-open", "`Store.open` of the main store", lambda: _open(store, stores.directory), events),
        Case(
            "reference-open",
            "batpak 0.9.0 (Rust): open",
            lambda: stores.oracle.bench(stores.for_the_reference(store))["open_seconds"],
            events,
            warm_up=False,
        ),
    ]


def _in_new_store(folder: Path, events: int, write: Callable[[Path, int], None]) -> Callable[[], float]:
    def go() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            path = Path(scratch) / "store"
            os.sync()  # what was written before is not to be waited for
            start = time.perf_counter()
            write(path, events)
            taken = time.perf_counter() - start
            if bp.scan_batpak(path).count() != events:
                raise AssertionError(f"{path} does not hold {events} events")
        return taken

    return go


def _payload(number: int) -> dict[str, Any]:
    return {
        "amount": number % 997 / 4,
        "cents": number % 100,
        "currency": "EUR",
        "note": "paid",
        "paid": True,
        "step": 3,
    }


def _append(path: Path, events: int) -> None:
    with bp.Store.open(path, config=bp.StoreConfig(segment_max_bytes=SEGMENT_BYTES)) as store:
        for number in range(events):
            store.append(f"order:{number % ENTITIES}", "shop", KIND, _payload(number))


def _append_batch(path: Path, events: int) -> None:
    with bp.Store.open(path, config=bp.StoreConfig(segment_max_bytes=SEGMENT_BYTES)) as store:
        for first in range(0, events, BATCH):
            numbers = range(first, min(first + BATCH, events))
            store.append_batch(
                [bp.BatchItem(f"order:{number % ENTITIES}", "shop", KIND, _payload(number)) for number in numbers]
            )


def _table(rows: int) -> pa.Table:
    """The same events as a table."""
    payloads = pa.Table.from_pylist([_payload(number) for number in range(min(rows, 99_700))])
    repeated = pa.concat_tables([payloads] * (rows // len(payloads) + 1)).slice(0, rows).combine_chunks()
    return repeated.append_column("order", pa.array([f"order:{number % ENTITIES}" for number in range(rows)]))


def _append_frame(path: Path, table: pa.Table) -> None:
    with bp.Store.open(path, config=bp.StoreConfig(segment_max_bytes=SEGMENT_BYTES)) as store:
        store.append_frame(table, entity="order", scope="shop", kind=KIND)


def _reference(oracle: Oracle, path: Path, events: int, batch: int) -> None:
    oracle.bulk(path, events=events, segment_bytes=SEGMENT_BYTES, entities=ENTITIES, batch=batch, wait=1)


def _open(store: Path, folder: Path) -> float:
    """Of a copy that shares the segments: no engine changes one that is sealed."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        copy = Path(scratch) / "store"
        shutil.copytree(store, copy, copy_function=os.link)
        start = time.perf_counter()
        opened = bp.Store.open(copy)
        taken = time.perf_counter() - start
        with closing(opened):
            return taken
