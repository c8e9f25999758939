"""Questions to a store, and three who answer: a reader or store of this package, the reference, and a plain list."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import batpak_analytics as bp
from batpak_analytics.engine.queries import Queries
from batpak_analytics.format.layout import ZERO_HASH

Question = dict[str, Any]
PARTS = ("entity", "scope", "kind", "category", "clock", "lane")


def questions_about(entries: Sequence[bp.IndexEntry], chance: random.Random, count: int) -> list[Question]:
    """Random questions that mostly have an answer in these events."""
    return [_question(chance.choice(entries), entries, chance) for _ in range(count)]


def _question(one: bp.IndexEntry, entries: Sequence[bp.IndexEntry], chance: random.Random) -> Question:
    ask = chance.choice(["query", "query", "query_after", "query_after", "stream", "latest", "walk", "get"])
    last = entries[-1].global_sequence
    limit = chance.choice([0, 1, 2, 5, 1000])
    if ask == "query":
        return {"ask": ask, **_region(one, chance)}
    if ask == "query_after":
        after = chance.choice([None, 0, last, last + 9, chance.randrange(last + 1)])
        return {"ask": ask, "limit": limit, **({} if after is None else {"after": after}), **_region(one, chance)}
    if ask == "stream":
        lane = chance.choice([{}, {"lane": one.position.lane}, {"lane": 77}])
        return {"ask": ask, "entity": chance.choice([one.entity, one.entity.partition(":")[0]]), **lane}
    if ask == "latest":
        return {"ask": ask, "entity": one.entity, "lane": chance.choice([one.position.lane, 77])}
    event_id = chance.choice([one.event_id, one.event_id, one.event_id, bytes(15) + b"\x07"]).hex()
    if ask == "get":
        return {"ask": ask, "id": event_id}
    return {"ask": ask, "id": event_id, **chance.choice([{}, {"limit": limit}])}


def _region(one: bp.IndexEntry, chance: random.Random) -> Question:
    """Parts that this event meets, or nearly does."""
    position, namespace = one.position, one.entity.partition(":")[0]
    low = max(position.clock - chance.randrange(4), 0)
    parts: Question = {
        "entity": chance.choice([one.entity, namespace, namespace[:-1], one.entity + ":"]),
        "scope": chance.choice([one.scope, one.scope[:-1]]),
        "kind": int(one.kind),
        "category": one.kind.category,
        "clock": [low, low + chance.randrange(6)],
        "lane": chance.choice([position.lane, position.lane, 5]),
    }
    chosen = {name: parts[name] for name in PARTS if chance.random() < 0.35}
    if "kind" in chosen:
        chosen.pop("category", None)
    return chosen


def region_of(question: Question) -> bp.Region:
    parts = {name: question[name] for name in PARTS if name in question}
    if "clock" in parts:
        parts["clock"] = tuple(parts["clock"])
    return bp.Region(**parts)


def ids_of(entries: Iterable[bp.IndexEntry]) -> list[str]:
    return [entry.event_id.hex() for entry in entries]


def ours(store: Queries, question: Question) -> Any:
    """The answer of a reader or a store."""
    match question["ask"]:
        case "query":
            return ids_of(store.query(region_of(question)))
        case "query_after":
            return ids_of(store.query_after(question.get("after"), question["limit"], region_of(question)))
        case "stream":
            return ids_of(store.stream(question["entity"], question.get("lane")))
        case "latest":
            found = store.latest(question["entity"], question["lane"])
            return found and found.event_id.hex()
        case "get":
            try:
                store.get_raw(question["id"])
            except bp.EventNotFoundError:
                return False
            return True
    walk = store.walk_ancestors(question["id"], question.get("limit"))
    return {"events": ids_of(walk.entries), "end": walk.end}


def by_list(entries: Sequence[bp.IndexEntry], question: Question) -> Any:
    """The answer that the rules give for these events, all that are visible, by global sequence."""
    entity, lane = question.get("entity"), question.get("lane")
    match question["ask"]:
        case "query":
            return ids_of(one for one in entries if in_region(one, question))
        case "query_after":
            after = question.get("after", -1)
            found = [one for one in entries if in_region(one, question) and one.global_sequence > after]
            return ids_of(found[: question["limit"]])
        case "stream" | "latest":
            found = [one for one in entries if one.entity == entity and lane in (None, one.position.lane)]
            stream = ids_of(sorted(found, key=_stream_key))
            return stream if question["ask"] == "stream" else (stream[-1] if stream else None)
        case "get":
            return question["id"] in ids_of(entries)
    return _walk(entries, question)


def in_region(one: bp.IndexEntry, question: Question) -> bool:
    entity, clock = question.get("entity"), question.get("clock")
    return (
        (entity is None or one.entity == entity or one.entity.startswith(entity + ":"))
        and question.get("scope") in (None, one.scope)
        and question.get("kind") in (None, one.kind)
        and question.get("category") in (None, one.kind.category)
        and (clock is None or clock[0] <= one.position.clock <= clock[1])
        and question.get("lane") in (None, one.position.lane)
    )


def _stream_key(one: bp.IndexEntry) -> tuple[int, int, bytes]:
    return one.position.wall_ms, one.position.clock, one.event_id


def _walk(entries: Sequence[bp.IndexEntry], question: Question) -> Any:
    limit = question.get("limit", len(entries) + 1)
    one = next((one for one in reversed(entries) if one.event_id.hex() == question["id"]), None)
    if one is None:
        return {"events": [], "end": "no-anchor"}
    found: list[bp.IndexEntry] = []
    while one is not None and len(found) < limit:
        found.append(one)
        one = next((other for other in reversed(entries) if is_parent(other, found[-1])), None)
    end = "limit"
    if one is None:
        end = "genesis" if found[-1].hash_chain.prev_hash == ZERO_HASH else "missing-parent"
    return {"events": ids_of(found), "end": end}


def is_parent(one: bp.IndexEntry, child: bp.IndexEntry) -> bool:
    return (
        one.entity == child.entity
        and one.position.lane == child.position.lane
        and one.position.clock == child.position.clock - 1
        and one.hash_chain.event_hash == child.hash_chain.prev_hash
        and one.global_sequence < child.global_sequence
    )
