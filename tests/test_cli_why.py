"""``batpak why``: the tree that a user sees, and the JSON that a program reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import batpak_analytics as bp
from batpak_analytics.cli import main
from tests.arrow.scan_stores import store_of
from tests.graph.stores import UNKNOWN, id_of
from tests.graph.test_tables import caused


@pytest.fixture
def order(tmp_path: Path) -> Path:
    """0 caused 1 and 2, 2 caused 3 and 4; 5 names a cause that is not there; 6 and 7 caused each other."""
    made = [caused(0, None), caused(1, 0), caused(2, 0, entity="user:1"), caused(3, 2), caused(4, 2)]
    made += [caused(5, UNKNOWN), caused(6, 7), caused(7, 6), caused(8, 7)]
    return store_of(tmp_path / "store", made)


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    assert main(["why", *map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines: list[str] = out.splitlines()
    return lines


def test_the_tree_goes_from_the_root_through_the_event_to_its_effects(
    order: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    top, root, event, *effects = shown(capsys, order, id_of(2).hex())
    assert top == "no earlier cause"
    assert "0x1001 order:1  #0" in root and "ms" not in root
    assert "0x1001 user:1  #2  2023-11-14 22:13:20.002  +2.000 ms  …" in event
    assert [line.split("#")[1].split()[0] for line in effects] == ["3", "4"]
    assert root.index("0x") < event.index("0x") < effects[0].index("0x") == effects[1].index("0x")


def test_an_id_may_be_given_by_its_last_digits(order: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = shown(capsys, order, id_of(2).hex())
    for digits in (8, 9, 16, 31):
        assert shown(capsys, order, id_of(2).hex()[-digits:]) == whole


def test_an_id_that_nothing_or_more_than_one_event_has_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alike = [caused(0, None), caused(1, None, event_id=b"\x11" * 8 + id_of(0)[8:])]
    path = store_of(tmp_path / "store", alike)
    for given, told in (("0" * 9, "2 events"), ("f" * 9, "ends in"), ("ab" * 16, "No visible event"), ("x", "32 hex")):
        assert main(["why", str(path), given]) == 2
        out, err = capsys.readouterr()
        assert out == "" and told in err and err.count("\n") == 1


def test_what_is_left_out_is_counted(order: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, order, id_of(3).hex(), "--depth", 1)[0] == "… 1 earlier cause"
    assert "… 2 more effects" in shown(capsys, order, id_of(0).hex(), "--depth", 1)[-1]
    lines = shown(capsys, order, id_of(0).hex(), "--limit", 3)
    assert "… 1 more effect" in lines[-1] and len(lines) == 6


def test_dangling_causes_and_cycles_are_named(order: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, order, id_of(5).hex())[0] == f"a cause that is not there: {UNKNOWN.hex()}"
    lines = shown(capsys, order, id_of(6).hex())
    assert lines[0].startswith("a cycle") and len(lines) == 4


def test_stored_names_cannot_drive_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = store_of(tmp_path / "store", [caused(0, None, entity="\x1b[2J[red]x[/red]"), caused(1, 0)])
    assert main(["why", str(path), id_of(1).hex()]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text and "\\x1b[2J[red]x[/red]" in text


def test_json_has_the_same_events_with_whole_ids(order: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", str(order), id_of(3).hex(), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["event"]["event_id"] == id_of(3).hex() and told["ends"] == "root"
    assert [row["event_id"] for row in told["causes"]] == [id_of(0).hex(), id_of(2).hex()]
    assert [row["latency_ms"] for row in told["causes"]] == [None, 2.0] and told["event"]["latency_ms"] == 1.0
    assert told["effects"] == [] and told["more_effects"] == 0
    assert main(["why", str(order), id_of(3).hex(), "--json", "--depth", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["ends"] == "depth"


def test_damage_on_the_way_is_told_as_everywhere(order: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = bp.read_batpak(order, columns=["offset"])["offset"].iloc[2]
    data = bytearray((order / "000001.fbat").read_bytes())
    data[place + 100] ^= 0xFF
    (order / "000001.fbat").write_bytes(data)
    assert main(["why", str(order), id_of(2).hex()]) == 0
    out, err = capsys.readouterr()
    assert "user:1  #2" in out and "ms" not in out.splitlines()[2]
    assert "batpak check" in err
