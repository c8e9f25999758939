"""The views of the chains in a few lines of plain Python over plain dicts: what the fast ones must equal."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import blake3

import batpak_analytics as bp

ZERO = bytes(32).hex()
Row = dict[str, Any]


def every_row(store: Path) -> list[Row]:
    """All rows, hidden ones too, from the frames one by one; `shown` tells which are not."""
    found: list[Row] = []
    with bp.open_reader(store) as reader:
        for segment in reader.view.segments:
            for at, entry in enumerate(segment.rows):
                low, high = int(entry["offset"]), int(entry["offset"]) + int(entry["length"])
                event = bp_event(bytes(segment.window(low + 8, high)))
                assert event.hash_chain is not None
                found.append(
                    {
                        "entity": event.entity,
                        "lane": event.position.lane,
                        "clock": event.position.clock,
                        "global_sequence": int(segment.sequence[at]),
                        "event_id": event.event_id.hex(),
                        "event_hash": event.hash_chain.event_hash.hex(),
                        "prev_hash": event.hash_chain.prev_hash.hex(),
                        "payload_ok": blake3.blake3(event.payload).digest() == event.hash_chain.event_hash,
                        "shown": not segment.excluded[at],
                    }
                )
    return found


def bp_event(body: bytes) -> bp.Event:
    from batpak_analytics.format.event import decode_event

    return decode_event(body)


def brute_links(rows: list[Row]) -> list[Row]:
    """The rows that are shown, in commit order, each with `link` and `parent_id`."""
    at = defaultdict(list)
    holders = defaultdict(list)
    for row in rows:
        at[row["entity"], row["lane"], row["clock"]].append(row)
        holders[row["entity"], row["event_hash"]].append(row)
    out = []
    for row in rows:
        if row["shown"]:
            link, parent = _link(row, at, holders)
            out.append(row | {"link": link, "parent_id": parent})
    return sorted(out, key=lambda row: row["global_sequence"])


def _link(row: Row, at: Any, holders: Any) -> tuple[str, str | None]:
    entity, lane, clock, named = row["entity"], row["lane"], row["clock"], row["prev_hash"]
    siblings = {one["event_id"] for one in at[entity, lane, clock] if one["prev_hash"] == named}
    if named == ZERO:
        if clock:
            return "mismatch", None
        return ("forked" if len(siblings) > 1 else "root"), None
    if clock == 0:
        return "mismatch", None
    before = at[entity, lane, clock - 1]
    if not before:
        others = [one for one in holders[entity, named] if one is not row]
        return ("ambiguous" if others else "parent_missing"), None
    parents = [one for one in before if one["event_hash"] == named]
    if not parents:
        return "mismatch", None
    shown = [one for one in parents if one["shown"]]
    link = "forked" if len(siblings) > 1 else "linked" if shown else "parent_hidden"
    return link, shown[0]["event_id"] if shown else None
