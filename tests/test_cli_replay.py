"""``batpak replay``: a state as it was, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batpak_analytics.cli import main
from tests.projection.stores import made_store, paid, refunded


@pytest.fixture
def store(tmp_path: Path) -> Path:
    rows = [paid("a", 5), paid("b", 7), refunded("a", 2), ("c", 0x2001, {"status": "ä\n"})]
    return made_store(tmp_path / "store", rows)


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["replay", *map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_a_count_and_a_sum_are_printed_with_their_moment(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, store, "--count").splitlines() == ["4 of 4 events, at sequence 3", "4"]
    assert shown(capsys, store, "--sum", "cents").splitlines()[1] == "14"
    out = shown(capsys, store, "--count", "--by", "kind")
    assert [line.split() for line in out.splitlines()[3:]] == [["0x1001", "2"], ["0x1002", "1"], ["0x2001", "1"]]


def test_the_past_is_asked_by_sequence(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(shown(capsys, store, "--sum", "cents", "--by", "entity", "--at", 1, "--json"))
    assert told == {"position": 2, "events": 4, "sequence": 1, "state": {"a": 5, "b": 7}}
    alone = json.loads(shown(capsys, store, "--count", "--entity", "b", "--at", 0, "--json"))
    assert alone == {"position": 0, "events": 1, "sequence": None, "state": 0}
    assert shown(capsys, store, "--count", "--entity", "b", "--at", 0).startswith("0 of 1 event, before any")


def test_a_trace_has_a_line_for_each_event(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, store, "--count", "--kind", "0x1001", "--kind", "0x1002", "--trace", "--json").splitlines()
    assert [json.loads(line)["state"] for line in lines] == [1, 2, 3]
    table = shown(capsys, store, "--last", "status", "--trace").splitlines()
    assert len(table) == 2 + 4 and '{"status": "ä' in table[-1]


def test_nothing_that_a_terminal_would_obey_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = made_store(tmp_path / "store", [("a\x1b[31m", 0x2001, {"status": "\x1b[2J", "\x1b]0;": 1})])
    for arguments in (["--count", "--by", "entity"], ["--last", "status", "--trace"], ["--last", "status"]):
        assert main(["replay", str(store), *arguments]) == 0
        assert "\x1b" not in capsys.readouterr().out


def test_a_field_that_holds_no_numbers_names_the_event(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(store), "--sum", "status"]) == 2
    assert "position 4" in capsys.readouterr().err


def test_one_projection_has_to_be_chosen(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--count", "--sum", "x"]):
        with pytest.raises(SystemExit) as caught:
            main(["replay", str(store), *arguments])
        assert caught.value.code == 2
        assert "--help" in capsys.readouterr().err
