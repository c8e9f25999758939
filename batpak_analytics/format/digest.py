"""BLAKE3 of stored payload bytes, which is an event's hash (spec segments 4)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from blake3 import blake3

from batpak_analytics.format.layout import HASH_SIZE

Offsets = np.ndarray[tuple[int], np.dtype[np.int64]]
Hashes = np.ndarray[tuple[int, int], np.dtype[np.uint8]]


def content_hash(payload: bytes) -> bytes:
    """The 32 bytes that stand in a frame as ``content_hash`` and ``event_hash``."""
    return blake3(payload).digest()


def hash_rows(data: Any, offsets: Any) -> Hashes:
    """The hash of each of the payloads ``data[offsets[i]:offsets[i + 1]]``: (n, 32) bytes.

    Raises ValueError where the offsets do not ascend inside the data.
    """
    view, bounds = memoryview(data).cast("B"), checked_offsets(offsets, memoryview(data).nbytes).tolist()
    digests = [blake3(view[start:end]).digest() for start, end in pairwise(bounds)]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, HASH_SIZE)


def checked_offsets(offsets: Any, size: int) -> Offsets:
    """The n + 1 bounds of n rows that lie in ``size`` bytes; ValueError for what is none."""
    places: Offsets = np.ascontiguousarray(offsets, np.int64)
    if not len(places) or places[0] < 0 or places[-1] > size or (places[1:] < places[:-1]).any():
        raise ValueError("offsets must ascend inside data. Pass n + 1 of them for n rows.")
    return places
