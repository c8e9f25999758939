"""Random stores with what honest stores rarely have: forks, gaps, equal payloads, hidden parents, wrong links."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import blake3

from batpak_analytics.format.layout import VISIBILITY_NAME
from batpak_analytics.format.sidecars import visibility
from batpak_analytics.format.sidecars.visibility import HiddenRanges, normalise
from batpak_analytics.model import Event, HashChain
from tests.engine.building import EPOCH_US, Segment, make_event, write_store

Chain = tuple[str, int]


def chained(event: Event, *, clock: int, lane: int, prev: bytes, payload: bytes) -> Event:
    """The event at this place of its chain, with this payload."""
    digest = blake3.blake3(payload).digest()
    position = replace(event.position, clock=clock, lane=lane)
    return replace(
        event,
        position=position,
        payload=payload,
        payload_size=len(payload),
        content_hash=digest,
        hash_chain=HashChain(prev, digest),
    )


def random_events(random: Random, count: int) -> list[Event]:
    """Events of a few chains; most are linked as a writer links them."""
    latest: dict[Chain, tuple[int, bytes]] = {}
    events: list[Event] = []
    for number in range(count):
        chain = (f"order:{random.randrange(3)}", random.choice([0, 0, 0, 1, 7]))
        clock, prev = latest.get(chain, (-1, bytes(32)))
        payload = bytes([0xA1, 0x61 + random.randrange(4)])  # few payloads, so that hashes are equal
        step = random.choices([1, 2, 0, 1], [30, 2, 2, 1])[0]
        if random.random() < 0.04:
            prev = random.choice([bytes(32), blake3.blake3(b"\xa1a").digest(), random.randbytes(32)])
        place = max(clock + step, 0)
        made = chained(
            make_event(number, entity=chain[0], at_us=EPOCH_US + 1000 * number),
            clock=place, lane=chain[1], prev=prev, payload=payload,
        )  # fmt: skip
        if step == 0 and events and random.random() < 0.7:  # a sibling of the last one of its chain
            before = next((one for one in reversed(events) if (one.entity, one.position.lane) == chain), None)
            if before is not None and before.hash_chain is not None:
                made = chained(made, clock=place, lane=chain[1], prev=before.hash_chain.prev_hash, payload=payload)
        events.append(made)
        assert made.hash_chain is not None
        latest[chain] = (place, made.hash_chain.event_hash)
    return events


def random_history(random: Random, directory: Path) -> Path:
    """A store of such events in several segments, some of them dropped and some hidden."""
    events = random_events(random, random.randrange(1, 60))
    kept = [event for event in events if random.random() > 0.06]
    segments: list[Segment] = []
    at = first = 0
    while at < len(kept):
        size = random.randrange(1, 20)
        part = kept[at : at + size]
        segments.append(Segment(len(segments) + 1, part, first_sequence=first, footer=random.random() < 0.8))
        at, first = at + size, first + len(part)
    store = write_store(directory, segments or [Segment(1)])
    if random.random() < 0.6 and kept:
        starts = [random.randrange(len(kept)) for _ in range(3)]
        ranges = normalise((start, start + random.randrange(1, 3)) for start in starts)
        (store / VISIBILITY_NAME).write_bytes(visibility.encode(HiddenRanges(ranges, {})))
    return store
