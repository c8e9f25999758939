"""Random stores to compact, as a real writer leaves them, and their events one by one."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import batpak_analytics as bp
from batpak_analytics.model import Receipt

ENTITIES = ("order:1", "order:2", "order:2:item", "user:7")
KINDS = (0x1001, 0x1002, 0x2001, 0xF001)
SMALL = 2_500


def write_random(directory: Path, seed: int, *, steps: int = 50, sessions: int = 2) -> Path:
    """A store of single events, batches and fences, on lanes, with causes and correlations of earlier events."""
    dice = random.Random(seed)
    known: list[Receipt] = []
    for session in range(sessions):
        config = bp.StoreConfig(segment_max_bytes=SMALL, clock=_Clock(dice, session))
        store = bp.Store.open(directory, config=config)
        for _ in range(steps):
            _step(store, dice, known)
        if dice.random() < 0.5:
            store.close()
        else:
            store.drop()
    return directory


class _Clock:
    """Goes on by up to some seconds."""

    def __init__(self, dice: random.Random, session: int) -> None:
        self.now, self.dice = 1_700_000_000_000_000 + session * 3_600_000_000, dice

    def __call__(self) -> int:
        self.now += self.dice.randrange(3_000_000)
        return self.now


def _step(store: bp.Store, dice: random.Random, known: list[Receipt]) -> None:
    roll = dice.random()
    if roll < 0.1:
        known += store.append_batch(
            [bp.BatchItem(**_event(dice, known) | {"idempotency_key": None}) for _ in range(dice.randrange(1, 5))]
        )
    elif roll < 0.2:
        with store.begin_fence() as fence:
            made = [store.append(fence=fence, **_event(dice, known)) for _ in range(dice.randrange(1, 4))]
            if dice.random() < 0.6:
                fence.cancel()
            else:
                fence.commit()
        known += made
    else:
        known.append(store.append(**_event(dice, known)))


def _event(dice: random.Random, known: list[Receipt]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "entity": dice.choice(ENTITIES),
        "scope": dice.choice(("shop", "office")),
        "kind": dice.choice(KINDS),
        "payload": {"n": dice.randrange(4), "text": "x" * dice.randrange(30)},  # often equal to another's
        "lane": dice.choice((0, 0, 0, 5)),
    }
    if known and dice.random() < 0.4:
        made["causation_id"] = dice.choice(known).event_id
    if known and dice.random() < 0.4:
        made["correlation_id"] = dice.choice(known).event_id
    if dice.random() < 0.1:
        made["idempotency_key"] = dice.randbytes(16)
    return made


@dataclass(frozen=True)
class Row:
    """One event of a store, hidden ones too, in the order of the files."""

    id: bytes
    correlation: bytes
    cause: bytes
    entity: str
    kind: int
    lane: int
    clock: int
    wall_ms: int
    sequence: int
    event_hash: bytes
    prev_hash: bytes
    visible: bool
    sealed: bool
    length: int

    @property
    def own(self) -> bool:
        return self.kind >> 12 in (0x0, 0xD) or self.entity == "batpak:store"

    @property
    def stays_anyway(self) -> bool:
        return not self.sealed or self.own


def rows_of(reader: bp.Reader) -> list[Row]:
    """Every event, straight from the rows of the segments."""
    segments = reader.view.segments
    highest = max(one.segment_id for one in segments)
    found = []
    for one in segments:
        for at, row in enumerate(one.rows):
            found.append(
                Row(
                    row["event_id"].tobytes()[::-1], row["correlation_id"].tobytes()[::-1],
                    row["causation_id"].tobytes()[::-1], one.strings[row["entity_idx"]], int(row["kind"]),
                    int(row["lane"]), int(row["clock"]), int(row["wall_ms"]), int(one.sequence[at]),
                    row["event_hash"].tobytes(), row["prev_hash"].tobytes(), not one.excluded[at],
                    one.segment_id < highest, int(row["length"]),
                )
            )  # fmt: skip
    return found
