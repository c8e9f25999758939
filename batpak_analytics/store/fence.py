"""A visibility fence: events that are taken back together, or stay together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

from batpak_analytics.errors import StoreClosedError
from batpak_analytics.format.sidecars.visibility import HiddenRanges, Range, normalise
from batpak_analytics.model import Receipt

if TYPE_CHECKING:
    from batpak_analytics.store.appending import Appending
    from batpak_analytics.store.items import BatchItem


class Fence:
    """What is submitted here is kept by `commit` and taken back by `cancel`; while it is open, the store takes no other
    append. As a context manager it commits, and after an exception in the block it cancels.

    Made by `Store.begin_fence`. Nothing on disk marks its events while it is open: readers in other processes see
    them, and a process that dies leaves them in the store, as batpak does.
    """

    def __init__(self, store: Appending) -> None:
        self._store = store
        self.written: list[Range] = []
        """(sequence, lane) of each event."""
        self._ended = False

    def submit(self, entity: str, scope: str, kind: int | None, payload: Any = None, **options: Any) -> Receipt:
        """As `Store.append`, behind this fence. Raises `FenceEndedError` after its end."""
        return self._store.append(entity, scope, kind, payload, fence=self, **options)

    def submit_typed(self, entity: str, scope: str, payload: Any, **options: Any) -> Receipt:
        """As `Store.append_typed`, behind this fence."""
        return self._store.append_typed(entity, scope, payload, fence=self, **options)

    def submit_batch(self, items: Iterable[BatchItem]) -> list[Receipt]:
        """As `Store.append_batch`, behind this fence."""
        return self._store.append_batch(items, fence=self)

    def commit(self) -> None:
        """Keep the events; they are on disk on return. Raises `FenceEndedError`, `WriteFailedError`."""
        self._end(keep=True)

    def cancel(self) -> None:
        """Take the events back: they stay in the files and in the chains, and no reader shows them again.

        Raises `FenceEndedError`, and `WriteFailedError` where that could not be written; then they may be shown.
        """
        self._end(keep=False)

    def _end(self, *, keep: bool) -> None:
        self._store.end_fence(self, keep=keep)
        self._ended = True

    def __enter__(self) -> Fence:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended:
            return
        try:
            self._end(keep=kind is None)
        except StoreClosedError:
            if kind is None:
                raise
            # The store stopped in the block, and the exception of the block says why.


def hidden_with(hidden: HiddenRanges, written: Sequence[Range]) -> HiddenRanges:
    """The ranges that hide these (sequence, lane) too, as batpak splits them: one for all, and those of each lane."""
    first, last = written[0][0], written[-1][0]
    lanes = {lane: list(ranges) for lane, ranges in hidden.lane_ranges.items()}
    for sequence, lane in written:
        lanes.setdefault(lane, []).append((sequence, sequence + 1))
    return HiddenRanges(
        normalise([*hidden.ranges, (first, last + 1)]),
        MappingProxyType({lane: normalise(ranges) for lane, ranges in sorted(lanes.items())}),
    )
