"""Footer rows as a whole: twin of ``survey_rows`` and ``match_rows`` in ``format/survey.py``.

A row is 162 packed bytes, so its fields are read by the places that FOOTER_DTYPE gives them (spec segments 5.2).
"""

from __future__ import annotations

from typing import Any

import cython
import numpy as np
from cython.cimports.batpak_analytics.kernels.walk import crc32_of
from cython.cimports.batpak_analytics.kernels.words import u32_at, u64_at
from cython.cimports.libc.string import memcmp, memcpy, memset

from batpak_analytics.format.layout import FOOTER_DTYPE, FRAME_HEADER_SIZE, KIND_BATCH_BEGIN, KIND_BATCH_COMMIT
from batpak_analytics.format.survey import MAX_ALIKE, Matched, Survey

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
index = cython.typedef(cython.Py_ssize_t)
u64 = cython.typedef(cython.ulonglong)
i64 = cython.typedef(cython.longlong)
u32 = cython.typedef(cython.uint)
u16 = cython.typedef(cython.ushort)

_PLACES = {name: int(place[1]) for name, place in (FOOTER_DTYPE.fields or {}).items()}
SIZE = cython.declare(index, FOOTER_DTYPE.itemsize)
EVENT_ID = cython.declare(index, _PLACES["event_id"])
ENTITY = cython.declare(index, _PLACES["entity_idx"])
SCOPE = cython.declare(index, _PLACES["scope_idx"])
KIND = cython.declare(index, _PLACES["kind"])
EVENT_HASH = cython.declare(index, _PLACES["event_hash"])
OFFSET = cython.declare(index, _PLACES["offset"])
LENGTH = cython.declare(index, _PLACES["length"])
SEQUENCE = cython.declare(index, _PLACES["global_sequence"])
BEGIN = cython.declare(u16, KIND_BATCH_BEGIN)
COMMIT = cython.declare(u16, KIND_BATCH_COMMIT)
SMALLEST = cython.declare(u32, FRAME_HEADER_SIZE)
FAR = cython.declare(u64, 1 << 62)
PRIME = cython.declare(u64, 0x9E3779B97F4A7C15)
BLOCK_ROWS = cython.declare(index, 160)  # 26 kB: what the checksum has read is still in the first cache
ALIKE = cython.declare(index, 1024)
if MAX_ALIKE != 1024:
    raise ImportError("MAX_ALIKE has changed. Change the kernel too.")

Found = cython.struct(
    in_order=cython.bint,
    markers=cython.bint,
    ids_differ=cython.bint,
    sequence_ascends=cython.bint,
    top_string=cython.uint,
    gaps=cython.longlong,
    rows=cython.longlong,  # how many were looked at
    end=cython.ulonglong,  # of the last frame
    frame_bytes=cython.ulonglong,
    sequence=cython.ulonglong,  # of the last row, as the time
    time=cython.ulonglong,
    alike=cython.longlong,  # ids of that time, and a table of their last 64 bits: full where stamped with its number
    moment=cython.uint,
    words=cython.ulonglong[2048],
    stamps=cython.uint[2048],
)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_new(word: u64, found: cython.pointer[Found]) -> cython.bint:
    """Enter ``word`` into the table of its moment, which is half full at most; False where it is there already."""
    slot: index = cython.cast(index, (word * PRIME) >> 53)
    while found.stamps[slot] == found.moment:
        if found.words[slot] == word:
            return False
        slot = (slot + 1) & 2047
    found.words[slot] = word
    found.stamps[slot] = found.moment
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _survey(row: p_bytes, count: index, found: cython.pointer[Found], gaps: i64[::1]) -> cython.void:
    """Go on with ``count`` rows. ``gaps`` takes as many as it has room for; ``found.gaps`` counts them all."""
    i: index
    kind: u16
    offset: u64
    length: u32
    time: u64
    sequence: u64
    for i in range(count):
        memcpy(cython.address(kind), row + KIND, 2)
        found.markers |= kind == BEGIN or kind == COMMIT
        found.top_string = max(found.top_string, max(u32_at(row + ENTITY), u32_at(row + SCOPE)))
        offset = u64_at(row + OFFSET)
        length = u32_at(row + LENGTH)
        time = u64_at(row + EVENT_ID + 8) >> 16
        sequence = u64_at(row + SEQUENCE)
        if length < SMALLEST or offset > FAR or offset < found.end:
            found.in_order = False
        if found.rows:
            if offset != found.end:
                if found.gaps < gaps.shape[0]:
                    gaps[found.gaps] = found.rows
                found.gaps += 1
            found.sequence_ascends &= sequence >= found.sequence
        if time != found.time:
            found.ids_differ &= time > found.time
            found.alike = 0
            found.moment += 1
        if found.alike >= ALIKE:
            found.ids_differ = False
        if found.ids_differ:
            found.ids_differ = _is_new(u64_at(row + EVENT_ID), found)
            found.alike += 1
        found.end = offset + length
        found.frame_bytes += length
        found.sequence = sequence
        found.time = time
        found.rows += 1
        row += SIZE


def survey_rows(entries: Any, before: int = 0) -> Survey:
    """See ``format.survey.survey_rows``."""
    found: Found
    room: index = 64
    count: index = len(entries)
    done: index
    step: index
    crc: u32
    if count == 0:
        return Survey(True, np.empty(0, np.int64), False, -1, True, True, 0, before)
    view = np.ascontiguousarray(entries).view(np.uint8)
    packed: cython.const[cython.uchar][::1] = view
    while True:
        gaps = np.empty(room, np.int64)
        gap_view: i64[::1] = gaps
        found.in_order = found.ids_differ = found.sequence_ascends = True
        found.markers = False
        found.top_string = 0
        found.gaps = found.rows = found.alike = 0
        found.end = found.frame_bytes = found.sequence = found.time = 0
        found.moment = 1
        memset(found.stamps, 0, cython.sizeof(found.stamps))
        crc = before
        done = 0
        with cython.nogil:
            while done < count:
                step = min(BLOCK_ROWS, count - done)
                crc = crc32_of(cython.address(packed[done * SIZE]), step * SIZE, crc)
                _survey(cython.address(packed[done * SIZE]), step, cython.address(found), gap_view)
                done += step
        if found.gaps <= room:
            break
        room = found.gaps
    return Survey(
        bool(found.in_order),
        gaps[: found.gaps],
        bool(found.markers),
        int(found.top_string),
        bool(found.ids_differ),
        bool(found.sequence_ascends),
        int(found.frame_bytes),
        crc,
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _match(
    row: p_bytes,
    count: index,
    ids: p_bytes,
    id_step: index,
    hashes: p_bytes,
    hash_step: index,
    numbers: p_bytes,
    number_step: index,
    out: u64[::1],
    same: cython.pointer[cython.bint],
) -> index:
    """How many rows in turn the image has at the same place, their numbers in ``out``."""
    i: index
    same[0] = True
    for i in range(count):
        if memcmp(row + EVENT_ID, ids, 16) != 0 or memcmp(row + EVENT_HASH, hashes, 32) != 0:
            return i
        out[i] = u64_at(numbers)
        same[0] &= out[i] == u64_at(row + SEQUENCE)
        row += SIZE
        ids += id_step
        hashes += hash_step
        numbers += number_step
    return count


def match_rows(entries: Any, ids: Any, hashes: Any, numbers: Any) -> Matched:
    """See ``format.survey.match_rows``."""
    count: index = min(len(entries), len(ids), len(hashes), len(numbers))
    same: cython.bint = True
    taken = np.empty(count, np.uint64)
    matched: index = 0
    if count == 0:
        return Matched(0, True, taken)
    packed: cython.const[cython.uchar][::1] = np.ascontiguousarray(entries).view(np.uint8)
    out: u64[::1] = taken
    id_at: cython.size_t = ids.__array_interface__["data"][0]
    hash_at: cython.size_t = hashes.__array_interface__["data"][0]
    number_at: cython.size_t = numbers.__array_interface__["data"][0]
    id_step: index = ids.strides[0]
    hash_step: index = hashes.strides[0]
    number_step: index = numbers.strides[0]
    if ids.dtype.itemsize != 16 or hashes.dtype.itemsize != 32 or numbers.dtype != np.dtype("<u8"):
        raise ValueError("ids have 16 bytes, hashes 32, and numbers are u64.")
    with cython.nogil:
        matched = _match(
            cython.address(packed[0]),
            count,
            cython.cast(p_bytes, id_at),
            id_step,
            cython.cast(p_bytes, hash_at),
            hash_step,
            cython.cast(p_bytes, number_at),
            number_step,
            out,
            cython.address(same),
        )
    return Matched(matched, bool(same), taken[:matched])
