"""Does a frame say what its index row says? Where an intact frame differs, it wins: its CRC covers what it
says.

Footers are authenticated by a CRC of their own, so a difference means that one of two sound parts is wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from batpak_analytics import kernels
from batpak_analytics.arrow.columns import big_endian_ids, fields_of, take, words
from batpak_analytics.format.layout import FRAME_DTYPE, FRAME_OK

Array = npt.NDArray[Any]

_NUMBERS = {"kind": "kind", "wall_time": "wall_ms", "lane": "lane", "depth": "depth", "clock": "clock"}
_IDS = ("event_id", "correlation_id", "causation_id")
_HASHES = ("prev_hash", "event_hash")


def _words_of(name: str, kind: Any) -> tuple[Any, ...]:
    return (">u8", (2,)) if name in _IDS else ("<u8", (4,)) if name in _HASHES else (kind,)


_FRAME_WORDS = np.dtype([(name, *_words_of(name, dtype)) for name, dtype in fields_of(FRAME_DTYPE)])
"""FRAME_DTYPE with ids and hashes as 64-bit words."""


def contradictions(segment: Any, rows: Any, frames: Array, buffer: Any) -> dict[int, dict[str, Any]]:
    """For each frame (by position) that differs from its row: the columns that differ, with the frame's
    values.
    """
    index = take(words(segment.rows), rows)
    different = _different(segment, index, frames, buffer)
    different &= frames["status"] == FRAME_OK
    return {at: _differences(segment, index[at], frames[at], buffer) for at in np.flatnonzero(different).tolist()}


def _different(segment: Any, index: Array, frames: Array, buffer: Any) -> npt.NDArray[np.bool_]:
    seen = frames.view(_FRAME_WORDS)
    found = np.zeros(len(frames), bool)
    for field in _NUMBERS.values():
        found |= index[field] != frames[field]
    for name in _IDS:
        found |= index[name][:, 0] != seen[name][:, 1]
        found |= index[name][:, 1] != seen[name][:, 0]
    chained = frames["has_chain"] != 0
    for name in _HASHES:
        found |= (index[name] != seen[name]).any(axis=1) & chained
    for name in ("entity", "scope"):
        found |= _strings_differ(segment.strings, index[f"{name}_idx"], name, frames, buffer)
    return found


def _strings_differ(
    strings: tuple[str, ...], indexes: Array, name: str, frames: Array, buffer: Any
) -> npt.NDArray[np.bool_]:
    """Compare each string of the frames with one index that stands beside it, and the other indexes with that one.

    A string table may hold a string twice, so another index need not mean another string.
    """
    codes, texts = kernels.intern_strings(buffer, frames[f"{name}_start"], frames[f"{name}_size"])
    beside = np.zeros(len(texts), indexes.dtype)
    beside[codes] = indexes
    unequal = np.fromiter(
        (text != strings[index].encode() for text, index in zip(texts, beside.tolist(), strict=True)),
        bool,
        len(texts),
    )
    found: npt.NDArray[np.bool_] = unequal[codes]
    for at in np.flatnonzero(indexes != beside[codes]).tolist():
        found[at] = texts[codes[at]] != strings[indexes[at]].encode()
    return found


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
