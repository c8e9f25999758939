"""``verify``, ``checkpoint`` and ``chain`` as a user meets them: what they print, leave behind, and exit with."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from batpak_analytics.cli import main
from batpak_analytics.proof import rules
from tests.conftest import FIXTURES
from tests.proof.attacks import Victim, hashed


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / "segments", tmp_path / "store"))


@pytest.fixture
def tampered(tmp_path: Path) -> Path:
    """The same with one kind changed at the end of a chain, which only a checkpoint tells."""
    victim = Victim(FIXTURES / "segments", tmp_path / "tampered")
    chain = next(chain for chain in victim.chains.values() if len(chain) > 1 and victim.single(chain[-1]))
    victim.put(chain[-1], hashed(victim.event(chain[-1]), b"\x01"))
    victim.save()
    return victim.path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_sound_store_is_unanchored_and_its_exit_code_is_0(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "verify", store)
    assert code == 0 and "unanchored:" in out and "verified" not in out
    assert all(rule.name in out for rule in rules.RULES)


def test_a_checkpoint_is_written_and_held_against(
    store: Path, tampered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    note, leaves = tmp_path / "note", tmp_path / "leaves"
    code, out, _ = run(capsys, "checkpoint", store, note, "--leaves", leaves, "--origin", "example.com/x")
    assert code == 0 and "124 events" in out and "not signed" in out and note.read_text().startswith("example.com/x\n")
    code, out, _ = run(capsys, "verify", store, "--against", note)
    assert code == 0 and "verified: the first 124 of 124 events" in out
    assert run(capsys, "verify", tampered)[0] == 0, "nothing inside tells of it"
    code, out, _ = run(capsys, "verify", tampered, "--against", note, "--leaves", leaves)
    assert code == 1 and "broken:" in out and "anchor-differs" in out and "is the first that differs" in out


def test_json_is_the_whole_report(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "verify", store, "--json", "--level", "index")
    report = json.loads(out)
    assert (code, err, report["verdict"], report["level"]) == (0, "", "unanchored", "index")
    assert [rule["rule"] for rule in report["rules"]] == list(rules.RULE_NAMES)


def test_findings_exit_with_1_and_say_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    victim = Victim(FIXTURES / "segments", tmp_path / "broken")
    place = victim.middle()
    victim.put(place, replace(victim.event(place), payload=b"\x01\x02"))
    victim.save()
    code, out, _ = run(capsys, "verify", victim.path)
    assert code == 1 and "payload-hash" in out and victim.event(place).event_id.hex()[-8:] in out
    code, _, err = run(capsys, "checkpoint", victim.path, tmp_path / "note")
    assert code == 2 and "vouch" in err and not (tmp_path / "note").exists()
    event = victim.event(place)
    code, out, _ = run(capsys, "chain", victim.path, event.entity, "--lane", event.position.lane, "--payloads")
    assert code == 1 and "False" in out


def test_a_known_file_is_made_and_used(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = tmp_path / "known"
    assert "not read again" not in run(capsys, "verify", store, "--known", known)[1]
    assert "not read again: " in run(capsys, "verify", store, "--known", known)[1]


def test_what_cannot_be_trusted_or_read_exits_with_2(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none").write_text("nothing\n")
    for arguments in (
        ("verify", tmp_path / "gone"),
        ("verify", store, "--against", tmp_path / "none"),
        ("verify", store, "--against", tmp_path / "gone"),
        ("verify", store, "--leaves", tmp_path / "none"),
        ("verify", store, "--known", store / "known"),
        ("checkpoint", store, store / "note"),
    ):
        code, _, err = run(capsys, *arguments)
        assert code == 2 and err.startswith("batpak: error: ") and err.count("\n") == 1, arguments
    assert not (store / "known").exists() and not (store / "note").exists()


def test_a_chain_is_shown_in_order_with_its_verdict(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "chain", store, "order:1", "--lane", "0")
    lines = [line for line in out.splitlines() if line.startswith("order:1 ")]
    assert code == 0 and [line.split()[2] for line in lines] == [str(n) for n in range(len(lines))]
    assert "root" in lines[0] and all("linked" in line for line in lines[1:])
    assert "order:1, lane 0: whole" in out
    assert "no events" in run(capsys, "chain", store, "nobody")[1]


@pytest.mark.parametrize("command", ["verify", "checkpoint"])
def test_levels_are_those_of_the_rules(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "{" + ",".join(rules.LEVELS) + "}" in capsys.readouterr().out
