"""Integrity: links, verification and anchors, beside the reference's read-only open and its `verify_chain`."""

from __future__ import annotations

from pathlib import Path

import batpak_analytics as bp
from tests.benchmarks.stores import Stores
from tests.benchmarks.timing import Case, timed

SYSTEM_EVENTS = 2
"""A store that was opened and closed once holds so many events of its own."""


def proving_cases(store: Path, events: int) -> list[Case]:
    """What this package does; each go opens the store anew. Making an anchor is measured by itself."""
    every = events + SYSTEM_EVENTS

    def chains() -> int:
        return int(bp.open_reader(store).chains().to_arrow().num_rows)

    def summary() -> int:
        return int(sum(bp.open_reader(store).chain_summary().to_arrow()["length"].to_pylist()))

    def verify(level: str) -> int:
        report = bp.open_reader(store).verify(level)  # type: ignore[arg-type]
        if report.verdict != "unanchored":
            raise AssertionError(report.statement)
        return report.events

    opened = bp.open_reader(store).verify("index")

    def anchor() -> int:
        opened.__dict__.pop("leaves", None)
        return opened.checkpoint().size

    return [
        Case("chains", "`reader.chains().to_arrow()`", timed(chains, every), events),
        Case("chain-summary", "`reader.chain_summary().to_arrow()`", timed(summary, every), events),
        Case("verify-index", '`reader.verify("index")`', timed(lambda: verify("index"), every), events),
        Case("verify-frames", '`reader.verify("frames")`', timed(lambda: verify("frames"), every), events),
        Case("verify", '`reader.verify("full")`', timed(lambda: verify("full"), every), events),
        Case("anchor", "`report.checkpoint()`: leaves and tree", timed(anchor, every), events),
    ]


class Reference:
    """The reference's read-only open and its `verify_chain`, from one run of both a round."""

    def __init__(self, stores: Stores, store: Path, events: int) -> None:
        self._oracle, self._copy, self._events = stores.oracle, stores.for_the_reference(store), events
        self._verify_seconds = 0.0

    def cases(self) -> list[Case]:
        """The two, in the order in which they have to be measured."""
        return [
            Case("reference-read-only-open", "batpak 0.9.0 (Rust): read-only open", self._open, self._events, False),
            Case("reference-verify", "batpak 0.9.0 (Rust): `verify_chain`", self._verify, self._events, False),
        ]

    def _open(self) -> float:
        answer = self._oracle.verify_chain(self._copy)
        if not answer["report"]["intact"]:
            raise AssertionError(answer)
        self._verify_seconds = answer["verify_seconds"]
        return float(answer["open_seconds"])

    def _verify(self) -> float:
        return self._verify_seconds
