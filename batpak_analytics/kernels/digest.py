"""BLAKE3 of payloads: twin of ``content_hash`` and ``hash_rows`` in ``format/digest.py``.

Up to 1024 bytes are one chunk, hashed here: for the payloads of everyday events, calling a library costs more than
hashing. Longer ones go to the library, which has vector instructions for them.
"""

from __future__ import annotations

from typing import Any

import cython
import numpy as np
from blake3 import blake3
from cython.cimports.batpak_analytics.kernels.wire import start_of
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cython.cimports.libc.string import memcpy, memset

from batpak_analytics.format.digest import checked_offsets

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
p_out = cython.typedef(cython.pointer[cython.uchar])
p_words = cython.typedef(cython.pointer[cython.uint])
index = cython.typedef(cython.Py_ssize_t)
u32 = cython.typedef(cython.uint)

CHUNK = cython.declare(index, 1024)
BLOCK = cython.declare(index, 64)
ROUNDS = cython.declare(cython.int, 7)
CHUNK_START = cython.declare(u32, 1)
CHUNK_END = cython.declare(u32, 2)
ROOT = cython.declare(u32, 8)
START = cython.declare(u32[8])
ORDER = cython.declare(cython.uchar[112])  # which words of the message each of the seven rounds takes, in turn


@cython.cfunc
def _fill_tables() -> cython.void:
    k: cython.int
    permutation = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
    start = (
        0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
    )  # fmt: skip
    for k in range(8):
        START[k] = start[k]
    for k in range(112):
        ORDER[k] = k if k < 16 else ORDER[k - 16 - k % 16 + permutation[k % 16]]


_fill_tables()


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _rotated(value: u32, by: cython.int) -> u32:
    return (value >> by) | (value << (32 - by))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _mix(
    v: p_words, a: cython.int, b: cython.int, c: cython.int, d: cython.int, first: u32, second: u32
) -> cython.void:
    v[a] += v[b] + first
    v[d] = _rotated(v[d] ^ v[a], 16)
    v[c] += v[d]
    v[b] = _rotated(v[b] ^ v[c], 12)
    v[a] += v[b] + second
    v[d] = _rotated(v[d] ^ v[a], 8)
    v[c] += v[d]
    v[b] = _rotated(v[b] ^ v[c], 7)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _compress(chain: p_words, block: p_bytes, size: u32, flags: u32) -> cython.void:
    """One block of up to 64 bytes, filled up with zeros, into the chain. Little-endian machines only."""
    v: u32[16]
    m: u32[16]
    k: cython.int
    turn: p_bytes
    memcpy(m, block, 64)
    memcpy(v, chain, 32)
    memcpy(v + 8, START, 16)
    v[12] = 0  # the number of the chunk: there is one
    v[13] = 0
    v[14] = size
    v[15] = flags
    for k in range(ROUNDS):
        turn = ORDER + 16 * k
        _mix(v, 0, 4, 8, 12, m[turn[0]], m[turn[1]])
        _mix(v, 1, 5, 9, 13, m[turn[2]], m[turn[3]])
        _mix(v, 2, 6, 10, 14, m[turn[4]], m[turn[5]])
        _mix(v, 3, 7, 11, 15, m[turn[6]], m[turn[7]])
        _mix(v, 0, 5, 10, 15, m[turn[8]], m[turn[9]])
        _mix(v, 1, 6, 11, 12, m[turn[10]], m[turn[11]])
        _mix(v, 2, 7, 8, 13, m[turn[12]], m[turn[13]])
        _mix(v, 3, 4, 9, 14, m[turn[14]], m[turn[15]])
    for k in range(8):
        chain[k] = v[k] ^ v[k + 8]


def hash_chunk(data, size, out):
    """The hash of at most 1024 bytes."""
    chain: u32[8]
    block: cython.uchar[64]
    flags: u32 = CHUNK_START
    at: index = 0
    memcpy(chain, START, 32)
    while size - at > BLOCK:
        _compress(chain, data + at, 64, flags)
        flags = 0
        at += BLOCK
    memset(block, 0, 64)
    if size > at:
        memcpy(block, data + at, size - at)
    _compress(chain, block, cython.cast(u32, size - at), flags | CHUNK_END | ROOT)
    memcpy(out, chain, 32)


def content_hash(payload: bytes) -> bytes:
    """See ``format.digest.content_hash``."""
    if len(payload) > CHUNK:
        return blake3(payload).digest()
    digest: bytes = PyBytes_FromStringAndSize(cython.NULL, 32)
    source: p_bytes = cython.cast(p_bytes, PyBytes_AS_STRING(payload))
    hash_chunk(source, len(payload), cython.cast(p_out, PyBytes_AS_STRING(digest)))
    return digest


def hash_rows(data: Any, offsets: Any) -> Any:
    """See ``format.digest.hash_rows``."""
    places: cython.longlong[::1] = checked_offsets(offsets, memoryview(data).nbytes)
    view: cython.const[cython.uchar][::1] = np.frombuffer(data, np.uint8)
    hashes = np.empty((places.shape[0] - 1, 32), np.uint8)
    out: cython.uchar[:, ::1] = hashes
    source: p_bytes = start_of(view)
    i: index = 0
    while i < out.shape[0]:
        with cython.nogil:
            while i < out.shape[0] and places[i + 1] - places[i] <= CHUNK:
                hash_chunk(source + places[i], places[i + 1] - places[i], cython.address(out[i, 0]))
                i += 1
        if i < out.shape[0]:
            hashes[i] = np.frombuffer(blake3(view[places[i] : places[i + 1]]).digest(), np.uint8)
            i += 1
    return hashes
