"""Findings as a DataFrame."""

from __future__ import annotations

from pathlib import Path

from batpak_analytics.frames.findings import COLUMNS, findings_frame
from batpak_analytics.model import Finding
from batpak_analytics.reader import open_reader
from tests.arrow.scan_stores import FIXTURES
from tests.arrow.test_scan_damage import damaged


def test_a_sound_store_has_a_table_without_rows_but_with_its_columns() -> None:
    frame = open_reader(FIXTURES / "quickstart").findings()
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 0
    assert frame["severity"].cat.ordered
    assert str(frame["offset"].dtype) == "UInt64"


def test_errors_come_first_and_numbers_stay_whole() -> None:
    frame = findings_frame(
        [
            Finding("info", "tail", 3, "000003.fbat", 10, "unfinished", "nothing"),
            Finding("warning", "keyset", None, "keyset.fbatk", None, "no keys", "restore"),
            Finding("error", "frame-crc", 1, "000001.fbat", 2**64 - 1, "damaged", "restore"),
        ]
    )
    assert frame["severity"].tolist() == ["error", "warning", "info"]
    assert frame["offset"].iloc[0] == 2**64 - 1
    assert frame["segment"].isna().tolist() == [False, True, False]
    assert (frame["severity"] >= "warning").sum() == 2


def test_a_finding_made_while_reading_is_listed(tmp_path: Path) -> None:
    reader = open_reader(damaged(tmp_path / "s").path)
    assert len(reader.findings()) == 0
    reader.events(columns=["flags"]).to_arrow()
    frame = reader.findings()
    assert frame[["severity", "rule", "segment"]].iloc[0].tolist() == ["error", "frame-crc", 2]
    assert frame["meaning"].str.len().gt(20).all()
