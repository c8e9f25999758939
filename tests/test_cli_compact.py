"""``batpak compact``: what a user is told before anything is done, and that nothing is."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

import batpak_analytics as bp
from batpak_analytics.cli import main
from batpak_analytics.cli.arguments import compaction
from batpak_analytics.cli.keeping import rule_of
from batpak_analytics.compaction import plan
from batpak_analytics.compaction.rules import rule_text
from tests.conftest import FIXTURES

keep = bp.keep


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return shutil.copytree(FIXTURES / "lanes", tmp_path / "store")


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert main(["compact", *map(str, arguments)]) == code
    out, err = capsys.readouterr()
    assert err == ""
    text: str = out
    return text


def test_a_dry_run_says_so_and_changes_nothing(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in store.iterdir()}
    text = run(capsys, store, "--strategy", "retention", "--keep", "last=3")
    assert text.startswith("a dry run: nothing was changed.")
    for word in (
        "events_dropped",
        "dangling_causes",
        "findings: ",
        "suggestion: keep the causes too: +",
        "0.9.0 would",
    ):
        assert word in text
    assert {path.name: path.read_bytes() for path in store.iterdir()} == before


def test_the_plan_that_is_saved_is_the_plan_that_was_shown(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (store, "--strategy", "tombstone", "--keep", "kinds=0x1001", "--keep", "last=2", "--with-causes")
    told = json.loads(run(capsys, *arguments, "--json", "--save", tmp_path / "plan.json"))
    plan = bp.CompactionPlan.load(tmp_path / "plan.json")
    assert plan.digest.hex() == told["digest"]
    assert plan.summary().as_dict() == told["summary"]
    rule = keep.with_causes(keep.any_of(keep.kinds(0x1001), keep.last_n_per_entity(2)))
    assert plan == bp.open_reader(store).plan_compaction("tombstone", rule)
    assert "payloads stay on disk" in run(capsys, *arguments)


def test_a_plan_is_not_saved_in_the_store(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compact", str(store), "--save", str(store / "plan.json")]) == 2
    assert "lies in the store" in capsys.readouterr().err


def test_what_is_refused_skipped_or_estimated_is_told(
    quickstart: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "skipped" in run(capsys, quickstart)
    text = run(capsys, FIXTURES / "encrypted", "--strategy", "tombstone", "--keep", "last=1", code=1)
    assert "refused: " in text
    arguments = ("--strategy", "retention", "--keep", "where=payload_size > 20", "--sample", "0.5")
    assert "ESTIMATE" in run(capsys, store, *arguments)


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["kinds=0x1001,4098"], keep.kinds(0x1001, 0x1002)),
        (["entities=order,user:7"], keep.entities("order", "user:7")),
        (["last=5"], keep.last_n_per_entity(5)),
        (["newer-than=30d"], keep.newer_than(timedelta(days=30))),
        (["newer-than=1700"], keep.newer_than(1700)),
        (["newer-than=2026-03-01T00:00:00Z"], keep.newer_than("2026-03-01T00:00:00Z")),
        (["where=payload.total >= 1.5"], keep.where([("payload.total", ">=", 1.5)])),
        (["where=entity=a=b"], keep.where([("entity", "=", "a=b")])),
        (["chain-heads"], keep.chain_heads()),
        (["not:last=1"], keep.not_(keep.last_n_per_entity(1))),
        (["last=1", "chain-heads"], keep.any_of(keep.last_n_per_entity(1), keep.chain_heads())),
    ],
)
def test_words_make_the_rules_that_they_say(words: list[str], rule: object, tmp_path: Path) -> None:
    made = rule_of(words)
    assert made == rule
    assert made is not None
    (tmp_path / "rule.json").write_text(rule_text(made))
    assert rule_of([f"@{tmp_path / 'rule.json'}"]) == rule


@pytest.mark.parametrize(
    "word", ["", "last", "last=x", "kinds=x", "kinds=70000", "nothing=1", "where=", "newer-than=soon"]
)
def test_words_that_make_no_rule_are_one_line_of_help(
    word: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compact", str(store), "--strategy", "retention", "--keep", word]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_a_strategy_without_a_rule_is_refused_with_what_to_do(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compact", str(store), "--strategy", "retention"]) == 2
    assert "needs --keep" in capsys.readouterr().err


def test_what_was_shown_is_what_is_done(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (store, "--strategy", "retention", "--keep", "last=3")
    planned = json.loads(run(capsys, *arguments, "--json", "--save", tmp_path / "plan.json"))
    text = run(capsys, store, "--plan", tmp_path / "plan.json", "--apply")
    assert "a dry run" not in text and "done: " in text and "events_dropped" in text
    with bp.open_reader(store) as reader:
        assert reader.view.segments[0].count == planned["summary"]["events_kept"]
        assert reader.check() == []
    assert main(["compact", str(store), "--plan", str(tmp_path / "plan.json"), "--apply"]) == 2
    assert "Plan again" in capsys.readouterr().err


def test_applying_tells_it_as_json_too(store: Path, quickstart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned = json.loads(run(capsys, store, "--json"))["summary"]
    told = json.loads(run(capsys, store, "--apply", "--json"))
    assert told["outcome"] == "performed" and told["output"] == "000001.fbat" and told["unfinished"] == []
    for name in ("events_kept", "bytes_net", "bytes_gross"):
        assert told["numbers"][name] == planned[name]
    assert json.loads(run(capsys, quickstart, "--apply", "--json"))["outcome"] == "skipped"


def test_refused_plan_is_not_applied_and_the_store_is_not_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = shutil.copytree(FIXTURES / "encrypted", tmp_path / "store")
    before = {path.name: path.read_bytes() for path in store.iterdir()}
    text = run(capsys, store, "--strategy", "tombstone", "--keep", "last=1", "--apply", code=1)
    assert "refused: " in text
    assert {path.name: path.read_bytes() for path in store.iterdir()} == before
    assert "done: " in run(capsys, store, "--strategy", "retention", "--keep", "last=1", "--apply")


def test_saved_plan_and_a_new_rule_do_not_go_together(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, store, "--save", tmp_path / "plan.json")
    assert main(["compact", str(store), "--plan", str(tmp_path / "plan.json"), "--keep", "last=1"]) == 2
    assert "--plan has its rule in it" in capsys.readouterr().err


def test_strategies_are_those_of_the_plan() -> None:
    assert compaction.STRATEGIES == plan.STRATEGIES
