"""Which frames of a scanned region are committed events, and which belong to a batch that never was.

A batch is a BEGIN frame, its items and a COMMIT frame (segments spec 2.10). The reference stages frames after a BEGIN
and, when the COMMIT never comes, throws away whatever it staged, later events included (segments spec 6.4, trap 2).
Here an unfinished batch takes only the frames that can be its items: every item carries the one clock reading of its
batch, and BEGIN is stamped after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
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


@dataclass(frozen=True, slots=True)
class LeftOut:
    """`count` items of a batch, left out; `row` is its BEGIN, or its first item where the BEGIN is damaged.

    `by_damage` is True where the batch may have been committed, or where that it was not is told by damaged bytes.
    """

    row: int
    count: int
    why: str
    by_damage: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class BatchVerdict:
    """`keep[i]`: frame i is a committed event."""

    keep: Any
    dropped: tuple[LeftOut, ...]
    open_batch: OpenBatch | None

    @property
    def goes_on(self) -> bool:
        """Whether a batch was left out with other frames behind it."""
        return len(self.dropped) > (self.open_batch is not None)


NO_MARKERS: Mapping[int, int] = MappingProxyType({})


def resolve_batches(frames: Any, lost_before: Any, lost_markers: Mapping[int, int] = NO_MARKERS) -> BatchVerdict:
    """Judge parsed frames (`FRAME_DTYPE`, in file order).

    `lost_before[i]` is True where bytes between frame i-1 and frame i were damaged; it has one entry more than there
    are frames. `lost_markers` are the damaged markers that are still known as such, by the row behind them. A COMMIT
    with the id of the BEGIN proves the batch was committed even when items between were lost.
    """
    kinds = frames["kind"]
    marker = (kinds == KIND_BATCH_BEGIN) | (kinds == KIND_BATCH_COMMIT)
    keep = ~marker
    at = np.flatnonzero(marker)
    dropped: list[LeftOut] = []
    open_batch: OpenBatch | None = None
    closed: set[int] = set()  # rows before which the damaged COMMIT of a whole batch stands
    for index, begin in enumerate(at.tolist()):
        if kinds[begin] != KIND_BATCH_BEGIN:
            continue  # COMMIT: judged with its BEGIN; alone it proves nothing and hides nothing
        wanted = int(frames["payload_size"][begin])
        last = index + 1 == len(at)
        end = len(frames) if last else int(at[index + 1])
        if not 1 <= wanted <= MAX_BATCH_RECOVERY_ITEMS:
            dropped.append(LeftOut(begin, 0, f"a batch begins with an impossible count of {wanted}", True))
            continue
        if not last and kinds[end] == KIND_BATCH_COMMIT and _committed(frames, begin, end, wanted, lost_before):
            continue
        behind = begin + 1 + wanted
        if behind in lost_markers and not lost_before[begin + 1 : behind].any():
            closed.add(behind)
            continue
        items = _possible_items(frames, begin, end, wanted)
        keep[items] = False
        if last and begin + 1 + len(items) == end:
            batch_id = frames["event_id"][begin].tobytes()
            open_batch = OpenBatch(batch_id, tuple(int(row) for row in items), wanted - len(items), begin)
        dropped.append(_left_out(begin, len(items), wanted, lost_before))
    _drop_behind_lost_begins(frames, at, lost_markers.keys() - closed, lost_markers, keep, dropped)
    return BatchVerdict(keep, tuple(dropped), open_batch)


def _left_out(begin: int, count: int, wanted: int, lost_before: Any) -> LeftOut:
    if lost_before[begin + 1 : begin + 2 + count].any():
        return LeftOut(begin, count, f"the COMMIT of a batch of {wanted} may be among the damaged bytes", True)
    return LeftOut(begin, count, f"a batch of {wanted} was begun and never committed")


def _drop_behind_lost_begins(
    frames: Any, markers: Any, rows: set[int], kinds: Mapping[int, int], keep: Any, dropped: list[LeftOut]
) -> None:
    """Leave out the items behind a damaged BEGIN where no COMMIT follows.

    A damaged marker of unknown kind behind an open batch is rather that batch's COMMIT.
    """
    for row in sorted(rows):
        before = markers[: np.searchsorted(markers, row)]
        in_batch = len(before) > 0 and frames["kind"][before[-1]] == KIND_BATCH_BEGIN
        if row >= len(frames) or kinds[row] == KIND_BATCH_COMMIT or (kinds[row] == 0 and in_batch):
            continue
        later = markers[np.searchsorted(markers, row) :]
        if len(later) and frames["kind"][later[0]] == KIND_BATCH_COMMIT:
            continue
        items = _run_of_items(frames, row, int(later[0]) if len(later) else len(frames))
        keep[items] = False
        dropped.append(LeftOut(row, len(items), "a batch whose BEGIN is damaged has no COMMIT", True))


def _committed(frames: Any, begin: int, commit: int, wanted: int, lost_before: Any) -> bool:
    own = bool(frames["event_id"][commit] == frames["event_id"][begin])
    damaged = bool(lost_before[begin + 1 : commit + 1].any())
    if commit - begin - 1 == wanted:
        # With bytes lost between them, the COMMIT of another batch may stand behind as many frames by chance.
        return own or not damaged
    if not own:
        return False
    if damaged:
        return True
    return len({name.tobytes() for name in frames["event_id"][begin + 1 : commit]}) == wanted


def _possible_items(frames: Any, begin: int, end: int, wanted: int) -> Any:
    """The rows after `begin` that can be items of its unfinished batch: one shared clock reading, not after BEGIN's."""
    if end == begin + 1 or frames["timestamp_us"][begin + 1] > frames["timestamp_us"][begin]:
        return np.empty(0, np.int64)
    return _run_of_items(frames, begin + 1, min(end, begin + 1 + wanted))


def _run_of_items(frames: Any, first: int, end: int) -> Any:
    """The rows from `first` on that share one clock reading."""
    stamps = frames["timestamp_us"][first:end]
    other = np.flatnonzero(stamps != stamps[0])
    return np.arange(first, first + (int(other[0]) if len(other) else len(stamps)))
