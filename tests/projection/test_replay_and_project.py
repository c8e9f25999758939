"""A replay and a projection of the same entity fold the same events; only on several lanes may the order differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp

STORES = ("quickstart", "segments", "lanes", "hidden", "merge", "retention", "tombstone", "crash", "checkpoint")
FIXTURES = Path(__file__).parent.parent / "fixtures"


@bp.fold(initial=list)
def ids(state: list[bytes], event: Any) -> list[bytes]:
    """Which events were folded, in which order."""
    return [*state, event.event_id]


@pytest.mark.parametrize("name", STORES)
def test_a_replay_to_the_end_is_what_a_projection_gives(name: str) -> None:
    with bp.open_reader(FIXTURES / name) as reader:
        rows = reader.events(columns=["entity", "lane"], system=True).to_pandas()
        compared = 0
        for entity, lanes in rows.groupby("entity", observed=True)["lane"].nunique().items():
            try:
                projected = reader.project(ids, entity)
            except bp.PayloadUndecodableError:
                continue  # it has a payload without a JSON value, at which a projection stops, as the reference's does
            replayed, compared = reader.replay(ids, entity=entity).final(), compared + 1
            assert sorted(replayed) == sorted(projected)
            if lanes == 1:
                assert replayed == projected
        assert compared
