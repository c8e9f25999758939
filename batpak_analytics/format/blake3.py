"""BLAKE3 of many short messages: what batpak calls `event_hash` is that of the stored payload bytes (segments spec 4).

The algorithm is the `blake3` package's; the kernel of the same name knows only messages of one chunk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from blake3 import blake3

from batpak_analytics.format.layout import HASH_SIZE

NO_PREFIX = -1


def hash_spans(buffer: Any, starts: Any, sizes: Any, prefix: int = NO_PREFIX) -> Any:
    """BLAKE3 of `buffer[start : start + size]` for each span, as an `(n, 32)` array of u8.

    With a `prefix` from 0 to 255 that byte stands before every message, as Merkle trees want it. A span that is not
    inside the buffer gives 32 zeros, which is the hash of nothing known.
    """
    view = memoryview(buffer).cast("B")
    out = np.zeros((len(starts), HASH_SIZE), np.uint8)
    lead = b"" if prefix == NO_PREFIX else bytes([prefix])
    for i, (start, size) in enumerate(zip(np.asarray(starts).tolist(), np.asarray(sizes).tolist(), strict=True)):
        if 0 <= start <= start + size <= len(view):
            hasher = blake3(lead)
            hasher.update(view[start : start + size])
            out[i] = np.frombuffer(hasher.digest(), np.uint8)
    return out
