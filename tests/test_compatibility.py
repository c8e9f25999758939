"""docs/compatibility.md must stay true: its tests exist, its rules are the engine's, and what no other test holds."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

import batpak_analytics as bp
from batpak_analytics import engine
from batpak_analytics.errors import CorruptFrameError
from batpak_analytics.model import EventKind
from tests.engine.building import make_event, numbers, rules, three_segments, write_store

TESTS = Path(__file__).resolve().parent
PAGE = (TESTS.parent / "docs" / "compatibility.md").read_text()
PROJECTIONS = (TESTS.parent / "docs" / "projections.md").read_text()
ENGINE = Path(engine.__file__).parent
ALL = list(range(9))
RULE_ARGUMENT = {"Finding": 1, "finding": 2, "_note": 1}  # where a call gives its rule


def rules_of(source: str) -> set[str]:
    """Every rule that the findings made in this source can have."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RULE_ARGUMENT:
            given = node.args[RULE_ARGUMENT[node.func.id] :][:1]
            given += [keyword.value for keyword in node.keywords if keyword.arg == "rule"]
            parts = [part for value in given for part in ast.walk(value)]
            found |= {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}
    return found


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def table_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_difference_names_a_test_that_exists() -> None:
    defined = set(re.findall(r"def (test_\w+)", "".join(path.read_text() for path in TESTS.rglob("test_*.py"))))
    rows = table_rows(section("Where this reader shows more")) + table_rows(section("Sequence numbers"))
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row[-1])
        assert named, f"no test holds: {row[0]}"
        assert set(named) <= defined, row[0]
    assert set(re.findall(r"`(test_\w+)`", PAGE + PROJECTIONS)) <= defined


def test_every_trap_has_a_row_and_each_that_is_built_a_test() -> None:
    rows = [row for row in table_rows(section("Writing")) if re.match(r"T\d", row[0])]
    told = {int(number) for row in rows for number in re.findall(r"T(\d+)", row[0])}
    assert told >= set(range(1, 53))
    for row in rows:
        assert row[-1] or "nothing to trap" in row[2] or "no such" in row[2], row[0]


def test_every_rule_of_a_finding_is_explained_and_no_other() -> None:
    made = set().union(*(rules_of(path.read_text()) for path in ENGINE.glob("*.py")))
    explained = {rule for row in table_rows(section("Findings")) for rule in re.findall(r"`([a-z-]+)`", row[0])}
    assert made <= explained, made - explained
    sources = "".join(path.read_text() for path in ENGINE.parent.rglob("*.py"))
    assert {rule for rule in explained if f'"{rule}"' not in sources} == set()


def test_torn_tail_of_an_earlier_segment_is_left_out_and_the_rest_is_read(tmp_path: Path) -> None:
    segments = three_segments()
    segments[0].footer = False
    write_store(tmp_path, segments)
    first = tmp_path / "000001.fbat"
    first.write_bytes(first.read_bytes()[:-10])
    view = bp.open_reader(tmp_path).view
    assert numbers(view) == [number for number in ALL if number != 2]
    assert len(view.findings) == 1
    with pytest.raises(CorruptFrameError):
        bp.open_reader(tmp_path, on_damage="raise")


def test_sdx2_footer_of_an_earlier_segment_costs_no_event(tmp_path: Path) -> None:
    write_store(tmp_path, three_segments())
    first = tmp_path / "000001.fbat"
    data = first.read_bytes()
    first.write_bytes(data[:-20] + data[-16:-4] + b"SDX2")  # that version has no checksum
    view = bp.open_reader(tmp_path).view
    assert numbers(view) == ALL
    assert rules(view) == {"footer-unusable"} and not rules(view, "error", "warning")


@pytest.mark.parametrize("kind", [0x0000, 0x0ABC, 0xD003])
@pytest.mark.parametrize("footer", [True, False])
def test_an_unknown_reserved_kind_keeps_its_number(tmp_path: Path, kind: int, footer: bool) -> None:
    segments = three_segments()
    segments[2].events[0] = replace(make_event(6), kind=EventKind(kind))
    segments[2].footer = footer
    frame = bp.read_batpak(write_store(tmp_path, segments))
    assert frame["kind"].tolist()[6] == kind
