"""A store of many small segments, which are read as one, has the same views as one of a few large segments."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp

KIND = 0x1001
EVENTS = 300


def write(path: Path, segment_bytes: int) -> Any:
    """The same history whatever the size of segments, ids included: every third event has a cause."""
    chance, ids = random.Random(7), [f"{number + 1:032x}" for number in range(EVENTS)]
    now = [10**12]  # a clock that does not mind how often it is looked at
    config = bp.StoreConfig(segment_max_bytes=segment_bytes, clock=lambda: now[0])
    with bp.Store.open(path, config=config) as store:
        for number, event_id in enumerate(ids):
            now[0] += 1500
            cause = chance.choice(ids) if number % 3 else None
            store.append(
                f"e:{number % 5}", f"s:{number % 2}", KIND + number % 3, {"n": number},
                causation_id=cause, correlation_id=ids[number % 20], idempotency_key=event_id,
            )  # fmt: skip
    return bp.open_reader(path)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    few, many = (write(tmp_path_factory.mktemp("store"), size) for size in (1 << 20, 2000))
    assert len(few.view.segments) == 1 and len(many.view.segments) > 64
    assert len(many.view.stretches) < len(many.view.segments) / 8, "they were to be read as one"
    return few, many


@pytest.mark.parametrize("name", ["causes", "causal_nodes", "correlations", "chains", "chain_summary"])
@pytest.mark.parametrize(
    "filters",
    [{}, {"entity": "e:1"}, {"kind": KIND + 1}, {"filters": [("payload.n", "<", 40)]}],
    ids=str,
)
def test_many_small_segments_have_the_views_of_one(name: str, filters: dict[str, Any], both: tuple[Any, Any]) -> None:
    few, many = (getattr(reader, name)(system=False, **filters).to_arrow() for reader in both)
    assert len(few) and few.equals(many)


def test_walks_and_verdict_are_the_same(both: tuple[Any, Any]) -> None:
    few, many = both
    for number in range(1, EVENTS, 17):
        for walk in ("ancestors", "descendants"):
            one, other = (getattr(reader, walk)(f"{number:032x}") for reader in both)
            assert one["event_id"].tolist() == other["event_id"].tolist()
    assert few.verify().verdict == many.verify().verdict
    assert len(many.segments().to_arrow()) == len(many.view.segments)
