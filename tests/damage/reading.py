"""Every way of reading a store, once: open, full scan, check, point reads; in both modes of damage."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import batpak_analytics as bp
from batpak_analytics.cli import main as command_line
from batpak_analytics.model import Finding


@dataclass(frozen=True)
class Reading:
    """What the reader gave: rows and findings, or the error with which it refused."""

    rows: list[dict[str, Any]]
    findings: tuple[Finding, ...] = ()
    error: bp.BatpakError | None = None


def read(path: Path, on_damage: str = "report", *, check: bool = True) -> Reading:
    """Open, scan every column with stored payloads, then check every frame. Only a `BatpakError` is caught."""
    try:
        with bp.open_reader(path, on_damage=on_damage) as reader:  # type: ignore[arg-type]
            table = reader.events(columns="all", system=True, payload="binary").to_arrow()
            if check:
                reader.check()
            return Reading(as_rows(table), reader.view.findings)
    except bp.BatpakError as error:
        return Reading([], error=error)


def as_rows(table: Any) -> list[dict[str, Any]]:
    """Rows as plain values; times as integers."""
    for name in ("wall_time", "timestamp"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table.column(name).cast("int64"))
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        row["event_id"] = bytes(row["event_id"])
    return rows


def point_read(path: Path, event_ids: list[bytes]) -> dict[bytes, bytes | bp.BatpakError]:
    """The stored payload of each event by its id, or the error."""
    found: dict[bytes, bytes | bp.BatpakError] = {}
    with bp.open_reader(path) as reader:
        for event_id in event_ids:
            try:
                found[event_id] = reader.get_raw(event_id)
            except bp.BatpakError as error:
                found[event_id] = error
            with contextlib.suppress(bp.BatpakError):
                reader.get(event_id)
    return found


def data_frame_length(path: Path) -> int | bp.BatpakError:
    """How many rows `read_batpak` gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bp.BatpakDamageWarning)
        try:
            return len(bp.read_batpak(path, system=True))
        except bp.BatpakError as error:
            return error


def check_command(path: Path) -> tuple[int, str]:
    """Exit code and output of `batpak check`."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = command_line(["check", str(path)])
    return code, said.getvalue()
