"""A writer to be killed: it appends to the store at the first argument, and prints receipts before it goes on."""

from __future__ import annotations

import random
import sys

import pyarrow as pa

import batpak_analytics as bp


def main() -> None:
    """Write until the process ends."""
    path, seed = sys.argv[1], int(sys.argv[2])
    chance = random.Random(seed)
    config = bp.StoreConfig(segment_max_bytes=chance.choice([2_000, 30_000]), sync=chance.choice(["always", 3]))
    store = bp.Store.open(path, config=config)
    number = 0
    while True:
        if chance.random() < 0.2:
            count = chance.randrange(1, 12)
            table = pa.table(
                {"e": [f"order:{n % 3}" for n in range(count)], "run": [seed] * count, "number": [number] * count,
                 "of": [count] * count}
            )  # fmt: skip
            done = store.append_frame(table, entity="e", scope="shop", kind=0x1001)
            events = done.event_ids.to_pylist()
        elif chance.random() < 0.4:
            count = chance.randrange(1, 6)
            payload = {"run": seed, "number": number, "of": count}
            items = [bp.BatchItem(f"order:{n % 3}", "shop", 0x1001, payload) for n in range(count)]
            events = [one.event_id for one in store.append_batch(items)]
        else:
            payload = {"run": seed, "number": number, "of": 1}
            events = [store.append(f"order:{number % 3}", "shop", 0x1001, payload).event_id]
        for event in events:
            print(event.hex())
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    main()
