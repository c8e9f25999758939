"""What this package does with the main store: scans, DataFrames, counts, first rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

import batpak_analytics as bp
from tests.benchmarks.timing import Case, timed

FIRST_ROWS = 100
INDEX_COLUMNS = ["global_sequence", "entity", "kind", "wall_time"]
PAYLOAD_SCHEMA = pa.schema(
    [
        ("sku", pa.string()),
        ("qty", pa.int64()),
        ("price", pa.float64()),
        ("currency", pa.string()),
        ("ok", pa.bool_()),
        ("note", pa.string()),
    ]
)


def scan_case(store: Path, events: int, name: str = "scan", title: str = "`scan_batpak(path).to_arrow()`") -> Case:
    """Everyday columns and typed payload columns of all events; the store is opened each time."""
    return Case(name, title, timed(lambda: int(bp.scan_batpak(store).to_arrow().num_rows), events), events)


def reading_cases(store: Path, events: int) -> list[Case]:
    """Every call that is measured on the main store. But for one, each opens the store anew."""
    reader = bp.open_reader(store)
    first = min(FIRST_ROWS, events)

    def rows(**options: object) -> int:
        return int(bp.scan_batpak(store, **options).to_arrow().num_rows)  # type: ignore[arg-type]

    def opened() -> int:
        return int(bp.open_reader(store).view.event_count)

    def again() -> int:
        return int(reader.events().to_arrow().num_rows)

    def first_of_payload() -> int:
        return rows(limit=first, payload_schema=PAYLOAD_SCHEMA)

    def first_of_index() -> int:
        return rows(limit=first, columns=INDEX_COLUMNS)

    return [
        Case("open", "`open_reader(path)`", timed(opened, opened()), events),
        scan_case(store, events),
        Case("second-scan", "the same scan on an open reader, not the first", timed(again, events), events),
        Case(
            "index", "`scan_batpak(path, payload=None).to_arrow()`", timed(lambda: rows(payload=None), events), events
        ),
        Case("read_batpak", "`read_batpak(path)`", timed(lambda: len(bp.read_batpak(store)), events), events),
        Case("count", "`scan_batpak(path).count()`", timed(lambda: bp.scan_batpak(store).count(), events), events),
        Case(
            "first-100",
            "the first 100 rows, `payload_schema=` given",
            timed(first_of_payload, first),
            events,
            reads_all=False,
        ),
        Case(
            "first-100-index",
            "the first 100 rows of index columns",
            timed(first_of_index, first),
            events,
            reads_all=False,
        ),
    ]
