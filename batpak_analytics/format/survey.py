"""Footer rows as a whole: what an open has to know of them all. The readable twin of ``kernels/survey.py``."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from batpak_analytics.format.frame import crc32
from batpak_analytics.format.layout import FRAME_HEADER_SIZE, KIND_BATCH_BEGIN, KIND_BATCH_COMMIT, U64_MAX

Rows = npt.NDArray[np.void]
_FAR = 1 << 62
_MIX = 0x9E3779B97F4A7C15  # odd, so that ids which were counted up get different numbers
MAX_ALIKE = 1024
"""Neighbouring ids of one time that are compared with each other."""


class Survey(NamedTuple):
    """What holds for a run of FOOTER_DTYPE rows.

    ``in_order``: each is as long as a frame header at least, near enough to have an end, and begins where the one
    before it ends or later. ``gaps``: the rows, from the second on, that do not begin where the one before ends.
    ``markers``: one has the kind of a batch marker. ``top_string``: the highest string index, -1 without rows.
    ``ids_differ``: all ids are proven to be different at little cost, being in the order of their first 48 bits (the
    time, in a UUIDv7) and different in the last 64 where those are equal in at most `MAX_ALIKE` neighbours.
    ``sequence_ascends``: no recorded sequence is below the one before. ``frame_bytes``: all lengths together.
    ``crc``: the CRC-32 of the rows' bytes.
    """

    in_order: bool
    gaps: npt.NDArray[np.int64]
    markers: bool
    top_string: int
    ids_differ: bool
    sequence_ascends: bool
    frame_bytes: int
    crc: int


class Matched(NamedTuple):
    """How many rows in turn matched, whether each records the very number it was given, and those numbers."""

    rows: int
    same: bool
    numbers: npt.NDArray[np.uint64]


def id_words(ids: Any) -> npt.NDArray[np.uint64]:
    """Little-endian 16-byte ids as (n, 2) words, the lower one first; no copy."""
    words: npt.NDArray[np.uint64] = ids.view(np.dtype((np.dtype("<u8"), (2,))))
    return words


def fold_ids(ids: Any) -> npt.NDArray[np.uint64]:
    """One number for each little-endian 16-byte id; different ids rarely share one."""
    words = id_words(ids)
    return words[:, 0] ^ (words[:, 1] * np.uint64(_MIX))


def fold_id(event_id: bytes) -> int:
    """The number that `fold_ids` gives to this id, of 16 big-endian bytes."""
    high, low = int.from_bytes(event_id[:8], "big"), int.from_bytes(event_id[8:], "big")
    return low ^ (high * _MIX & U64_MAX)


def ids_differ(words: npt.NDArray[np.uint64]) -> bool:
    """See `Survey`; ``words`` are those of `id_words`."""
    low, time = words[:, 0], words[:, 1] >> np.uint64(16)
    if (time[1:] < time[:-1]).any():
        return False
    starts = np.concatenate([[0], np.flatnonzero(time[1:] != time[:-1]) + 1, [len(time)]])
    if int(np.diff(starts).max()) > MAX_ALIKE:
        return False
    order = np.lexsort((low, time))
    alike = (time[order][1:] == time[order][:-1]) & (low[order][1:] == low[order][:-1])
    return not alike.any()


def survey_rows(entries: Rows, before: int = 0) -> Survey:
    """Look through all rows once; ``before`` is the CRC-32 of what stands before them."""
    if not len(entries):
        return Survey(True, np.empty(0, np.int64), False, -1, True, True, 0, before)
    offsets, lengths = entries["offset"].astype(np.uint64), entries["length"]
    ends = offsets + lengths
    in_order = not ((lengths < FRAME_HEADER_SIZE) | (offsets > _FAR)).any() and not (offsets[1:] < ends[:-1]).any()
    kinds, sequence = entries["kind"], entries["global_sequence"]
    return Survey(
        bool(in_order),
        np.flatnonzero(offsets[1:] != ends[:-1]) + 1,
        bool(((kinds == KIND_BATCH_BEGIN) | (kinds == KIND_BATCH_COMMIT)).any()),
        int(max(entries["entity_idx"].max(), entries["scope_idx"].max())),
        ids_differ(id_words(entries["event_id"])),
        bool((sequence[1:] >= sequence[:-1]).all()),
        int(lengths.sum(dtype=np.uint64)),
        crc32(np.ascontiguousarray(entries).view(np.uint8), before),
    )


def match_rows(entries: Rows, ids: Any, hashes: Any, numbers: Any) -> Matched:
    """Give the rows the ``numbers`` of an image, as long as row after row has the image's id and hash.

    ``ids`` are little-endian, as in the rows. The arrays may have any stride.
    """
    count = min(len(entries), len(ids), len(hashes), len(numbers))
    rows = entries[:count]
    agree = (id_words(rows["event_id"]) == id_words(ids[:count])).all(axis=1)
    words = np.dtype((np.dtype("<u8"), (4,)))
    agree &= (rows["event_hash"].view(words) == hashes[:count].view(words)).all(axis=1)
    matched = count if agree.all() else int(np.argmin(agree))
    taken = numbers[:matched].astype(np.uint64)
    return Matched(matched, bool((taken == rows["global_sequence"][:matched]).all()), taken)
