"""The causal views, each with the open that it needs, beside the reference's read-only open: it has no such views."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import batpak_analytics as bp
from tests.benchmarks.stores import Stores
from tests.benchmarks.timing import Case, timed

LIFECYCLE_EVENTS = 2  # the engine's own, at open and close


def graph_cases(stores: Stores, store: Path, events: int) -> list[Case]:
    """Everything that is measured on one store."""

    def table(view: Callable[[Any], Any]) -> Callable[[], int]:
        return lambda: int(view(bp.open_reader(store)).to_arrow().num_rows)

    edges = bp.open_reader(store).causes(columns=["resolved"])
    untimed = [name for name in bp.Causes.SCHEMA.names if name not in bp.Causes.TIMED]
    groups = bp.open_reader(store).correlations(columns=["events"]).count()
    nodes = events + LIFECYCLE_EVENTS
    return [
        Case("causes", "`causes()`", timed(table(lambda reader: reader.causes()), edges.count()), events),
        Case(
            "causes-untimed",
            "`causes()` without `latency_ms`, which reads no frame",
            timed(table(lambda reader: reader.causes(columns=untimed)), edges.count()),
            events,
        ),
        Case("causal-nodes", "`causal_nodes()`", timed(table(lambda reader: reader.causal_nodes()), nodes), events),
        Case("correlations", "`correlations()`", timed(table(lambda reader: reader.correlations()), groups), events),
        Case(
            "reference-read-only",
            "batpak 0.9.0 (Rust): read-only open",
            lambda: stores.oracle.open_seconds(stores.for_the_reference(store)),
            events,
            warm_up=False,
        ),
    ]
