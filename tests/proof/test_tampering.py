"""Every attack of the tamper matrix, held against docs/tampering.md."""

from __future__ import annotations

from pathlib import Path

import pytest

import batpak_analytics as bp
from batpak_analytics.proof.rules import RULE_NAMES
from batpak_analytics.proof.verify import home_of
from tests.proof.attacks import ATTACKS, OUTSIDE_THE_FRAMES, Attack, Victim, attacked, found_by, named
from tests.proof.tampering import NOT_FOUND, STORE, ours, read_table


def test_the_page_lists_every_attack_and_no_other() -> None:
    assert list(read_table()) == [named(attack) for attack in ATTACKS]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_what_the_page_says_we_find_is_what_we_find(attack: Attack, tmp_path: Path) -> None:
    assert read_table()[named(attack)][1:] == list(ours(attack, tmp_path))


def test_against_a_checkpoint_every_change_of_a_store_is_found() -> None:
    for attack in ATTACKS:
        if attack not in OUTSIDE_THE_FRAMES:
            assert read_table()[named(attack)][2] != NOT_FOUND, named(attack)


def test_a_store_that_is_only_taken_apart_and_put_together_is_the_same(tmp_path: Path) -> None:
    victim = Victim(STORE, tmp_path / "copy")
    victim.save()
    for path in STORE.glob("*.fbat"):
        assert (victim.path / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_saved_leaves_name_the_first_event_that_differs(attack: Attack, tmp_path: Path) -> None:
    """The name is checked against the frames themselves, one by one."""
    with bp.open_reader(STORE) as reader:
        checkpoint = reader.verify("index").checkpoint(leaves=tmp_path / "leaves")
        before = bodies(reader)
    with bp.open_reader(attacked(attack, STORE, tmp_path / "copy")) as reader:
        report = reader.verify("index", checkpoint, leaves=tmp_path / "leaves")
        after = bodies(reader)
    told = [fault for fault in report.faults.listed if fault.rule == "anchor-differs"]
    first = next((at for at, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), None)
    if first is None and len(after) >= len(before):
        assert not told
        return
    at = len(after) if first is None else first
    assert f"event {at} " in told[0].meaning
    assert told[0].event == (before[at] if first is None else after[at])[0]
    assert report.verdict == "broken"


def bodies(reader: bp.Reader) -> list[tuple[str, bytes]]:
    """Id and body of every frame, in order."""
    found = []
    for segment in reader.view.segments:
        for entry in segment.rows:
            low, high = int(entry["offset"]), int(entry["offset"]) + int(entry["length"])
            found.append((entry["event_id"].tobytes()[::-1].hex(), bytes(segment.window(low + 8, high))))
    return found


def test_every_rule_that_is_found_belongs_to_one_that_is_explained(tmp_path: Path) -> None:
    for attack in ATTACKS:
        with bp.open_reader(attacked(attack, STORE, tmp_path / attack.__name__)) as reader:
            report = reader.verify()
        states = {one.rule.name: one.state for one in report.outcomes}
        for rule in found_by(report):
            assert home_of(rule) in RULE_NAMES and states[home_of(rule)] != "holds"
