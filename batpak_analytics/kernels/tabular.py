"""Columns -> one MessagePack value for each row: twin of ``pack_rows`` in ``format/tabular.py``."""

from __future__ import annotations

from typing import Any

import cython
import msgpack
import numpy as np
from cython.cimports.batpak_analytics.kernels.emit import (
    put_array_head,
    put_float,
    put_int,
    put_map_head,
    put_single,
    put_text,
    put_uint,
)
from cython.cimports.cpython.bytes import PyBytes_AS_STRING
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy

from batpak_analytics.format.tabular import Column, check_column, most_bytes

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
p_out = cython.typedef(cython.pointer[cython.uchar])
index = cython.typedef(cython.Py_ssize_t)

# As Form in format/tabular.py.
BOOL = cython.declare(cython.int, 1)
INT = cython.declare(cython.int, 2)
UINT = cython.declare(cython.int, 3)
SINGLE = cython.declare(cython.int, 4)
DOUBLE = cython.declare(cython.int, 5)
TEXT = cython.declare(cython.int, 6)
LIST = cython.declare(cython.int, 7)
MAP = cython.declare(cython.int, 8)

Node = cython.struct(
    form=cython.int,
    valid=p_bytes,  # NULL where every value is there
    values=p_bytes,
    offsets=cython.pointer[cython.const[cython.longlong]],
    first=index,  # of its children, among all nodes
    children=index,
    key=p_bytes,  # under which it stands in a map, packed
    key_size=index,
)
p_node = cython.typedef(cython.pointer[Node])


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _put(nodes: p_node, which: index, row: index, out: p_out, at: index) -> index:
    """One value; the room for it has been seen to."""
    node: p_node = nodes + which
    child: index
    k: index
    if node.valid != cython.NULL and not node.valid[row]:
        out[at] = 0xC0
        return at + 1
    if node.form == INT:
        return put_int(out, at, cython.cast(cython.pointer[cython.longlong], node.values)[row])
    if node.form == DOUBLE:
        return put_float(out, at, cython.cast(cython.pointer[cython.double], node.values)[row])
    if node.form == TEXT:
        return put_text(out, at, node.values + node.offsets[row], node.offsets[row + 1] - node.offsets[row])
    if node.form == BOOL:
        out[at] = 0xC3 if node.values[row] else 0xC2
        return at + 1
    if node.form == UINT:
        return put_uint(out, at, cython.cast(cython.pointer[cython.ulonglong], node.values)[row])
    if node.form == SINGLE:
        return put_single(out, at, cython.cast(cython.pointer[cython.float], node.values)[row])
    if node.form == LIST:
        at = put_array_head(out, at, node.offsets[row + 1] - node.offsets[row])
        for k in range(node.offsets[row], node.offsets[row + 1]):
            at = _put(nodes, node.first, k, out, at)
        return at
    if node.form == MAP:
        at = put_map_head(out, at, node.children)
        for child in range(node.first, node.first + node.children):
            memcpy(out + at, nodes[child].key, nodes[child].key_size)
            at = _put(nodes, child, row, out, at + nodes[child].key_size)
        return at
    out[at] = 0xC0
    return at + 1


@cython.cfunc
def _start(array: object) -> p_bytes:
    """Where an array begins; it lives as long as its column."""
    if array is None:
        return cython.NULL
    return cython.cast(p_bytes, cython.cast(cython.size_t, array.ctypes.data))


@cython.cfunc
@cython.exceptval(-1)
def _describe(nodes: p_node, which: index, following: index, column: object, keys: dict) -> index:
    """Fill one node, and its children from `following` on; where the next ones go."""
    first: index = following
    k: index = 0
    packed: bytes
    nodes[which].form = column.form
    nodes[which].valid = _start(column.valid)
    nodes[which].values = _start(column.values)
    nodes[which].offsets = cython.cast(cython.pointer[cython.const[cython.longlong]], _start(column.offsets))
    nodes[which].first = first
    nodes[which].children = len(column.children)
    following += len(column.children)
    for child in column.children:
        following = _describe(nodes, first + k, following, child, keys)
        if column.keys:
            packed = keys.setdefault(column.keys[k], msgpack.packb(column.keys[k]))
            nodes[first + k].key = cython.cast(p_bytes, PyBytes_AS_STRING(packed))
            nodes[first + k].key_size = len(packed)
        k += 1
    return following


def _count(column: Column) -> int:
    total = 1
    for child in column.children:
        total += _count(child)
    return total


def pack_rows(column: Column) -> tuple[Any, Any]:
    """See ``format.tabular.pack_rows``."""
    check_column(column)
    count: index = column.count
    offsets = np.zeros(count + 1, np.int64)
    places: cython.longlong[::1] = offsets
    data = np.empty(most_bytes(column) + 1, np.uint8)
    view: cython.uchar[::1] = data
    out: p_out = cython.address(view[0])
    keys: dict = {}  # the packed keys, which the nodes point to
    row: index
    at: index = 0
    nodes: p_node = cython.cast(p_node, malloc(_count(column) * cython.sizeof(Node)))
    if nodes == cython.NULL:
        raise MemoryError
    try:
        _describe(nodes, 0, 1, column, keys)
        with cython.nogil:
            for row in range(count):
                at = _put(nodes, 0, row, out, at)
                places[row + 1] = at
    finally:
        free(nodes)
    return data[:at], offsets
