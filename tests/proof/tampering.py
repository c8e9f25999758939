"""The tamper matrix of docs/tampering.md: `python -m tests.proof.tampering` writes it; tests hold it true."""

from __future__ import annotations

import tempfile
from pathlib import Path

import batpak_analytics as bp
from tests.conftest import FIXTURES
from tests.interop.oracle import Oracle, OracleRefused
from tests.proof.attacks import ATTACKS, Attack, attacked, found_by, named

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tampering.md"
STORE = FIXTURES / "segments"
NOT_FOUND = "not found"
BEGIN, END = "<!-- begin of the table -->", "<!-- end of the table -->"
HEAD = (
    '| changed | `verify_chain` of 0.9.0 | `verify("full")` | `verify` against an earlier checkpoint |\n'
    "|---|---|---|---|\n"
)


def ours(attack: Attack, scratch: Path) -> tuple[str, str]:
    """What `verify` finds in an attacked copy, alone and against a checkpoint of the sound store."""
    with bp.open_reader(STORE) as reader:
        checkpoint = reader.verify("index").checkpoint()
    with bp.open_reader(attacked(attack, STORE, scratch / attack.__name__)) as reader:
        return told(reader.verify()), told(reader.verify(against=checkpoint))


def told(report: bp.VerifyReport) -> str:
    rules = found_by(report)
    return ", ".join(f"`{rule}`" for rule in rules) if rules else NOT_FOUND


def reference(oracle: Oracle, attack: Attack, scratch: Path) -> str:
    """What the reference finds in one."""
    store = attacked(attack, STORE, scratch / f"{attack.__name__}-reference")
    try:
        report = oracle.verify_chain(store)["report"]
    except OracleRefused:
        return "does not open"
    if "error" in report:
        return "gives up"
    found = [
        f"{report[name]} {word}{'s' if report[name] > 1 else ''}"
        for name, word in (("content_hash_mismatches", "wrong hash"), ("dangling_links", "dangling link"))
        if report[name]
    ]
    return ", ".join(found) if found else NOT_FOUND


def row(attack: Attack, cells: list[str]) -> str:
    return "| " + " | ".join([named(attack), *cells]) + " |"


def read_table() -> dict[str, list[str]]:
    """The table of the page: cells by attack."""
    table = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {line[0]: line[1:] for line in cells}


def main() -> None:
    """Write the table into the page."""
    oracle = Oracle.build()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        rows = [row(one, [reference(oracle, one, place), *ours(one, place)]) for one in ATTACKS]
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{HEAD}" + "\n".join(rows) + f"\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
