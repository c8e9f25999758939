"""A process of its own that streams a store, so that its memory can be watched from outside.

It prints "ready" once everything is imported, waits for a line, streams, and prints rows and the peak of Arrow's pool.
"""

from __future__ import annotations

import json
import sys

import pyarrow as pa

import batpak_analytics as bp


def main() -> None:
    """Stream every batch of the store, holding one at a time."""
    scan_batpak = bp.scan_batpak  # names load on demand: this imports what a scan needs
    print("ready", flush=True)
    sys.stdin.readline()
    rows = 0
    for batch in scan_batpak(sys.argv[1]).to_batches():
        rows += batch.num_rows
    print(json.dumps({"rows": rows, "pool_bytes": pa.default_memory_pool().max_memory()}))


if __name__ == "__main__":
    main()
