"""``demo``, ``info`` and ``head``: what is in a store, on the screen."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

import batpak_analytics as bp
from batpak_analytics import kernels
from batpak_analytics.cli import tables
from batpak_analytics.cli.selection import say_what_was_skipped, scan_options
from batpak_analytics.reader import Reader

DEMO_ROWS = 10
DEMO_COLUMNS = ["global_sequence", "kind", "entity", "payload"]
HEAD_COLUMNS = ["global_sequence", "wall_time", "kind", "entity", "scope", "event_id", "payload"]
PYTHON = """\
    import batpak_analytics as bp
    frame = bp.read_batpak(bp.demo_store())"""


def demo(_: argparse.Namespace) -> int:
    """Read the bundled store the way an analyst would, and say what happened."""
    screen, path = tables.console(), bp.demo_store()
    frame = bp.read_batpak(path, columns=DEMO_COLUMNS)
    with bp.open_reader(path) as reader:
        screen.print(tables.heading(f"A store that the Rust engine wrote: {_extent(reader, path)}"))
        tables.print_rows(screen, {name: frame[name].head(DEMO_ROWS).tolist() for name in frame.columns})
        _print_kinds(screen, reader.events(columns=["kind", "entity", "wall_time"]))
    screen.print(tables.heading("\nWhat this did"))
    for line in _story(len(frame)):
        screen.print(f"  - {line}", soft_wrap=True)
    screen.print(tables.heading("\nThe same in Python"))
    screen.print(PYTHON)
    screen.print("\nYour own store: batpak info PATH, then batpak head PATH, or bp.read_batpak(PATH).")
    return 0


def info(arguments: argparse.Namespace) -> int:
    """Segments, counts by kind and the time span; from footers, without decoding a payload."""
    screen = tables.console()
    with bp.open_reader(arguments.path) as reader:
        screen.print(tables.heading(_extent(reader, arguments.path)), soft_wrap=True)
        tables.print_rows(screen, _segments(reader))
        _print_kinds(screen, reader.events(columns=["kind", "entity", "wall_time"], system=True))
        say_what_was_skipped(reader, arguments.path)
    return 0


def head(arguments: argparse.Namespace) -> int:
    """The first events as a table; says so when there are none."""
    with bp.open_reader(arguments.path, on_damage=arguments.on_damage) as reader:
        options = scan_options(arguments, payload="json")
        rows = reader.events(
            **options | {"columns": options["columns"] or _head_columns(options["payload"])}
        ).to_arrow()
        if rows.num_rows:
            tables.print_rows(tables.console(), {name: _values(rows[name]) for name in rows.column_names})
        else:
            wider = "add --system to see the store's own, or loosen the filters"
            print(f"no events match; {wider}" if arguments.limit else "0 events were asked for; give a greater -n")
        say_what_was_skipped(reader, arguments.path)
    return 0


def _head_columns(payload: str | None) -> list[str]:
    """What fits on a screen: without the ids of other events."""
    return [name for name in HEAD_COLUMNS if payload or name != "payload"]


def _story(event_count: int) -> list[str]:
    speed = "compiled kernels" if kernels.COMPILED else "readable Python, as no compiled kernels are installed"
    return [
        "took no lock and wrote nothing into the store: it can be read while its application runs",
        f"read ids, times and coordinates of {event_count} events from the segment's footer",
        f"checked each frame's CRC and decoded the payloads to typed columns ({speed})",
        "left out the store's own open and close events (system=True shows them)",
    ]


def _extent(reader: Reader, path: Path | str) -> str:
    segments = reader.view.segments
    size = tables.size_text(sum(segment.size_bytes for segment in segments))
    parts = (
        tables.plural(len(segments), "segment"),
        size,
        tables.plural(reader.view.event_count, "stored event"),
    )
    return f"{path} ({', '.join(parts)})"


def _segments(reader: Reader) -> dict[str, list[Any]]:
    segments = reader.view.segments
    return {
        "segment": [segment.segment_id for segment in segments],
        "file": [segment.name for segment in segments],
        "role": [segment.role for segment in segments],
        "size": [tables.size_text(segment.size_bytes) for segment in segments],
        "footer": [str(getattr(segment.footer_state, "value", segment.footer_state)) for segment in segments],
        "events": [len(segment.rows) for segment in segments],
        "not shown": [int(segment.excluded.sum()) for segment in segments],
    }


def _print_kinds(screen: Console, batches: Any) -> None:
    """One row for each kind: how many events, of how many entities, from when to when."""
    rows = batches.to_arrow()
    if not rows.num_rows:
        screen.print("no events")
        return
    entities = pc.cast(rows["entity"], pa.string())
    plain = pa.table({"kind": rows["kind"], "entity": entities, "wall_time": rows["wall_time"]})
    summary = (
        plain.group_by("kind")
        .aggregate([("kind", "count"), ("entity", "count_distinct"), ("wall_time", "min"), ("wall_time", "max")])
        .sort_by("kind")
    )
    names = {
        "kind_count": "events",
        "entity_count_distinct": "entities",
        "wall_time_min": "first",
        "wall_time_max": "last",
    }
    columns = {"kind": _values(summary["kind"])}
    columns |= {shown: _values(summary[stored]) for stored, shown in names.items()}
    screen.print(tables.heading("\nBy kind"))
    tables.print_rows(screen, columns)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The column as Python values; times as text, since a store may hold times that Python cannot."""
    if pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.string())
        return [value and value.removesuffix("Z") for value in column.to_pylist()]
    values: list[Any] = column.to_pylist()
    return values
