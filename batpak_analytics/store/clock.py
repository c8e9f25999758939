"""Time that does not go back, and the ids made from it."""

from __future__ import annotations

import os
from collections.abc import Callable

from batpak_analytics.errors import AppendRefusedError

_MS_BITS = 48


class MonotoneClock:
    """A wall clock in microseconds; a reading behind the one before gives that one again."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._last: int | None = None

    def __call__(self) -> int:
        """Microseconds since 1970."""
        now = self._now_us()
        self._last = now if self._last is None else max(now, self._last)
        if self._last < 0:
            raise AppendRefusedError(f"The clock says {now} us, before 1970. Set the host's clock.", actual=now)
        return self._last


def new_id(now_us: int) -> bytes:
    """A UUIDv7: 48 bits of milliseconds, the rest random. Two of one millisecond have no order."""
    random = bytearray(os.urandom(10))
    random[0] = 0x70 | random[0] & 0x0F
    random[2] = 0x80 | random[2] & 0x3F
    return (now_us // 1000 & (1 << _MS_BITS) - 1).to_bytes(6, "big") + bytes(random)
