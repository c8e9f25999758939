"""Which frames of a scanned region are committed events, and which belong to a batch that never was.

A batch is a BEGIN frame, its items and a COMMIT frame (segments spec 2.10). The reference stages frames after a BEGIN
and, when the COMMIT never comes, throws away whatever it staged, later events included (segments spec 6.4, trap 2).
Here an unfinished batch takes only the frames that can be its items: every item carries the one clock reading of its
batch, and BEGIN is stamped after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from batpak_analytics.format.layout import (
    KIND_BATCH_BEGIN,
    KIND_BATCH_COMMIT,
    MAX_BATCH_RECOVERY_ITEMS,
)


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch whose COMMIT is not in its segment: the rows that wait and what would complete them."""

    batch_id: bytes
    rows: tuple[int, ...]
    remaining: int
    begin_row: int


@dataclass(frozen=True, slots=True, eq=False)
class BatchVerdict:
    """`keep[i]`: frame i is a committed event. `dropped`: (first row, count, why) of what was left out."""

    keep: Any
    dropped: tuple[tuple[int, int, str], ...]
    open_batch: OpenBatch | None


def resolve_batches(frames: Any, lost_before: Any) -> BatchVerdict:
    """Judge parsed frames (`FRAME_DTYPE`, in file order).

    `lost_before[i]` is True where bytes between frame i-1 and frame i were damaged; it has one entry more than there
    are frames. A COMMIT with the id of the BEGIN proves the batch was committed even when items between were lost.
    """
    kinds = frames["kind"]
    marker = (kinds == KIND_BATCH_BEGIN) | (kinds == KIND_BATCH_COMMIT)
    keep = ~marker
    at = np.flatnonzero(marker)
    dropped: list[tuple[int, int, str]] = []
    open_batch: OpenBatch | None = None
    for index, begin in enumerate(at):
        if kinds[begin] != KIND_BATCH_BEGIN:
            continue  # COMMIT: judged with its BEGIN; alone it proves nothing and hides nothing
        wanted = int(frames["payload_size"][begin])
        last = index + 1 == len(at)
        end = len(frames) if last else int(at[index + 1])
        if not 1 <= wanted <= MAX_BATCH_RECOVERY_ITEMS:
            dropped.append((int(begin), 0, f"a batch begins with an impossible count of {wanted}"))
            continue
        if not last and kinds[end] == KIND_BATCH_COMMIT and _committed(frames, int(begin), end, wanted, lost_before):
            continue
        items = _possible_items(frames, int(begin), end, wanted)
        keep[items] = False
        if last and int(begin) + 1 + len(items) == end:
            remaining = wanted - len(items)
            batch_id = frames["event_id"][begin].tobytes()
            open_batch = OpenBatch(batch_id, tuple(int(row) for row in items), remaining, int(begin))
        dropped.append((int(begin), len(items), f"a batch of {wanted} was begun and never committed"))
    return BatchVerdict(keep, tuple(dropped), open_batch)


def _committed(frames: Any, begin: int, commit: int, wanted: int, lost_before: Any) -> bool:
    count = commit - begin - 1
    if count == wanted:
        return True
    lost = bool(np.any(lost_before[begin + 1 : commit + 1]))
    return lost and count < wanted and bool(frames["event_id"][commit] == frames["event_id"][begin])


def _possible_items(frames: Any, begin: int, end: int, wanted: int) -> Any:
    """The rows after `begin` that can be items of its unfinished batch: one shared clock reading, not after BEGIN's."""
    stamps = frames["timestamp_us"][begin + 1 : min(end, begin + 1 + wanted)]
    if len(stamps) == 0 or stamps[0] > frames["timestamp_us"][begin]:
        return np.empty(0, np.int64)
    other = np.flatnonzero(stamps != stamps[0])
    count = int(other[0]) if len(other) else len(stamps)
    return np.arange(begin + 1, begin + 1 + count)
