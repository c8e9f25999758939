"""Values of one payload field -> typed buffers: twin of ``column_stats`` and ``take_*`` in ``format/payload.py``.

Every function takes the payload bytes and the position of the field's value in each row, -1 where there is none.
"""

from __future__ import annotations

from typing import Any

import cython
import numpy as np
from cython.cimports.batpak_analytics.kernels.wire import Head, is_utf8, read_head, skip_value, start_of
from cython.cimports.batpak_analytics.kernels.words import big_u64_at
from cython.cimports.libc.string import memcpy

from batpak_analytics.format.payload import ColumnStats

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
p_out = cython.typedef(cython.pointer[cython.uchar])
index = cython.typedef(cython.Py_ssize_t)
u64 = cython.typedef(cython.ulonglong)
i64 = cython.typedef(cython.longlong)
positions = cython.typedef(cython.const[cython.longlong][::1])
octets = cython.typedef(cython.const[cython.uchar][::1])

# The types of wire.pxd.
BOOL = cython.declare(cython.int, 1)
INT = cython.declare(cython.int, 2)
FLOAT = cython.declare(cython.int, 3)
STR = cython.declare(cython.int, 4)
BIN = cython.declare(cython.int, 5)
NONE = cython.declare(cython.int, 9)
TOP_BIT = cython.declare(u64, 1 << 63)
EXACT = cython.declare(u64, 1 << 53)  # integers up to here are float64 values; beyond, multiples of powers of 2

Tally = cython.struct(
    counts=cython.longlong[10],
    low=cython.longlong,  # of the negative integers
    high=cython.longlong,
    least=cython.ulonglong,  # of the others
    most=cython.ulonglong,
    negatives=cython.longlong,
    inexact=cython.longlong,
    bad_utf8=cython.longlong,
)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _head(raw: p_bytes, at: index, total: index, head: cython.pointer[Head]) -> cython.bint:
    """``read_head``, with what is most frequent done here."""
    tag: cython.int
    bits: u64
    if at < 0 or at >= total:
        return False
    tag = raw[at]
    if tag < 0x80:
        head.type = INT
        head.negative = False
        head.bits = tag
        return True
    if (tag & 0xE0) == 0xA0:
        head.type = STR
        head.start = at + 1
        head.size = tag & 31
        return head.size <= total - head.start
    if tag == 0xC2 or tag == 0xC3:
        head.type = BOOL
        head.negative = False
        head.bits = tag & 1
        return True
    if tag == 0xCB and total - at > 8:
        bits = big_u64_at(raw + at + 1)
        head.type = FLOAT
        memcpy(cython.address(head.real), cython.address(bits), 8)
        return True
    return read_head(raw, at, total, head)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_exact(bits: u64, negative: cython.bint) -> cython.bint:
    """Whether an integer is a float64: 53 significant bits at most."""
    size: u64 = 0 - bits if negative else bits
    return size <= EXACT or size // (size & (0 - size)) <= EXACT


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _count_int(tally: cython.pointer[Tally], bits: u64, negative: cython.bint) -> cython.void:
    value: i64 = cython.cast(cython.longlong, bits)
    if negative:
        tally.negatives += 1
        tally.low = min(tally.low, value)
        tally.high = max(tally.high, value)
    else:
        tally.least = min(tally.least, bits)
        tally.most = max(tally.most, bits)
    tally.inexact += not _is_exact(bits, negative)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _tally(data: octets, pos: positions, tally: cython.pointer[Tally], clean: cython.bint) -> cython.void:
    i: index
    head: Head
    raw: p_bytes = start_of(data)
    for i in range(pos.shape[0]):
        if not _head(raw, pos[i], data.shape[0], cython.address(head)):
            tally.counts[NONE] += 1
            continue
        tally.counts[head.type] += 1
        if head.type == INT:
            _count_int(tally, head.bits, head.negative)
        elif head.type == STR and not clean:
            tally.bad_utf8 += not is_utf8(raw, head.start, head.start + head.size)


def column_stats(data: Any, pos_row: Any, clean: cython.bint = False) -> ColumnStats:
    """See ``format.payload.column_stats``."""
    view: octets = np.frombuffer(data, np.uint8)
    pos: positions = np.ascontiguousarray(pos_row, np.int64)
    tally: Tally
    k: index
    for k in range(10):
        tally.counts[k] = 0
    tally.negatives = 0
    tally.inexact = 0
    tally.bad_utf8 = 0
    tally.low = -1
    tally.high = cython.cast(cython.longlong, TOP_BIT)
    tally.least = ~cython.cast(u64, 0)
    tally.most = 0
    with cython.nogil:
        _tally(view, pos, cython.address(tally), clean)
    low, high = None, None
    if tally.counts[INT]:
        low = tally.low if tally.negatives else tally.least
        high = tally.high if tally.negatives == tally.counts[INT] else tally.most
    counts = [tally.counts[k] for k in range(10)]
    return ColumnStats(counts[9], *counts[:9], low, high, not tally.inexact, tally.bad_utf8)


def take_bool(data: Any, pos_row: Any) -> tuple[Any, Any]:
    """See ``format.payload.take_bool``."""
    view: octets = np.frombuffer(data, np.uint8)
    raw: p_bytes = start_of(view)
    pos: positions = np.ascontiguousarray(pos_row, np.int64)
    values = np.zeros(pos.shape[0], np.uint8)
    valid = np.zeros(pos.shape[0], np.uint8)
    out: cython.uchar[::1] = values
    good: cython.uchar[::1] = valid
    i: index
    head: Head
    with cython.nogil:
        for i in range(pos.shape[0]):
            if _head(raw, pos[i], view.shape[0], cython.address(head)) and head.type == BOOL:
                out[i] = head.bits
                good[i] = 1
    return values.view(np.bool_), valid


@cython.cfunc
def _take_int(data: Any, pos_row: Any, signed: cython.bint):
    """The bits of the integers that fit ``signed`` or unsigned 64 bits."""
    view: octets = np.frombuffer(data, np.uint8)
    raw: p_bytes = start_of(view)
    pos: positions = np.ascontiguousarray(pos_row, np.int64)
    values = np.zeros(pos.shape[0], np.uint64)
    valid = np.zeros(pos.shape[0], np.uint8)
    out: u64[::1] = values
    good: cython.uchar[::1] = valid
    i: index
    head: Head
    fits: cython.bint
    with cython.nogil:
        for i in range(pos.shape[0]):
            if _head(raw, pos[i], view.shape[0], cython.address(head)) and head.type == INT:
                fits = head.negative or head.bits < TOP_BIT if signed else not head.negative
                if fits:
                    out[i] = head.bits
                    good[i] = 1
    return values, valid


def take_int64(data: Any, pos_row: Any) -> tuple[Any, Any]:
    """See ``format.payload.take_int64``."""
    values, valid = _take_int(data, pos_row, True)
    return values.view(np.int64), valid


def take_uint64(data: Any, pos_row: Any) -> tuple[Any, Any]:
    """See ``format.payload.take_uint64``."""
    return _take_int(data, pos_row, False)


def take_float64(data: Any, pos_row: Any) -> tuple[Any, Any]:
    """See ``format.payload.take_float64``."""
    view: octets = np.frombuffer(data, np.uint8)
    raw: p_bytes = start_of(view)
    pos: positions = np.ascontiguousarray(pos_row, np.int64)
    values = np.zeros(pos.shape[0], np.float64)
    valid = np.zeros(pos.shape[0], np.uint8)
    out: cython.double[::1] = values
    good: cython.uchar[::1] = valid
    i: index
    head: Head
    with cython.nogil:
        for i in range(pos.shape[0]):
            if not _head(raw, pos[i], view.shape[0], cython.address(head)):
                continue
            if head.type == FLOAT:
                out[i] = head.real
                good[i] = 1
            elif head.type == INT:
                if head.negative:
                    out[i] = cython.cast(cython.double, cython.cast(cython.longlong, head.bits))
                else:
                    out[i] = cython.cast(cython.double, head.bits)
                good[i] = 1
    return values, valid


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _measure(
    data: octets,
    pos: positions,
    kind: cython.int,
    clean: cython.bint,
    starts: i64[::1],
    offsets: i64[::1],
    valid: cython.uchar[::1],
) -> cython.void:
    """Where the contents of each ``kind`` start, and the running total of their sizes."""
    i: index
    head: Head
    raw: p_bytes = start_of(data)
    for i in range(pos.shape[0]):
        offsets[i + 1] = offsets[i]
        if not _head(raw, pos[i], data.shape[0], cython.address(head)) or head.type != kind:
            continue
        if kind == STR and not clean and not is_utf8(raw, head.start, head.start + head.size):
            continue
        valid[i] = 1
        starts[i] = head.start
        offsets[i + 1] += head.size


@cython.cfunc
def _take_sized(data: Any, pos_row: Any, kind: cython.int, clean: cython.bint):
    view: octets = np.frombuffer(data, np.uint8)
    raw: p_bytes = start_of(view)
    pos: positions = np.ascontiguousarray(pos_row, np.int64)
    count: index = pos.shape[0]
    offsets = np.zeros(count + 1, np.int64)
    valid = np.zeros(count, np.uint8)
    starts: i64[::1] = np.zeros(count, np.int64)
    ends: i64[::1] = offsets
    good: cython.uchar[::1] = valid
    i: index
    with cython.nogil:
        _measure(view, pos, kind, clean, starts, ends, good)
    taken = np.empty(ends[count] + 1, np.uint8)  # one more, so that there is a first
    out: cython.uchar[::1] = taken
    place: p_out = cython.address(out[0])
    with cython.nogil:
        for i in range(count):
            memcpy(
                place + ends[i],
                raw + starts[i],
                cython.cast(cython.size_t, ends[i + 1] - ends[i]),
            )
    return offsets, taken[: ends[count]], valid


def take_string(data: Any, pos_row: Any, clean: bool = False) -> tuple[Any, Any, Any]:
    """See ``format.payload.take_string``."""
    return _take_sized(data, pos_row, STR, clean)


def take_binary(data: Any, pos_row: Any) -> tuple[Any, Any, Any]:
    """See ``format.payload.take_binary``."""
    return _take_sized(data, pos_row, BIN, True)


def take_spans(data: Any, pos_row: Any) -> tuple[Any, Any]:
    """See ``format.payload.take_spans``."""
    view: octets = np.frombuffer(data, np.uint8)
    raw: p_bytes = start_of(view)
    pos: positions = np.ascontiguousarray(pos_row, np.int64)
    starts = np.array(pos, np.int64)
    ends = np.empty(pos.shape[0], np.int64)
    first: i64[::1] = starts
    stop: i64[::1] = ends
    i: index
    json: cython.bint = True
    with cython.nogil:
        for i in range(pos.shape[0]):
            stop[i] = skip_value(raw, pos[i], view.shape[0], 0, cython.address(json))
            if stop[i] < 0:
                first[i] = -1
    return starts, ends
