"""The ``batpak`` command as a user meets it: what it prints, what it leaves behind, and its exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import batpak_analytics as bp
from batpak_analytics.cli import export, main, tables

SEGMENT = "000001.fbat"
FRAME_BYTE = 2600  # inside the frames of user events, before the footer
ENDINGS = ["parquet", "arrow", "csv", "jsonl"]


@pytest.fixture
def store(quickstart: Path, tmp_path: Path) -> Path:
    """A copy of the bundled store that a test may damage."""
    copy = tmp_path / "store"
    shutil.copytree(quickstart, copy)
    return copy


def flip(file: Path, offset: int) -> None:
    content = bytearray(file.read_bytes())
    content[offset] ^= 0xFF
    file.write_bytes(content)


def listing(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a shell runs it."""
    command = [sys.executable, "-W", "ignore", "-m", "batpak_analytics", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd)


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    """The error printed: one line, and nothing on standard output."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("batpak: error: ") and err.count("\n") == 1 and "Traceback" not in err
    return err


# What each command shows


def test_demo_shows_rows_kinds_and_the_python_that_does_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    for expected in (
        "player:alice",
        "monster:rat",
        "0xF001",
        "payload.hp",
        "bp.read_batpak(bp.demo_store())",
    ):
        assert expected in out
    assert "batpak:store" not in out


def test_demo_runs_as_a_module_and_as_the_installed_command(tmp_path: Path) -> None:
    as_module = run("demo", cwd=tmp_path)  # in the project's own directory, python -m prefers the sources there
    assert (as_module.returncode, as_module.stderr) == (0, "")
    installed = Path(sys.executable).with_name("batpak")
    assert subprocess.run([installed, "demo"], capture_output=True, text=True).stdout == as_module.stdout


def test_info_counts_events_by_kind_and_segment(quickstart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(quickstart)]) == 0
    out = capsys.readouterr().out
    for expected in (SEGMENT, "1 segment", "6 stored events", "0x0008", "0xF001", "2026-11-23"):
        assert expected in out


def test_head_shows_kinds_in_hex_and_ids_by_their_last_digits(
    quickstart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["head", str(quickstart)]) == 0
    out = capsys.readouterr().out
    assert "0xF002" in out and "61442" not in out
    assert "1b972594a1b8ff"[-8:] in out and "01a206129ef" not in out
    assert '{"by":"alice","hp":3}' in out


def test_head_takes_the_filters_of_read_batpak(quickstart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--columns", "global_sequence,entity,payload.x", "--payload", "columns"]
    assert main(["head", str(quickstart), "-n", "1", "--kind", "0xF001", "--entity", "player", *chosen]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["global_sequence", "entity", "payload.x"]
    assert [line.split() for line in lines[2:]] == [["1", "player:alice", "10"]]


def test_head_says_when_nothing_matches(quickstart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["head", str(quickstart), "--entity", "nobody"]) == 0
    assert "no events match" in capsys.readouterr().out
    assert main(["head", str(quickstart), "-n", "0"]) == 0
    assert "match" not in capsys.readouterr().out


def test_stored_text_cannot_drive_the_terminal() -> None:
    assert tables.cell("payload", "\x1b[2J\x07name\u202e") == "\\x1b[2J\\x07name\\u202e"
    assert tables.cell("payload", "[red]not markup[/red]") == "[red]not markup[/red]"


def test_rows_in_a_pipe_are_not_folded(quickstart: Path) -> None:
    out = run("head", quickstart, "--columns", "all", "--payload", "none").stdout.splitlines()
    assert len(out) == 2 + 4


# export


@pytest.mark.parametrize("ending", ENDINGS)
def test_export_leaves_exactly_the_file_and_does_not_touch_the_store(
    store: Path, tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listing(store)
    out = tmp_path / f"events.{ending}"
    assert main(["export", str(store), str(out)]) == 0
    assert "4 events" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["store", out.name])
    assert listing(store) == before


def test_export_to_parquet_and_arrow_equals_the_scan(quickstart: Path, tmp_path: Path) -> None:
    expected = bp.scan_batpak(quickstart, columns="all").to_arrow()
    for ending in ("parquet", "arrow"):
        main(["export", str(quickstart), str(tmp_path / f"events.{ending}"), "--columns", "all"])
    parquet = pa.parquet.read_table(tmp_path / "events.parquet")
    with pa.ipc.open_file(tmp_path / "events.arrow") as file:
        arrow = file.read_all()
    assert parquet.column_names == arrow.column_names == expected.column_names
    assert parquet.to_pylist() == arrow.to_pylist() == expected.to_pylist()


def test_export_to_csv_holds_hex_iso_times_and_typed_numbers(quickstart: Path, tmp_path: Path) -> None:
    main(["export", str(quickstart), str(tmp_path / "events.csv"), "--columns", "all"])
    table = pa.csv.read_csv(tmp_path / "events.csv")
    row = table.slice(1, 1).to_pylist()[0]
    assert row["event_id"] == "01a206129ef37ff99d1b972594a1b8ff"
    assert row["payload.hp"] == 3
    assert len(row["event_hash"]) == 64
    assert (tmp_path / "events.csv").read_text().count("2026-11-23T") >= 4


def test_export_to_jsonl_puts_payloads_in_as_json(quickstart: Path, tmp_path: Path) -> None:
    main(["export", str(quickstart), str(tmp_path / "events.jsonl")])
    rows = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [row["payload"] for row in rows][:2] == [{"x": 10, "y": 20}, {"by": "alice", "hp": 3}]
    assert rows[1]["causation_id"] == rows[0]["event_id"]


def test_export_keeps_the_extremes_of_integers_and_odd_payloads(fixture_stores: Path, tmp_path: Path) -> None:
    for ending in ENDINGS:
        out = tmp_path / f"events.{ending}"
        assert main(["export", str(fixture_stores / "segments"), str(out), "--columns", "all", "--system"]) == 0
    expected = [json.loads(line) for line in (fixture_stores / "segments.jsonl").read_text().splitlines()]
    rows = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [row["global_sequence"] for row in rows] == [row["global_sequence"] for row in expected]
    assert [row["payload"] for row in rows] == [row["payload"] for row in expected]


def test_export_does_not_overwrite_without_force(quickstart: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "events.csv"
    out.write_text("mine")
    assert main(["export", str(quickstart), str(out)]) == 2
    assert "--force" in error_of(capsys)
    assert out.read_text() == "mine"
    assert main(["export", str(quickstart), str(out), "--force"]) == 0
    assert out.read_text() != "mine"


def test_export_never_writes_into_the_store(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = listing(store)
    assert main(["export", str(store), str(store / "events.csv")]) == 2
    assert "inside the store" in error_of(capsys)
    assert listing(store) == before


def test_export_that_fails_half_way_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    out.write_text("old")
    with pytest.raises(RuntimeError), export.complete_or_absent(out, replace=True) as file:
        file.write(b"half")
        raise RuntimeError
    assert listing(tmp_path) == {"events.jsonl": b"old"}


def test_export_does_not_replace_a_file_that_appeared_meanwhile(tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    with pytest.raises(FileExistsError, match="--force"), export.complete_or_absent(out, replace=False):
        out.write_text("theirs")
    assert listing(tmp_path) == {"events.jsonl": b"theirs"}


@pytest.mark.parametrize("name", ["events.xlsx", "events"])
def test_an_unknown_ending_names_the_known_ones(
    name: str, quickstart: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(quickstart), str(tmp_path / name)]) == 2
    assert "*.parquet, *.arrow, *.csv, *.jsonl" in error_of(capsys)


# check


def test_check_of_a_sound_store_exits_0(quickstart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(quickstart)]) == 0
    assert capsys.readouterr().out == "sound: checked 6 events in 1 segment\n"


def test_check_of_a_damaged_frame_exits_1_and_names_the_place(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(store / SEGMENT, FRAME_BYTE)
    assert main(["check", str(store)]) == 1
    out = capsys.readouterr().out
    assert "1 finding" in out and "error" in out


def test_check_of_a_damaged_footer_exits_1(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(store / SEGMENT, (store / SEGMENT).stat().st_size - 100)
    assert main(["check", str(store)]) == 1
    assert "footer" in capsys.readouterr().out


def test_an_unfinished_tail_is_no_finding_for_the_exit_code(store: Path, tmp_path: Path) -> None:
    whole = (store / SEGMENT).read_bytes()
    (store / SEGMENT).write_bytes(whole[:FRAME_BYTE])  # no footer, and half a frame: as after a crash
    done = run("check", store)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "info" in done.stdout and "sound" in done.stdout


def test_head_of_a_damaged_store_points_to_check(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(store / SEGMENT, FRAME_BYTE)
    assert main(["head", str(store)]) == 0
    assert f"batpak check {store}" in capsys.readouterr().err


# What cannot be done


def make_empty(directory: Path) -> Path:
    directory.mkdir()
    return directory


@pytest.mark.parametrize("command", ["info", "head", "check"])
def test_what_is_not_a_store_is_told_on_one_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "missing", make_empty(tmp_path / "empty"), tmp_path / "file"):
        assert main([command, str(path)]) == 2
        assert path.name in error_of(capsys)


def test_an_unknown_column_suggests_the_nearest(quickstart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["head", str(quickstart), "--columns", "entitty"]) == 2
    assert "entity" in error_of(capsys)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--kind", "0x1F001"], "0x0000 to 0xFFFF"),
        (["--since", "2026-03-01"], "time zone"),
        (["--until", "yesterday"], "2026-03-01T00:00:00Z"),
        (["--as-of", "391124e8"], "all 32 digits"),
        (["-n", "-1"], "whole number"),
        (["--colums", "all"], "--colums"),
    ],
)
def test_a_wrong_argument_is_told_on_one_line(
    arguments: list[str], told: str, quickstart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["head", str(quickstart), *arguments])
    assert stop.value.code == 2
    assert told in error_of(capsys)


def test_without_a_command_the_error_says_how_to_get_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "--help" in error_of(capsys)


def test_help_teaches_by_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("", "info", "head", "export"):
        with pytest.raises(SystemExit) as stop:
            main([*command.split(), "--help"])
        assert stop.value.code == 0
        out = capsys.readouterr().out
        assert "example" in out and f"batpak {command or 'demo'}" in out and "data/store" in out


def test_a_reader_that_goes_away_ends_the_command_quietly(quickstart: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "batpak_analytics", "head", str(quickstart)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 141


def test_an_interrupt_is_one_line_too(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("batpak_analytics.cli.show.demo", interrupted)
    assert main(["demo"]) == 130
    assert "interrupted" in error_of(capsys)


def test_damage_is_counted_by_severity(capsys: pytest.CaptureFixture[str]) -> None:
    from batpak_analytics.cli.selection import say_what_was_skipped

    found = [SimpleNamespace(severity=severity) for severity in ("info", "error", "error", "warning")]
    reader: Any = SimpleNamespace(view=SimpleNamespace(findings=found))
    say_what_was_skipped(reader, "data/store")
    assert capsys.readouterr().err == (
        "batpak: warning: the store has findings: 2 errors and 1 warning. Next: batpak check data/store\n"
    )
    found[1:] = []
    say_what_was_skipped(reader, "data/store")
    assert capsys.readouterr().err == ""


def test_a_file_that_is_not_there_is_told_in_words(quickstart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(quickstart), "--against", "nowhere.checkpoint"]) == 2
    told = error_of(capsys)
    assert "nowhere.checkpoint: No such file" in told and "Errno" not in told


def test_a_store_that_may_not_be_read_is_told_on_one_line(
    quickstart: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise bp.StorePermissionError("data/store may not be read.\nRun as the user that writes it.")

    monkeypatch.setattr(bp, "open_reader", refused)
    assert main(["info", str(quickstart)]) == 2
    assert error_of(capsys).endswith("may not be read. Run as the user that writes it.\n")
