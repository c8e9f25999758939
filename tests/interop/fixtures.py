"""Write the stores of ``tests/fixtures/`` anew: ``python -m tests.interop.fixtures`` from the repository root.

They are small, so that ordinary tests need neither cargo nor stores from elsewhere. Ids and times differ on every
run, so run this only to add a store or to change one.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from tests.interop.oracle import Oracle

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"

STORES: dict[str, dict[str, int]] = {
    "untouched": {},
    "quickstart": {},
    "segments": {"events": 120, "segment_bytes": 6_000},
    "lanes": {"events": 80, "segment_bytes": 12_000},
    "payloads": {"segment_bytes": 12_000},
    "hidden": {"events": 70, "segment_bytes": 12_000},
    "crash": {"events": 60, "segment_bytes": 12_000},
    "encrypted": {"events": 70, "segment_bytes": 12_000},
    "encrypted-event": {"events": 30, "segment_bytes": 12_000},
    "checkpoint": {"events": 80, "segment_bytes": 12_000},
    "merge": {"events": 100, "segment_bytes": 12_000},
    "retention": {"events": 100, "segment_bytes": 12_000},
    "tombstone": {"events": 100, "segment_bytes": 12_000},
}
LOCK_FILE = ".batpak.lock"


def write_fixture(oracle: Oracle, name: str, directory: Path) -> None:
    """One store, what the engine reads from it and what its compaction reported."""
    store = directory / name
    if store.exists():
        shutil.rmtree(store)
    report = oracle.write(name, store, **STORES[name])
    (store / LOCK_FILE).unlink()
    (directory / f"{name}.jsonl").write_text(oracle.dump_text(store), encoding="utf-8")
    if report is not None:
        text = json.dumps(report, indent=2) + "\n"
        (directory / f"{name}.compaction.json").write_text(text, encoding="utf-8")


def main(names: list[str]) -> None:
    """Write the named stores, or all of them."""
    oracle = Oracle.build()
    FIXTURES.mkdir(exist_ok=True)
    for name in names or STORES:
        write_fixture(oracle, name, FIXTURES)


if __name__ == "__main__":
    main(sys.argv[1:])
