"""BLAKE3 of many short messages: twin of ``format/blake3.py``.

A message of up to 1024 bytes is one chunk: up to 16 blocks, each compressed on top of the one before, with no tree
above. Eight messages are compressed side by side, one in each lane, in loops that compilers turn into vectors. They
are ordered by their number of blocks first, so that the lanes end together. Longer messages go through the package.
"""

from __future__ import annotations

from typing import Any

import cython
import numpy as np
from cython.cimports.batpak_analytics.kernels.wire import start_of
from cython.cimports.batpak_analytics.kernels.words import u32_at
from cython.cimports.libc.string import memcpy, memset

from batpak_analytics.format import blake3 as readable

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
p_out = cython.typedef(cython.pointer[cython.uchar])
p_words = cython.typedef(cython.pointer[cython.uint])
index = cython.typedef(cython.Py_ssize_t)
u32 = cython.typedef(cython.uint)
i64 = cython.typedef(cython.longlong)

LANES = cython.declare(index, 8)  # in the array sizes below as well
CHUNK = cython.declare(i64, 1024)
BLOCK = cython.declare(i64, 64)
CHUNK_START = cython.declare(u32, 1)
CHUNK_END = cython.declare(u32, 2)
ROOT = cython.declare(u32, 8)

IV = cython.declare(u32[8])
SCHEDULE = cython.declare(cython.uchar[112])  # for each of 7 rounds, which word of the message comes when


@cython.cfunc
def _fill_tables() -> cython.void:
    k: cython.int
    turn: cython.int
    moved: list = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
    words: list = [
        0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
    ]  # fmt: skip
    order: list = list(range(16))
    for k in range(8):
        IV[k] = words[k]
    for turn in range(7):
        for k in range(16):
            SCHEDULE[16 * turn + k] = order[k]
        order = [order[one] for one in moved]


_fill_tables()


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _mix(v: p_words, a: index, b: index, c: index, d: index, x: p_words, y: p_words) -> cython.void:
    """The quarter round, in every lane."""
    i: index
    word: u32
    for i in range(8):
        v[8 * a + i] = v[8 * a + i] + v[8 * b + i] + x[i]
        word = v[8 * d + i] ^ v[8 * a + i]
        v[8 * d + i] = (word >> 16) | (word << 16)
        v[8 * c + i] = v[8 * c + i] + v[8 * d + i]
        word = v[8 * b + i] ^ v[8 * c + i]
        v[8 * b + i] = (word >> 12) | (word << 20)
        v[8 * a + i] = v[8 * a + i] + v[8 * b + i] + y[i]
        word = v[8 * d + i] ^ v[8 * a + i]
        v[8 * d + i] = (word >> 8) | (word << 24)
        v[8 * c + i] = v[8 * c + i] + v[8 * d + i]
        word = v[8 * b + i] ^ v[8 * c + i]
        v[8 * b + i] = (word >> 7) | (word << 25)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _compress(chain: p_words, message: p_words, sizes: p_words, flags: p_words) -> cython.void:
    """One block in every lane: ``chain`` becomes the next chaining value."""
    v: u32[128]
    i: index
    k: index
    turn: index
    order: p_out
    memcpy(v, chain, 256)
    for k in range(4):
        for i in range(8):
            v[8 * (8 + k) + i] = IV[k]
    for i in range(8):
        v[8 * 12 + i] = 0  # the number of the chunk
        v[8 * 13 + i] = 0
        v[8 * 14 + i] = sizes[i]
        v[8 * 15 + i] = flags[i]
    for turn in range(7):
        order = SCHEDULE + 16 * turn
        _mix(v, 0, 4, 8, 12, message + 8 * order[0], message + 8 * order[1])
        _mix(v, 1, 5, 9, 13, message + 8 * order[2], message + 8 * order[3])
        _mix(v, 2, 6, 10, 14, message + 8 * order[4], message + 8 * order[5])
        _mix(v, 3, 7, 11, 15, message + 8 * order[6], message + 8 * order[7])
        _mix(v, 0, 5, 10, 15, message + 8 * order[8], message + 8 * order[9])
        _mix(v, 1, 6, 11, 12, message + 8 * order[10], message + 8 * order[11])
        _mix(v, 2, 7, 8, 13, message + 8 * order[12], message + 8 * order[13])
        _mix(v, 3, 4, 9, 14, message + 8 * order[14], message + 8 * order[15])
    for k in range(64):
        chain[k] = v[k] ^ v[64 + k]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _load(data: p_bytes, size: i64, prefix: cython.int, block: i64, lane: index, message: p_words) -> u32:
    """Block ``block`` of a message into its lane; how many bytes of it there are."""
    octets: cython.uchar[64]
    at: p_bytes
    k: index
    shift: i64 = 0 if prefix < 0 else 1
    first: i64 = BLOCK * block - shift  # where the block begins in the data; -1 where the prefix is in it
    have: i64 = size - first
    if have > BLOCK:
        have = BLOCK
    if have == BLOCK and first >= 0:
        at = data + first
    else:
        memset(octets, 0, 64)
        if first < 0:
            octets[0] = cython.cast(cython.uchar, prefix)
            memcpy(octets + 1, data, have - 1)
        elif have > 0:
            memcpy(octets, data + first, have)
        at = octets
    for k in range(16):
        message[8 * k + lane] = u32_at(at + 4 * k)
    return cython.cast(u32, have)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _hash_lanes(
    data: p_bytes,
    starts: cython.pointer[i64],
    sizes: cython.pointer[i64],
    blocks: cython.pointer[i64],
    prefix: cython.int,
    count: index,
    out: cython.pointer[p_out],
) -> cython.void:
    """Up to eight messages side by side; the last has the most blocks."""
    chain: u32[64]
    message: u32[128]
    have: u32[8]
    flags: u32[8]
    block: i64
    i: index
    k: index
    for k in range(8):
        for i in range(8):
            chain[8 * k + i] = IV[k]
    memset(message, 0, 512)
    for i in range(8):
        have[i] = flags[i] = 0
    for block in range(blocks[count - 1]):
        for i in range(count):
            if block < blocks[i]:
                have[i] = _load(data + starts[i], sizes[i], prefix, block, i, message)
                flags[i] = CHUNK_START if block == 0 else 0
                if block == blocks[i] - 1:
                    flags[i] |= CHUNK_END | ROOT
        _compress(chain, message, have, flags)
        for i in range(count):
            if block == blocks[i] - 1:
                for k in range(8):
                    memcpy(out[i] + 4 * k, cython.address(chain[8 * k + i]), 4)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _hash_all(
    data: p_bytes,
    starts: i64[::1],
    sizes: i64[::1],
    blocks: cython.const[cython.uchar][::1],
    order: cython.const[i64][::1],
    prefix: cython.int,
    out: cython.uchar[:, ::1],
) -> cython.void:
    begin: i64[8]
    size: i64[8]
    count: i64[8]
    place: p_out[8]
    at: index = 0
    lane: index
    row: i64
    while at < order.shape[0]:
        lane = 0
        while lane < LANES and at < order.shape[0]:
            row = order[at]
            begin[lane] = starts[row]
            size[lane] = sizes[row]
            count[lane] = blocks[row]
            place[lane] = cython.address(out[row, 0])
            lane += 1
            at += 1
        _hash_lanes(data, begin, size, count, prefix, lane, place)


def hash_spans(buffer: Any, starts: Any, sizes: Any, prefix: int = readable.NO_PREFIX) -> Any:
    """See ``format.blake3.hash_spans``."""
    view = np.frombuffer(buffer, np.uint8)
    begins = np.ascontiguousarray(starts, np.int64)
    lengths = np.ascontiguousarray(sizes, np.int64)
    if len(begins) != len(lengths):
        raise ValueError("starts and sizes differ in length. Give one size for each start.")
    out = np.zeros((len(begins), 32), np.uint8)
    inside = (begins >= 0) & (lengths >= 0) & (begins <= len(view)) & (lengths <= len(view) - begins)
    messages = lengths + (prefix >= 0)
    # A place in one chunk: 1 to 16 blocks; 17 for longer messages, 0 for none at all.
    blocks = np.where(inside, np.clip(-(-messages // 64), 1, 17), 0).astype(np.uint8)
    order = np.argsort(blocks, kind="stable")
    short = order[np.searchsorted(blocks[order], 1) : np.searchsorted(blocks[order], 17)]
    data: cython.const[cython.uchar][::1] = view
    begin_view: i64[::1] = begins
    size_view: i64[::1] = lengths
    block_view: cython.const[cython.uchar][::1] = blocks
    short_view: cython.const[i64][::1] = np.ascontiguousarray(short, np.int64)
    out_view: cython.uchar[:, ::1] = out
    lead: cython.int = prefix
    with cython.nogil:
        _hash_all(start_of(data), begin_view, size_view, block_view, short_view, lead, out_view)
    long = order[np.searchsorted(blocks[order], 17) :]
    if len(long):
        out[long] = readable.hash_spans(view, begins[long], lengths[long], prefix)
    return out
