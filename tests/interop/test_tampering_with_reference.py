"""The reference's own verification of every attacked store, held against docs/tampering.md."""

from __future__ import annotations

import shutil
from pathlib import Path

import batpak_analytics as bp
from tests.conftest import FIXTURES
from tests.interop.oracle import Oracle
from tests.proof.attacks import ATTACKS, named
from tests.proof.tampering import read_table, reference

SEEDS = range(700, 740)


def test_what_the_page_says_of_the_reference_is_what_it_does(oracle: Oracle, tmp_path: Path) -> None:
    table = read_table()
    for attack in ATTACKS:
        assert table[named(attack)][0] == reference(oracle, attack, tmp_path), named(attack)


def test_no_store_of_the_reference_is_called_broken(oracle: Oracle, tmp_path: Path) -> None:
    """Crashes, fences, batches, compactions: warnings at most, and never an error."""
    for store in oracle.write_many(SEEDS, tmp_path):
        report = bp.open_reader(store.path).verify()
        errors = [fault for fault in report.faults.listed if fault.severity == "error"]
        assert not errors, (store.seed, store.rounds, errors)


def test_a_merge_keeps_the_root_and_a_retention_does_not(oracle: Oracle, tmp_path: Path) -> None:
    store = Path(shutil.copytree(FIXTURES / "segments", tmp_path / "store"))
    checkpoint = bp.open_reader(store).verify("index").checkpoint()
    oracle.compact(store, "merge")
    report = bp.open_reader(store).verify(against=checkpoint)
    assert report.verdict == "verified" and report.covered == checkpoint.size < report.events
    oracle.compact(store, "retention", strike="order:1")
    report = bp.open_reader(store).verify(against=checkpoint)
    assert report.verdict == "broken"
    assert [fault.rule for fault in report.faults.listed if fault.severity == "error"] == ["anchor-differs"]
