"""Whatever is wrong with a store: a plan is refused, or its output shows what was shown, but for what it strikes."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.compaction.plan import Strategy
from tests.compaction.stores import Row, rows_of, write_random
from tests.compaction.test_effects import performed

keep = bp.keep
RULES: list[tuple[Strategy, Any]] = [
    ("merge", None),
    ("retention", keep.last_n_per_entity(3)),
    ("retention", lambda event: event.payload["n"] > 1),
    ("tombstone", keep.kinds(0x1001)),
]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("kept") / "store", 21, steps=25)


def damage(path: Path, dice: random.Random) -> None:
    data = bytearray(path.read_bytes())
    at = dice.randrange(len(data))
    match dice.randrange(5):
        case 0 | 1:
            data[at] ^= 1 << dice.randrange(8)
        case 2:
            data = data[:at]
        case 3:
            del data[at : at + dice.randrange(1, 200)]
        case _:
            data += dice.randbytes(dice.randrange(1, 50))
    path.write_bytes(bytes(data))


def seen(rows: list[Row]) -> list[tuple[bytes, int, bytes]]:
    return [(row.id, row.clock, row.event_hash) for row in rows]


@pytest.mark.parametrize("seed", range(30))
def test_damage_is_refused_or_planned_as_it_is_read(kept: Path, seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    store = shutil.copytree(kept, tmp_path / "store")
    for _ in range(dice.choice((1, 1, 3))):
        damage(dice.choice(sorted([*store.glob("*.fbat"), *store.glob("index.*")])), dice)
    reader = bp.open_reader(store)
    strategy, rule = RULES[seed % len(RULES)]
    plan = reader.plan_compaction(strategy, rule)
    if plan.outcome == "refused":
        assert plan.refusals
        assert plan.summary().events_kept == 0
        return
    struck = {bytes.fromhex(name) for name in plan.events()["event_id"]} if strategy == "retention" else set()
    after = bp.open_reader(performed(plan, store, tmp_path / "new"))
    assert sorted(seen(rows_of(after))) == sorted(one for one in seen(rows_of(reader)) if one[0] not in struck)
