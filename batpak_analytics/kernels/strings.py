"""Entity and scope names -> codes: twin of ``intern_strings`` in ``format/rows.py``."""

from __future__ import annotations

from typing import Any

import cython
import numpy as np
from cython.cimports.batpak_analytics.kernels.wire import hash_bytes, start_of
from cython.cimports.libc.string import memcmp

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
index = cython.typedef(cython.Py_ssize_t)
u64 = cython.typedef(cython.ulonglong)
u32 = cython.typedef(cython.uint)

EMPTY = cython.declare(u32, 0xFFFFFFFF)
FIRST_SLOTS = cython.declare(index, 1024)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _intern(
    data: p_bytes,
    total: u64,
    starts: u64[::1],
    sizes: u32[::1],
    codes: u32[::1],
    rows: u32[::1],
    slots: u32[::1],
    known: cython.pointer[index],
    done: index,
) -> index:
    """Give codes until the table is half full; the row to go on with. ``rows``: where a code was first used."""
    i: index
    slot: index
    mask: index = slots.shape[0] - 1
    code: u32
    start: u64
    size: u64
    seen: u64
    for i in range(done, starts.shape[0]):
        start = starts[i]
        size = sizes[i]
        if start > total or size > total - start:
            start = 0
            size = 0
        slot = cython.cast(index, hash_bytes(data, start, size)) & mask
        while True:
            code = slots[slot]
            if code == EMPTY:
                if 2 * known[0] > mask:
                    return i
                code = cython.cast(u32, known[0])
                slots[slot] = code
                rows[code] = cython.cast(u32, i)
                known[0] += 1
                break
            seen = starts[rows[code]]
            if (
                _size_at(starts, sizes, rows[code], total) == size
                and memcmp(data + seen * (size > 0), data + start, size) == 0
            ):
                break
            slot = (slot + 1) & mask
        codes[i] = code
    return starts.shape[0]


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _size_at(starts: u64[::1], sizes: u32[::1], row: index, total: u64) -> u64:
    """The size of a row's string; 0 when its place is not inside the buffer."""
    if starts[row] > total or sizes[row] > total - starts[row]:
        return 0
    return sizes[row]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _refill(
    data: p_bytes, total: u64, starts: u64[::1], sizes: u32[::1], rows: u32[::1], slots: u32[::1], known: index
) -> cython.void:
    """Put the codes known so far into a larger, empty table."""
    code: index
    size: u64
    slot: index
    mask: index = slots.shape[0] - 1
    for code in range(known):
        size = _size_at(starts, sizes, rows[code], total)
        slot = cython.cast(index, hash_bytes(data, starts[rows[code]] if size else 0, size)) & mask
        while slots[slot] != EMPTY:
            slot = (slot + 1) & mask
        slots[slot] = cython.cast(u32, code)


def intern_strings(buffer: Any, starts: Any, sizes: Any) -> tuple[Any, list[bytes]]:
    """See ``format.rows.intern_strings``."""
    view = np.frombuffer(buffer, np.uint8)
    data: cython.const[cython.uchar][::1] = view
    firsts: u64[::1] = np.ascontiguousarray(starts, np.uint64)
    lengths: u32[::1] = np.ascontiguousarray(sizes, np.uint32)
    if firsts.shape[0] != lengths.shape[0]:
        raise ValueError("starts and sizes differ in length. Pass one size for each start.")
    codes = np.empty(firsts.shape[0], np.uint32)
    used = np.empty(firsts.shape[0], np.uint32)
    code_view: u32[::1] = codes
    rows: u32[::1] = used
    slots: u32[::1] = np.full(FIRST_SLOTS, EMPTY, np.uint32)
    total: u64 = data.shape[0]
    known: index = 0
    done: index = 0
    while done < firsts.shape[0]:
        with cython.nogil:
            done = _intern(start_of(data), total, firsts, lengths, code_view, rows, slots, cython.address(known), done)
        if done < firsts.shape[0]:
            slots = np.full(4 * slots.shape[0], EMPTY, np.uint32)
            _refill(start_of(data), total, firsts, lengths, rows, slots, known)
    row: index
    strings: list = []
    for row in used[:known].tolist():
        strings.append(bytes(view[firsts[row] : firsts[row] + _size_at(firsts, lengths, row, total)]))
    return codes, strings
