"""What a plan says of a store of the Rust engine is what is missing, dangling and broken after it was applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from tests.store.compactions import copy_of

NAMES = ("segments", "lanes", "hidden", "crash", "payloads", "checkpoint", "retention")
RULES = {
    "the last two of each entity": bp.keep.last_n_per_entity(2),
    "all but one entity": bp.keep.not_(bp.keep.entities("order:2")),
    "nothing": bp.keep.kinds(),
}


def seen(path: Path) -> dict[str, Any]:
    """Counted on what a fresh reader finds: ids with their kinds, links that lead nowhere, entities, bytes."""
    with bp.open_reader(path) as reader:
        events = reader.events(columns=["event_id", "kind", "entity"], system=True, payload=None).to_pandas()
        causes, chains = reader.causes(system=True).to_pandas(), reader.chains().to_pandas()
    return {
        "kinds": dict(zip(events["event_id"], events["kind"], strict=True)),
        "entities": set(events["entity"]),
        "dangling": set(causes["effect_id"][~causes["resolved"]]),
        "unlinked": unlinked(chains),
        # The last one is sealed by the compaction, which gives it the footer that closing would give it.
        "bytes": sum(file.stat().st_size for file in sorted(path.glob("*.fbat"))[:-1]),
    }


def unlinked(chains: Any) -> set[str]:
    """Events that name a hash which no event has that is shown, as the reference's own check finds them."""
    hashes = set(chains["event_hash"])
    pairs = zip(chains["event_id"], chains["prev_hash"], strict=True)
    return {name for name, previous in pairs if int(previous, 16) and previous not in hashes}


@pytest.mark.parametrize("strategy", ["retention", "tombstone"])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_lost_is_what_the_plan_said(name: str, rule: Any, strategy: Any, tmp_path: Path) -> None:
    path = copy_of(name, tmp_path / "store")
    with bp.Store.open(path) as store:
        before = seen(path)
        plan = store.plan_compaction(strategy, rule, min_segments=1)
        assert store.compact(plan).outcome == "performed"
        after, one, findings = seen(path), plan.summary(), plan.findings()
    assert one.bytes_net == after["bytes"] - before["bytes"]
    told = plan.events()
    shown = set(told["event_id"][~told["hidden"]])
    gone = set(before["kinds"]) - set(after["kinds"])
    marked = {one for one, kind in after["kinds"].items() if kind != before["kinds"][one]}
    assert (gone, marked) == ((shown, set()) if strategy == "retention" else (set(), shown))
    assert len(told) == one.events_dropped + one.events_tombstoned

    def named(rule: str) -> set[str]:
        return set(findings["event_id"][findings["rule"] == rule])

    assert after["dangling"] - before["dangling"] == named("cause-dangling")
    assert len(named("cause-dangling")) == one.dangling_causes
    # A parent that is hidden was not shown before either.
    assert after["unlinked"] - before["unlinked"] == named("link-broken") - before["unlinked"]
    assert len(named("link-broken")) == one.links_broken
    assert len(before["entities"] - after["entities"]) == one.entities_emptied
    assert set(findings["entity"][findings["rule"] == "entity-emptied"]) == before["entities"] - after["entities"]
