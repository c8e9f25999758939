"""A store to be killed: one thread appends, another compacts, and lines say what is sure before they go on.

``appended ID...`` events that were acknowledged and are on disk; ``dropping ID...`` what a compaction that begins now
is to drop; ``dropped`` that it did.
"""

from __future__ import annotations

import random
import sys
import threading
from typing import Any

import batpak_analytics as bp

LOCK = threading.Lock()


def say(word: str, ids: list[str]) -> None:
    """One whole line, for whoever reads them after the end."""
    with LOCK:
        sys.stdout.write(" ".join([word, *ids]) + "\n")
        sys.stdout.flush()


def append(store: bp.Store, seed: int) -> None:
    """Until the process ends."""
    chance, number = random.Random(seed), 0
    while True:
        items = [bp.BatchItem(f"order:{n % 5}", "shop", 0x1001, {"n": number}) for n in range(chance.randrange(1, 9))]
        say("appended", [one.event_id.hex() for one in store.append_batch(items)])
        number += 1


def main() -> None:
    """Compact until the process ends."""
    path, seed = sys.argv[1], int(sys.argv[2])
    chance = random.Random(seed)
    store = bp.Store.open(path, config=bp.StoreConfig(segment_max_bytes=chance.choice([2_000, 20_000])))
    threading.Thread(target=append, args=(store, seed), daemon=True).start()
    while True:
        strategy: Any = chance.choice(["merge", "retention", "retention"])
        rule = bp.keep.not_(bp.keep.entities(f"order:{chance.randrange(5)}"))
        plan = store.plan_compaction(strategy, *([] if strategy == "merge" else [rule]))
        if plan.outcome != "ready":
            continue
        say("dropping", [] if strategy == "merge" else [str(one) for one in plan.events()["event_id"]])
        report = store.compact(plan)
        assert report.outcome == "performed", report
        say("dropped", [])


if __name__ == "__main__":
    main()
