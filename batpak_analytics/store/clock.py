"""Time that does not go back, and the ids made from it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from batpak_analytics.errors import AppendRefusedError
from batpak_analytics.format.layout import I64_MAX, ID_SIZE

_MS_MASK = (1 << 48) - 1
_RANDOM_BYTES = 10
_IDS_AT_ONCE = 256
_RANDOM_BITS = 8 * _RANDOM_BYTES
_VERSION = 7 << 76 | 2 << 62
_RANDOM_MASK = ~(0xF << 76 | 3 << 62)


class MonotoneClock:
    """A wall clock in microseconds; a reading behind the one before gives that one again."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._last: int | None = None

    def __call__(self) -> int:
        """Microseconds since 1970."""
        now = self._now_us()
        self._last = now if self._last is None else max(now, self._last)
        if not 0 <= self._last <= I64_MAX:
            when = "before 1970" if self._last < 0 else "after the last moment of the format"
            raise AppendRefusedError(f"The clock says {now} us, {when}. Set the host's clock.", actual=now)
        return self._last


class IdSource:
    """UUIDv7s: 48 bits of milliseconds, the rest random. Two of one millisecond have no order.

    Random bytes are taken from the system many at a time; so a source is not for a child that was forked.
    """

    def __init__(self) -> None:
        self._random = b""
        self._at = 0

    def __call__(self, now_us: int) -> bytes:
        """One id."""
        at = self._at
        random = self._random[at : at + _RANDOM_BYTES]
        if not random:
            at, self._random = 0, os.urandom(_RANDOM_BYTES * _IDS_AT_ONCE)
            random = self._random[:_RANDOM_BYTES]
        self._at = at + _RANDOM_BYTES
        milliseconds = (now_us // 1000 & _MS_MASK) << _RANDOM_BITS
        return (milliseconds | _VERSION | int.from_bytes(random) & _RANDOM_MASK).to_bytes(ID_SIZE)

    def many(self, now_us: int, count: int) -> Any:
        """(count, 16) bytes."""
        ids = np.empty((count, ID_SIZE), np.uint8)
        ids[:, : ID_SIZE - _RANDOM_BYTES] = np.frombuffer((now_us // 1000 & _MS_MASK).to_bytes(6), np.uint8)
        ids[:, ID_SIZE - _RANDOM_BYTES :] = np.frombuffer(os.urandom(_RANDOM_BYTES * count), np.uint8).reshape(
            count, -1
        )
        ids[:, 6] = 0x70 | ids[:, 6] & 0x0F
        ids[:, 8] = 0x80 | ids[:, 8] & 0x3F
        return ids
