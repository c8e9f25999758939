"""Does a frame say what its index row says? Where an intact frame differs, it wins: its CRC covers what it
says.

Footers are authenticated by a CRC of their own, so a difference means that one of two sound parts is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from batpak_analytics import kernels
from batpak_analytics.arrow.columns import big_endian_ids, words
from batpak_analytics.arrow.windows import Window

Array = npt.NDArray[Any]

_NUMBERS = {"kind": "kind", "wall_time": "wall_ms", "lane": "lane", "depth": "depth", "clock": "clock"}
_IDS = ("event_id", "correlation_id", "causation_id")
_HASHES = ("prev_hash", "event_hash")


@dataclass(frozen=True, slots=True, eq=False)
class StringTable:
    """The strings of a segment as the kernels want them: string `i` is `text[bounds[i]:bounds[i + 1]]`."""

    text: bytes
    bounds: Array

    @classmethod
    def of(cls, strings: tuple[str, ...]) -> StringTable:
        """Pack the strings of one segment."""
        text = "".join(strings)
        sizes = map(len, strings) if text.isascii() else (len(one.encode()) for one in strings)
        return cls(text.encode(), np.fromiter(accumulate(sizes, initial=0), np.int64, len(strings) + 1))


def contradictions(segment: Any, window: Window, differing: Array) -> dict[int, dict[str, Any]]:
    """For each of the `differing` frames (by place in `window`): the columns that differ, with the frame's values."""
    offsets, lengths = window.places(segment)
    frames = kernels.parse_frames(window.buffer, offsets[differing], lengths[differing])
    index = words(segment.rows)
    return {
        at: _differences(segment, index[window.row(at)], frame, window.buffer)
        for at, frame in zip(differing.tolist(), frames, strict=True)
    }


def _differences(segment: Any, index: Any, frame: Any, buffer: Any) -> dict[str, Any]:
    said: dict[str, Any] = {}
    held: dict[str, Any] = {}
    for column, field in _NUMBERS.items():
        said[column], held[column] = int(frame[field]), int(index[field])
    for name in _IDS:
        said[name] = frame[name].tobytes()
        held[name] = big_endian_ids(index[name].reshape(1, 2)).tobytes()
    if frame["has_chain"]:
        for name in _HASHES:
            said[name], held[name] = frame[name].tobytes(), index[name].tobytes()
    for name in ("entity", "scope"):
        start, size = int(frame[f"{name}_start"]), int(frame[f"{name}_size"])
        said[name] = bytes(memoryview(buffer)[start : start + size]).decode("utf-8", "replace")
        held[name] = segment.strings[int(index[f"{name}_idx"])]
    return {name: value for name, value in said.items() if value != held[name]}
