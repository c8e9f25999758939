"""How a store is written: limits, durability and the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from batpak_analytics.payloads.registry import PayloadRegistry, Validation

MAX_APPEND_BYTES = 64 << 20
MAX_BATCH_BYTES = 16 << 20
MAX_BATCH_ITEMS = 4096


def system_clock_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """Options of `Store.open`; the defaults and ranges are those of batpak 0.9.0.

    ``sync`` says when single appends reach the disk: every so many events (1000), ``"always"`` (each one before its
    receipt is given), or ``"batch"`` (only with batches, `sync` and `close`). Batches and `close` always sync.
    ``segment_max_bytes`` is compared before a write, so a segment may exceed it by one event or one batch.
    ``clock`` gives microseconds since 1970.
    ``payloads`` are the payload types of typed appends, by default those of the process; opening checks them, and
    ``payload_validation`` says what a fault does: ``"fail"``, ``"warn"`` or ``"silent"``.
    ``allow_plaintext`` opens a store that seals its payloads; what is appended is readable beside them.
    Raises ValueError for a value out of range.
    """

    sync: int | Literal["always", "batch"] = 1000
    segment_max_bytes: int = 256 << 20
    append_max_bytes: int = 16 << 20
    batch_max_items: int = 256
    batch_max_bytes: int = 1 << 20
    clock: Callable[[], int] = system_clock_us
    payloads: PayloadRegistry | None = None
    payload_validation: Validation = "fail"
    allow_plaintext: bool = False

    def __post_init__(self) -> None:
        if self.sync not in ("always", "batch") and not (type(self.sync) is int and self.sync >= 1):
            raise ValueError(f"sync={self.sync!r} is no cadence. Pass a number of events, 'always' or 'batch'.")
        if self.payload_validation not in ("fail", "warn", "silent"):
            raise ValueError(f"payload_validation={self.payload_validation!r}. Pass 'fail', 'warn' or 'silent'.")
        limits = {
            "segment_max_bytes": (1 << 64) - 1,
            "append_max_bytes": MAX_APPEND_BYTES,
            "batch_max_items": MAX_BATCH_ITEMS,
            "batch_max_bytes": MAX_BATCH_BYTES,
        }
        for name, most in limits.items():
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise ValueError(f"{name}={value} is out of range. Pass a number from 1 to {most}.")

    @property
    def sync_every(self) -> int | None:
        """After how many single appends the file is synced; None for not on their account."""
        if self.sync == "always":
            return 1
        return None if self.sync == "batch" else int(self.sync)
