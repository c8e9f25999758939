"""Reading MessagePack without the interpreter: heads of values, whole values, UTF-8.

Twin of ``read_head`` and ``_Walk`` in ``format/payload.py``. The types of arguments and results are in
``wire.pxd``, through which the other kernels call these. Every read is preceded by a test against ``end``.
"""

from __future__ import annotations

import cython
from cython.cimports.batpak_analytics.kernels.words import u64_at
from cython.cimports.libc.string import memcpy

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
u64 = cython.typedef(cython.ulonglong)

MAX_NESTING = cython.declare(cython.int, 1023)  # as format/layout.py
PRIME = cython.declare(u64, 0x9E3779B97F4A7C15)
MIX = cython.declare(u64, 0xBF58476D1CE4E5B9)
HIGH_BITS = cython.declare(u64, 0x8080808080808080)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _big(data: p_bytes, at: cython.Py_ssize_t, width: cython.int) -> u64:
    k: cython.int
    value: u64 = 0
    for k in range(width):
        value = (value << 8) | data[at + k]
    return value


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _sequence_size(data: p_bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
    """Bytes of the character at ``at`` that is not ASCII; 0 when it is not UTF-8 (Unicode table 3-7)."""
    first: cython.int = data[at]
    low: cython.int = 0x80
    high: cython.int = 0xBF
    size: cython.int
    k: cython.int
    if first < 0xC2 or first > 0xF4:
        return 0
    size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    if end - at < size:
        return 0
    if first == 0xE0:
        low = 0xA0
    elif first == 0xED:
        high = 0x9F
    elif first == 0xF0:
        low = 0x90
    elif first == 0xF4:
        high = 0x8F
    if data[at + 1] < low or data[at + 1] > high:
        return 0
    for k in range(2, size):
        if (data[at + k] & 0xC0) != 0x80:
            return 0
    return size


def start_of(view):
    """Where the bytes of a buffer begin; nowhere, for an empty one."""
    return cython.address(view[0]) if view.shape[0] else cython.NULL


def is_utf8(data, at, end):
    """Whether ``data[at:end]`` is valid UTF-8, as Rust and Python judge it."""
    size: cython.int
    while at < end:
        if end - at >= 8 and not u64_at(data + at) & HIGH_BITS:
            at += 8
        elif data[at] < 0x80:
            at += 1
        else:
            size = _sequence_size(data, at, end)
            if size == 0:
                return False
            at += size
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _sized(
    data: p_bytes,
    at: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    head: cython.pointer[Head],
    kind: cython.int,
    width: cython.int,
) -> cython.bint:
    """A head whose size stands in ``width`` bytes after the tag."""
    if end - at - 1 < width:
        return False
    head.type = kind
    head.size = cython.cast(cython.Py_ssize_t, _big(data, at + 1, width))
    head.start = at + 1 + width + (kind == T_EXT)
    if kind == T_MAP:
        head.size *= 2
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _number(
    data: p_bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, head: cython.pointer[Head], tag: cython.int
) -> cython.bint:
    """``ca`` to ``d3``: floats, then unsigned, then signed integers of 1, 2, 4 and 8 bytes."""
    width: cython.int = 4 << (tag - 0xCA) if tag < 0xCC else 1 << (tag & 3)
    bits: u64
    narrow: cython.float
    word: cython.uint
    if end - at - 1 < width:
        return False
    bits = _big(data, at + 1, width)
    head.type = T_INT
    head.start = at + 1 + width
    if tag < 0xCC:
        head.type = T_FLOAT
        if width == 4:
            word = cython.cast(cython.uint, bits)
            memcpy(cython.address(narrow), cython.address(word), 4)
            head.real = narrow
        else:
            memcpy(cython.address(head.real), cython.address(bits), 8)
    elif tag >= 0xD0 and bits >> (8 * width - 1):
        head.negative = True
        if width < 8:
            bits |= ~cython.cast(u64, 0) << (8 * width)
    head.bits = bits
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _long_head(
    data: p_bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, head: cython.pointer[Head], tag: cython.int
) -> cython.bint:
    """The head of a value whose tag is ``c0`` to ``df``."""
    if tag >= 0xCA and tag <= 0xD3:
        return _number(data, at, end, head, tag)
    if tag == 0xC0:
        head.type = T_NIL
        return True
    if tag == 0xC2 or tag == 0xC3:
        head.type = T_BOOL
        head.bits = tag & 1
        return True
    if tag == 0xC1:
        return False
    if tag <= 0xC6:
        return _sized(data, at, end, head, T_BIN, 1 << (tag - 0xC4))
    if tag <= 0xC9:
        return _sized(data, at, end, head, T_EXT, 1 << (tag - 0xC7))
    if tag <= 0xD8:
        head.type = T_EXT
        head.start = at + 2
        head.size = 1 << (tag - 0xD4)
        return True
    if tag <= 0xDB:
        return _sized(data, at, end, head, T_STR, 1 << (tag - 0xD9))
    if tag <= 0xDD:
        return _sized(data, at, end, head, T_ARRAY, 2 << (tag - 0xDC))
    return _sized(data, at, end, head, T_MAP, 2 << (tag - 0xDE))


def read_head(data, at, end, head):
    """Fill ``head`` with the value at ``at``; False where it is truncated before ``end`` or its tag is c1.

    The contents of str, bin and ext are known to be there; the items of arrays and maps are not.
    """
    tag: cython.int
    if at < 0 or at >= end:
        return False
    tag = data[at]
    head.negative = False
    head.bits = 0
    head.size = 0
    head.start = at + 1
    if tag <= 0x7F:
        head.type = T_INT
        head.bits = tag
    elif tag >= 0xE0:
        head.type = T_INT
        head.negative = True
        head.bits = ~cython.cast(u64, 0) - (255 - tag)
    elif tag <= 0x8F:
        head.type = T_MAP
        head.size = 2 * (tag & 15)
    elif tag <= 0x9F:
        head.type = T_ARRAY
        head.size = tag & 15
    elif tag <= 0xBF:
        head.type = T_STR
        head.size = tag & 31
    elif not _long_head(data, at, end, head, tag):
        return False
    if head.type >= T_STR and head.type <= T_EXT:
        return head.start <= end and head.size <= end - head.start
    return True


def skip_value(data, at, end, depth, json):
    """Where the value at ``at`` ends, everything inside it checked; -1 when it is malformed.

    ``depth`` containers are open around it. ``json`` is set to False for what the reference's JSON decoding
    refuses. The items still to come are counted on a stack of fixed size, so nesting costs no recursion.
    """
    head: Head
    left: cython.longlong[1024]
    keyed: cython.bint[1024]
    level: cython.int = 0
    is_key: cython.bint
    left[0] = 1
    keyed[0] = False
    while True:
        while left[level] == 0:
            if level == 0:
                return at
            level -= 1
        left[level] -= 1
        is_key = keyed[level] and (left[level] & 1)
        if not read_head(data, at, end, cython.address(head)):
            return -1
        at = head.start
        if head.type == T_STR:
            at += head.size
            if not is_utf8(data, head.start, at):
                json[0] = False
            continue
        if is_key or head.type == T_BIN or head.type == T_EXT:
            json[0] = False
        if head.type >= T_ARRAY:
            level += 1
            # An item is a byte or more, so a count above what is left is a truncated value.
            if depth + level > MAX_NESTING or head.size > end - at:
                return -1
            left[level] = head.size
            keyed[level] = head.type == T_MAP
        else:
            at += head.size


def hash_bytes(data, at, size):
    """A hash of ``data[at:at + size]``, for tables that live as long as one call."""
    value: u64 = size
    end: cython.Py_ssize_t = at + size
    while end - at >= 8:
        value = (value ^ u64_at(data + at)) * PRIME
        value ^= value >> 29
        at += 8
    value = (value ^ _big(data, at, cython.cast(cython.int, end - at))) * PRIME
    value = (value ^ (value >> 32)) * MIX
    return value ^ (value >> 29)
