"""`read_batpak` and `scan_batpak`: the front door."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batpak_analytics as bp
from batpak_analytics.errors import (
    BatpakDamageWarning,
    CrcMismatchError,
    NotAStoreError,
    ResultTooLargeError,
    StoreNotFoundError,
)
from batpak_analytics.frames.read import read_batpak, scan_batpak
from tests.arrow.scan_stores import FIXTURES, event, store_of
from tests.arrow.test_scan_damage import damaged

QUICKSTART = FIXTURES / "quickstart"


def test_one_line_gives_the_events_of_a_store() -> None:
    frame = bp.read_batpak(QUICKSTART)
    assert len(frame) == 4
    assert frame.index.equals(pd.RangeIndex(4))
    assert list(frame.columns[:4]) == ["global_sequence", "event_id", "correlation_id", "causation_id"]
    assert frame.attrs["batpak"] == {
        "path": str(QUICKSTART),
        "rows": 4,
        "findings": {"error": 0, "warning": 0, "info": 0},
    }


@pytest.mark.parametrize("form", [str, Path])
def test_a_path_may_be_text_or_a_path(form: Any) -> None:
    assert len(read_batpak(form(QUICKSTART))) == 4
    assert scan_batpak(form(QUICKSTART)).count() == 4


def test_an_open_reader_is_used_and_left_open() -> None:
    with bp.open_reader(QUICKSTART) as reader:
        assert len(read_batpak(reader, limit=2)) == 2
        assert scan_batpak(reader).view is reader.view
        assert reader.events(limit=1).count() == 1


def test_both_functions_have_the_options_of_a_scan() -> None:
    def names(function: Any, *left_out: str) -> list[str]:
        return [name for name in inspect.signature(function).parameters if name not in left_out]

    assert names(read_batpak) == names(scan_batpak)
    assert names(read_batpak, "path", "on_damage") == names(bp.Scan, "view")


def test_what_is_not_a_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        read_batpak(tmp_path / "nowhere")
    with pytest.raises(NotAStoreError):
        read_batpak(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotAStoreError):
        read_batpak(tmp_path / "file")


def test_a_store_of_system_events_only_gives_an_empty_frame() -> None:
    frame = read_batpak(FIXTURES / "untouched", columns="all")
    assert len(frame) == 0
    assert str(frame["global_sequence"].dtype) == "uint64"
    assert str(frame["wall_time"].dtype) == "datetime64[ms, UTC]"
    assert len(read_batpak(FIXTURES / "untouched", system=True)) > 0


def test_damage_is_told_once_with_counts_and_the_next_call(tmp_path: Path) -> None:
    path = Path(damaged(tmp_path / "s").path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = read_batpak(path, columns="all")
    (warning,) = caught
    assert warning.category is BatpakDamageWarning
    assert "1 error" in str(warning.message)
    assert f"batpak_analytics.open_reader('{path}').findings()" in str(warning.message)
    assert warning.filename == __file__
    assert frame.attrs["batpak"]["findings"] == {"error": 1, "warning": 0, "info": 0}
    assert len(frame) == 6


def test_what_is_merely_worth_knowing_does_not_warn(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", [event(0)])
    tail = sorted((FIXTURES / "crash").glob("*.fbat"))[-1]
    (store / tail.name).write_bytes(tail.read_bytes()[:-5])
    frame = read_batpak(store, system=True)
    assert frame.attrs["batpak"]["findings"]["warning"] == frame.attrs["batpak"]["findings"]["error"] == 0


def test_on_damage_raise_reaches_the_reader(tmp_path: Path) -> None:
    path = damaged(tmp_path / "s").path
    with pytest.raises(CrcMismatchError):
        read_batpak(path, columns="all", on_damage="raise")
    with pytest.raises(ValueError, match="on_damage"):
        read_batpak(path, on_damage="ignore")


def test_a_frame_larger_than_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batpak_analytics.arrow.scan.available_bytes", lambda: 100)
    with pytest.raises(ResultTooLargeError, match="scan_batpak"):
        read_batpak(FIXTURES / "segments")


def test_progress_true_draws_a_bar_and_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    read_batpak(FIXTURES / "segments", progress=True)
    drawn = capsys.readouterr().err
    assert "looking at payloads" not in drawn  # one pass does both
    assert "reading events" in drawn
    assert drawn.endswith("\n")


def test_progress_shows_the_look_at_payloads_where_it_is_a_pass_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    read_batpak(FIXTURES / "segments", payload="struct", progress=True)
    drawn = capsys.readouterr().err
    assert "looking at payloads" in drawn
    assert "reading events" in drawn


def test_silence_without_progress(capsys: pytest.CaptureFixture[str]) -> None:
    read_batpak(FIXTURES / "segments")
    assert capsys.readouterr() == ("", "")


def test_pandas_takes_a_scan_as_it_is() -> None:
    scan = scan_batpak(QUICKSTART, columns=["global_sequence", "entity"])
    from_arrow = getattr(pd.DataFrame, "from_arrow", None)  # since pandas 3.0
    if from_arrow is not None:
        assert from_arrow(scan)["entity"].tolist() == read_batpak(QUICKSTART)["entity"].tolist()
