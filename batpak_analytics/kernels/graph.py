"""Who caused whom: twin of ``join_ids`` and ``measure_forest`` in ``format/graph.py``. All of it takes linear time.

Ids come from files, so the hash has a secret that changes from call to call: nobody can prepare a store whose ids all
fall into one place of the table.
"""

from __future__ import annotations

import secrets
from typing import Any

import cython
import numpy as np

from batpak_analytics.format.graph import Forest, check_pairs

index = cython.typedef(cython.Py_ssize_t)
u64 = cython.typedef(cython.ulonglong)
u32 = cython.typedef(cython.uint)
i32 = cython.typedef(cython.int)
byte = cython.typedef(cython.uchar)

PRIME = cython.declare(u64, 0x9E3779B97F4A7C15)
OTHER_PRIME = cython.declare(u64, 0xBF58476D1CE4E5B9)
LOW = cython.declare(u64, 0xFFFFFFFF)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _hash(first: u64, second: u64, secret: u64) -> u64:
    mixed: u64 = (first ^ secret) * PRIME
    mixed = (mixed ^ (mixed >> 32) ^ second) * OTHER_PRIME
    mixed = (mixed ^ (mixed >> 29)) * PRIME
    return mixed ^ (mixed >> 32)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _fill(ids: cython.const[u64][:, ::1], slots: u64[::1], secret: u64, last: cython.bint) -> cython.void:
    """A slot is 0, or half of a hash and a row number plus 1. At most half of the slots are taken."""
    mask: u64 = cython.cast(u64, slots.shape[0] - 1)
    i: index
    row: index
    mixed: u64
    slot: u64
    for i in range(ids.shape[0]):
        mixed = _hash(ids[i, 0], ids[i, 1], secret)
        slot = mixed & mask
        while slots[slot]:
            if slots[slot] >> 32 == mixed >> 32:
                row = cython.cast(index, slots[slot] & LOW) - 1
                if ids[row, 0] == ids[i, 0] and ids[row, 1] == ids[i, 1]:
                    break
            slot = (slot + 1) & mask
        if last or slots[slot] == 0:
            slots[slot] = (mixed >> 32 << 32) | cython.cast(u64, i + 1)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _look_up(
    ids: cython.const[u64][:, ::1], slots: u64[::1], secret: u64, wanted: cython.const[u64][:, ::1], out: i32[::1]
) -> cython.void:
    mask: u64 = cython.cast(u64, slots.shape[0] - 1)
    i: index
    row: index
    mixed: u64
    slot: u64
    for i in range(wanted.shape[0]):
        mixed = _hash(wanted[i, 0], wanted[i, 1], secret)
        slot = mixed & mask
        out[i] = -1
        while slots[slot]:
            if slots[slot] >> 32 == mixed >> 32:
                row = cython.cast(index, slots[slot] & LOW) - 1
                if ids[row, 0] == wanted[i, 0] and ids[row, 1] == wanted[i, 1]:
                    out[i] = cython.cast(i32, row)
                    break
            slot = (slot + 1) & mask


def join_ids(ids: Any, wanted: Any, *, last: bool) -> Any:
    """See ``format.graph.join_ids``."""
    check_pairs(ids, wanted)
    secret: u64 = secrets.randbits(64)
    latest: cython.bint = last
    found = np.empty(len(wanted), np.int32)
    rows: cython.const[u64][:, ::1] = np.ascontiguousarray(ids)
    asked: cython.const[u64][:, ::1] = np.ascontiguousarray(wanted)
    slots: u64[::1] = np.zeros(1 << max(2 * len(ids), 2).bit_length(), np.uint64)
    out: i32[::1] = found
    with cython.nogil:
        _fill(rows, slots, secret, latest)
        _look_up(rows, slots, secret, asked, out)
    return found


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _strip(
    above: cython.const[i32][::1], effects: u32[::1], pending: u32[::1], height: u32[::1], below: u32[::1],
    order: i32[::1],
) -> index:  # fmt: skip
    """Take every event after all of its effects, in ``order``; how many there are. What is left are cycles.

    From each leaf upwards as far as it goes, last leaf first: events and their effects are mostly neighbours.
    """
    count: index = above.shape[0]
    done: index = 0
    i: index
    at: index
    cause: index
    for i in range(count):
        cause = above[i]
        if 0 <= cause < count:
            effects[cause] += 1
            pending[cause] += 1
    for i in range(count - 1, -1, -1):
        if effects[i]:
            continue
        at = i
        while True:
            order[done] = cython.cast(i32, at)
            done += 1
            cause = above[at]
            if cause < 0 or cause >= count:
                break
            below[cause] += below[at] + 1
            height[cause] = max(height[cause], height[at] + 1)
            pending[cause] -= 1
            if pending[cause]:
                break
            at = cause
    return done


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _close_cycles(
    above: cython.const[i32][::1], pending: u32[::1], root: i32[::1], height: u32[::1], below: u32[::1],
    in_cycle: byte[::1],
) -> cython.void:  # fmt: skip
    """What is still pending stands on a cycle, all of whose members are found from its lowest place."""
    i: index
    at: index
    total: u32
    highest: u32
    for i in range(above.shape[0]):
        if pending[i] == 0 or in_cycle[i]:
            continue
        total = highest = 0
        at = i
        while in_cycle[at] == 0:
            in_cycle[at] = 1
            total += below[at] + 1
            highest = max(highest, height[at])
            at = above[at]
        while True:
            root[at] = cython.cast(i32, i)
            below[at] = total - 1
            height[at] = highest
            at = above[at]
            if at == i:
                break


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _descend(
    above: cython.const[i32][::1], order: i32[::1], done: index, root: i32[::1], depth: u32[::1]
) -> cython.void:
    """Roots and depths of what stands on no cycle: every event after its cause."""
    count: index = above.shape[0]
    i: index
    at: index
    cause: index
    for i in range(done - 1, -1, -1):
        at = order[i]
        cause = above[at]
        if cause < 0 or cause >= count:
            root[at] = cython.cast(i32, at)
        else:
            root[at] = root[cause]
            depth[at] = depth[cause] + 1


def measure_forest(parents: Any) -> Any:
    """See ``format.graph.measure_forest``."""
    count: index = len(parents)
    done: index
    if count >= 1 << 31:
        raise ValueError("places are numbered with 31 bits.")
    above: cython.const[i32][::1] = np.ascontiguousarray(parents, np.int32)
    made = Forest(np.zeros(count, np.int32), *(np.zeros(count, np.uint32) for _ in range(4)), np.zeros(count, np.bool_))
    root: i32[::1] = made.root
    depth: u32[::1] = made.depth
    height: u32[::1] = made.height
    effects: u32[::1] = made.effects
    below: u32[::1] = made.descendants
    in_cycle: byte[::1] = made.in_cycle.view(np.uint8)
    pending: u32[::1] = np.zeros(count, np.uint32)
    order: i32[::1] = np.empty(count, np.int32)
    with cython.nogil:
        done = _strip(above, effects, pending, height, below, order)
        _close_cycles(above, pending, root, height, below, in_cycle)
        _descend(above, order, done, root, depth)
    return made
