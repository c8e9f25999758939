"""The bytes that a plan leaves behind: nothing lost, nothing raised from the dead, and numbers that stay."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import batpak_analytics as bp
from batpak_analytics.compaction.output import FIRST_CREATED_NS, OutputLayout, lay_out
from batpak_analytics.compaction.sources import eligible
from batpak_analytics.engine.view import SegmentRows
from tests.conftest import FIXTURES

COLUMNS = ["global_sequence", "event_id", "kind", "entity", "scope", "clock", "lane", "prev_hash", "event_hash"]


def of_entity(segment: SegmentRows, entity: str) -> Any:
    return np.array([segment.strings[code] == entity for code in segment.rows["entity_idx"]], bool)


def laid_out(segments: list[SegmentRows], strategy: str, struck: str) -> OutputLayout:
    nothing = [np.zeros(segment.count, bool) for segment in segments]
    masks = nothing if strategy == "merge" else [of_entity(segment, struck) for segment in segments]
    return lay_out(strategy, segments, masks)


def compacted(store: Path, to: Path, strategy: str) -> Path:
    """A copy of the store whose sealed segments are replaced by the output of compacting them, by hand."""
    shutil.copytree(store, to)
    segments = eligible(bp.open_reader(store).view)
    layout = laid_out(segments, strategy, "order:2")
    for name in [*(segment.name for segment in segments), "index.fbati", "index.ckpt"]:
        (to / name).unlink(missing_ok=True)
    with open(to / layout.name, "wb") as out:
        out.writelines(layout.pieces(time.time_ns()))
    assert (to / layout.name).stat().st_size == layout.size_bytes
    return to


def rows_of(store: Path, **options: Any) -> list[dict[str, Any]]:
    with bp.open_reader(store) as reader:
        assert [finding for finding in reader.check() if finding.severity != "info"] == []
        rows: list[dict[str, Any]] = reader.events(
            system=True, columns=COLUMNS, payload="binary", **options
        ).to_arrow().to_pylist()  # fmt: skip
    return rows


@pytest.mark.parametrize("name", ["segments", "lanes", "hidden", "crash", "encrypted", "merge"])
def test_a_merge_shows_the_same_events_with_the_same_numbers(name: str, tmp_path: Path) -> None:
    assert rows_of(compacted(FIXTURES / name, tmp_path / "new", "merge")) == rows_of(FIXTURES / name)


@pytest.mark.parametrize("name", ["segments", "lanes", "hidden", "crash", "encrypted"])
def test_a_retention_drops_what_was_struck_and_nothing_else(name: str, tmp_path: Path) -> None:
    sealed = {segment.segment_id for segment in eligible(bp.open_reader(FIXTURES / name).view)}
    with bp.open_reader(FIXTURES / name) as reader:
        ids = reader.events(system=True, columns=["segment_id"], payload=None).to_arrow()["segment_id"].to_pylist()
    expected = [
        row
        for row, segment in zip(rows_of(FIXTURES / name), ids, strict=True)
        if row["entity"] != "order:2" or segment not in sealed
    ]
    assert rows_of(compacted(FIXTURES / name, tmp_path / "new", "retention")) == expected


def test_a_tombstone_changes_the_kind_and_nothing_else(tmp_path: Path) -> None:
    before, after = rows_of(FIXTURES / "lanes"), rows_of(compacted(FIXTURES / "lanes", tmp_path / "new", "tombstone"))
    assert any(row["kind"] == 0x0FFE for row in after)
    for was, now in zip(before, after, strict=True):
        assert now == was | {"kind": now["kind"]}
        assert now["kind"] in (was["kind"], 0x0FFE)


def test_the_size_of_the_header_cannot_be_wrong() -> None:
    layout = laid_out(eligible(bp.open_reader(FIXTURES / "lanes").view), "merge", "")
    with pytest.raises(ValueError, match="nanoseconds"):
        next(layout.pieces(FIRST_CREATED_NS - 1))
    assert sum(map(len, layout.pieces(FIRST_CREATED_NS))) == layout.size_bytes
