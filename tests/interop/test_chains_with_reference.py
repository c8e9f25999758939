"""Chains of random stores that the reference wrote, against plain Python over their frames and over its own answer."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import batpak_analytics as bp
from tests.interop.oracle import Oracle
from tests.proof.test_chains import as_text, compare

SEEDS = range(820, 850)


def test_every_link_of_a_random_store_is_what_plain_python_finds(oracle: Oracle, tmp_path: Path) -> None:
    """Crashes, cancelled fences, lanes, batches and all three compactions are among them."""
    seen: Counter[str] = Counter()
    for store in oracle.write_many(SEEDS, tmp_path):
        seen += compare(store.path)
    assert seen["linked"] > 1000 and seen["parent_hidden"] > 0 and seen["root"] > 100
    assert not seen["mismatch"] and not seen["forked"], "no honest store has either"


def test_the_rows_are_those_that_the_reference_shows(oracle: Oracle, tmp_path: Path) -> None:
    names = ("entity", "lane", "clock", "event_id", "event_hash", "prev_hash")
    for store in oracle.write_many(range(850, 860), tmp_path):
        rows = store.rows()
        found = as_text(bp.open_reader(store.path).chains().to_arrow())
        ids = {row["event_id"] for row in rows}
        kept = [row for row in found if row["event_id"] in ids]
        assert [{n: row[n] for n in names} for row in kept] == [{n: row[n] for n in names} for row in rows]
