"""A state as a cache keeps it, with what it was made of, so that it is never taken for one of other events.

The reference trusts the watermark alone, and so gives states that miss events of other lanes, or has them applied in
another order than a replay would (trap T-6); numbers that a compaction moved mislead it too (T-1). Here the body tells
how many events were folded, and has a digest of their ids, kinds and sequences. A state is used while the first events
of the replay are still exactly those.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import Any

from batpak_analytics.errors import FormatError
from batpak_analytics.format.json_text import json_text
from batpak_analytics.format.sidecars.projection_cache import Trailer, decode, encode
from batpak_analytics.projection.declared import Declared

LEVELS = 64
"""Of containers inside each other in a state that is kept."""
_BOOT_NS, _STARTED_NS = time.time_ns(), time.monotonic_ns()


@dataclass(frozen=True, slots=True)
class Kept:
    """A state after the first `count` events of a replay, of which `skipped` had lost their key."""

    state: Any
    count: int
    skipped: int
    inputs: str
    trailer: Trailer


def read(declared: Declared, data: bytes) -> Kept | None:
    """What a cache held; None for bytes that are no state of this projection, however they came there."""
    try:
        body, trailer = decode(data)
        found = json.loads(body)
        if found["projection"] != declared.id:
            return None
        count, skipped, inputs, state = (found[name] for name in ("count", "skipped", "inputs", "state"))
    except (FormatError, ValueError, TypeError, LookupError, RecursionError):
        return None
    if type(count) is not int or type(skipped) is not int or type(inputs) is not str or not 0 <= skipped < count:
        return None
    if declared.load is not None:
        try:
            state = declared.load(state)
        except Exception:  # of another version of load(), say: the state is made anew
            return None
    return Kept(state, count, skipped, inputs, trailer)


def write(declared: Declared, kept: Kept) -> bytes:
    """The bytes of a state. Raises `ValueError` or `TypeError` for one that JSON would not give back as it is."""
    state = kept.state if declared.dump is None else declared.dump(kept.state)
    if not _is_plain(state, LEVELS):
        hint = "Return plain JSON from dump()." if declared.dump else "Give the projection dump() and load()."
        raise TypeError(
            f"The state holds what JSON does not give back as it was: it may be of None, bool, int, finite float, "
            f"str, list and dict with keys of text. {hint}"
        )
    body = {
        "projection": declared.id, "count": kept.count, "skipped": kept.skipped, "inputs": kept.inputs, "state": state,
    }  # fmt: skip
    return encode(json_text(body).encode(), kept.trailer)


def trailer_now(watermark: int) -> Trailer:
    """The trailer of a state that is made now."""
    return Trailer(watermark, time.time_ns() // 1000, time.monotonic_ns() - _STARTED_NS, _BOOT_NS)


def is_younger(trailer: Trailer, max_age_ms: int) -> bool:
    """Whether a state was made less than so many milliseconds ago.

    By the clock that only goes forward where this process made it, else by wall time. One from the future is not.
    """
    if trailer.mono_ns is not None and trailer.boot_ns == _BOOT_NS:
        age_us = (time.monotonic_ns() - _STARTED_NS - trailer.mono_ns) // 1000
    else:
        age_us = time.time_ns() // 1000 - trailer.cached_at_us
    return 0 <= age_us < max_age_ms * 1000


def _is_plain(value: Any, levels: int) -> bool:
    kind = type(value)
    if kind is dict:
        return levels > 0 and all(type(key) is str and _is_plain(item, levels - 1) for key, item in value.items())
    if kind is list:
        return levels > 0 and all(_is_plain(item, levels - 1) for item in value)
    return value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value))
