"""A process of its own that scans a store with ``BATPAK_KERNELS=off`` and prints rows and seconds."""

from __future__ import annotations

import json
import sys
import time
import warnings

from batpak_analytics.errors import PerformanceWarning


def main() -> None:
    """Scan the store once; importing is not part of the time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PerformanceWarning)
        from batpak_analytics import kernels, scan_batpak
    if kernels.COMPILED:
        sys.exit("the kernels are compiled: set BATPAK_KERNELS=off")
    start = time.perf_counter()
    rows = scan_batpak(sys.argv[1]).to_arrow().num_rows
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
