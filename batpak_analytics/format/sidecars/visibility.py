"""``visibility_ranges.fbv``: which global sequences are hidden (spec sidecars 8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from batpak_analytics.errors import FormatError
from batpak_analytics.format import codec, layout
from batpak_analytics.format.sidecars.envelope import body_cursor, close_envelope, open_envelope

Range = tuple[int, int]
Ranges = tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class HiddenRanges:
    """Half-open ranges of global sequence: sorted, disjoint and not adjacent.

    ``ranges`` hides from every view; ``lane_ranges`` hides from views of that lane only.
    """

    ranges: Ranges = ()
    lane_ranges: Mapping[int, Ranges] = field(default_factory=lambda: MappingProxyType({}))

    def __bool__(self) -> bool:
        return bool(self.ranges or self.lane_ranges)

    def hides(self, sequences: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """For each sequence, whether the global view hides it."""
        return _inside(self.ranges, sequences)

    def hides_in_lane(self, lane: int, sequences: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """For each sequence, whether a view of ``lane`` hides it."""
        return self.hides(sequences) | _inside(self.lane_ranges.get(lane, ()), sequences)


def _inside(ranges: Ranges, sequences: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    if not ranges:
        return np.zeros(len(sequences), np.bool_)
    starts = np.array([start for start, _ in ranges], np.uint64)
    ends = np.array([end for _, end in ranges], np.uint64)
    at = np.searchsorted(starts, sequences, side="right")
    # The range that starts last at or before a sequence is the only one that can hold it.
    inside: npt.NDArray[np.bool_] = (at > 0) & (sequences < ends[np.maximum(at, 1) - 1])
    return inside


def normalise(ranges: Iterable[Range]) -> Ranges:
    """Sorted, with overlapping and touching ranges merged; an empty or reversed range is an error."""
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if start >= end:
            raise FormatError("a hidden range is empty or reversed", expected="start < end", actual=(start, end))
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def below(hidden: HiddenRanges, end: int) -> HiddenRanges:
    """The ranges without the sequences from `end` on."""
    lanes = {lane: _below(ranges, end) for lane, ranges in hidden.lane_ranges.items()}
    return HiddenRanges(
        _below(hidden.ranges, end), MappingProxyType({lane: ranges for lane, ranges in lanes.items() if ranges})
    )


def _below(ranges: Ranges, end: int) -> Ranges:
    return tuple((start, min(stop, end)) for start, stop in ranges if start < end)


_read_ranges = codec.sequence(codec.Struct("a range", {"start": codec.read_u64, "end": codec.read_u64}))
_read_body = codec.Struct(
    "the hidden ranges",
    {
        "ranges": _read_ranges,
        "lane_ranges": codec.sequence(codec.Struct("a lane", {"lane": codec.read_u32, "ranges": _read_ranges})),
    },
    defaults={"lane_ranges": ()},
)


def _pairs(ranges: Iterable[Mapping[str, int]]) -> Ranges:
    return normalise((item["start"], item["end"]) for item in ranges)


def decode(buf: Any) -> HiddenRanges:
    """The ranges of a whole file, normalised. Of a lane listed twice the last entry counts."""
    data = codec.as_bytes(buf)
    open_envelope(data, layout.VISIBILITY_MAGIC, layout.VISIBILITY_VERSION)
    values = _read_body(body_cursor(data))
    lanes = {item["lane"]: _pairs(item["ranges"]) for item in values["lane_ranges"]}
    kept = {lane: ranges for lane, ranges in sorted(lanes.items()) if ranges}
    return HiddenRanges(_pairs(values["ranges"]), MappingProxyType(kept))


def encode(value: HiddenRanges) -> bytes:
    """The whole file, version 2. Where nothing is hidden batpak deletes the file instead."""
    lanes = [
        codec.pack_map([("lane", codec.pack_uint(lane)), ("ranges", _pack_ranges(ranges))])
        for lane, ranges in sorted(value.lane_ranges.items())
        if ranges
    ]
    body = codec.pack_map([("ranges", _pack_ranges(value.ranges)), ("lane_ranges", codec.pack_array(lanes))])
    return close_envelope(layout.VISIBILITY_MAGIC, layout.VISIBILITY_VERSION, body)


def _pack_ranges(ranges: Iterable[Range]) -> bytes:
    return codec.pack_array(
        [
            codec.pack_map([("start", codec.pack_uint(start)), ("end", codec.pack_uint(end))])
            for start, end in normalise(ranges)
        ]
    )
