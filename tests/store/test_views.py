"""A store that is open for writing answers as a reader of it does, and for now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp

KIND = 0x1001
TABLES = ("events", "causes", "causal_nodes", "correlations", "chains", "chain_summary", "segments")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with bp.Store.open(tmp_path / "store", config=bp.StoreConfig(segment_max_bytes=2000)) as opened:
        cause = None
        for number in range(12):
            cause = opened.append(f"e:{number % 3}", "s", KIND, {"n": number}, causation_id=cause).event_id
        yield opened


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_that_of_a_reader(name: str, store: Any) -> None:
    ours, reader = getattr(store, name)().to_arrow(), store.reader()
    assert len(ours) and ours.equals(getattr(reader, name)().to_arrow())


def test_tables_show_what_was_appended_a_moment_ago(store: Any) -> None:
    before = store.causes().count()
    last = store.append("e:9", "s", KIND, None, causation_id=store.append("e:8", "s", KIND, None).event_id)
    assert store.causes().count() == before + 1
    assert store.events(entity="e:9").count() == 1
    assert store.ancestors(last.event_id)["entity"].tolist() == ["e:8"]
    assert store.verify().verdict == "unanchored"
    assert store.findings().empty


def test_a_closed_store_answers_nothing(store: Any) -> None:
    store.causes()
    store.close()
    with pytest.raises(bp.StoreClosedError, match="closed"):
        store.causes()
