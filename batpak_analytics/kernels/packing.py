"""Plain Python values -> MessagePack: twin of ``format/packing.py``.

Only exact types are looked at, so no Python code runs in between and nothing can change meanwhile.
"""

from __future__ import annotations

import cython
from cython.cimports.batpak_analytics.kernels.emit import (
    put_array_head,
    put_float,
    put_int,
    put_map_head,
    put_text,
    put_uint,
)
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_Resize
from cython.cimports.cpython.dict import PyDict_Next
from cython.cimports.cpython.long import PyLong_AsLongLongAndOverflow, PyLong_AsUnsignedLongLong
from cython.cimports.cpython.object import PyObject
from cython.cimports.cpython.unicode import PyUnicode_AsUTF8AndSize
from cython.cimports.libc.string import memcmp

from batpak_analytics.format.layout import MAX_PAYLOAD_DEPTH

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
p_out = cython.typedef(cython.pointer[cython.uchar])
p_object = cython.typedef(cython.pointer[PyObject])
index = cython.typedef(cython.Py_ssize_t)
p_index = cython.typedef(cython.pointer[cython.Py_ssize_t])

DEEPEST = cython.declare(cython.int, MAX_PAYLOAD_DEPTH)
FIRST_ROOM = cython.declare(index, 256)
HEAD = cython.declare(index, 9)  # the longest number, and more than any head


@cython.cfunc
def _room(out: bytearray, at: index, size: index) -> p_out:
    """The start of the buffer, which has room for `size` bytes at `at`."""
    if len(out) - at < size:
        PyByteArray_Resize(out, 2 * (at + size))
    return cython.cast(p_out, PyByteArray_AS_STRING(out))


@cython.cfunc
def _text(out: bytearray, at: index, value: str) -> index:
    size: index = 0
    text: p_bytes = cython.cast(p_bytes, PyUnicode_AsUTF8AndSize(value, cython.address(size)))
    return put_text(_room(out, at, HEAD + size), at, text, size)


@cython.cfunc
def _number(out: bytearray, at: index, value: object) -> index:
    """-1 for an int of more than 64 bits."""
    over: cython.int = 0
    signed: cython.longlong = PyLong_AsLongLongAndOverflow(value, cython.address(over))
    if over < 0 or (over > 0 and value.bit_length() > 64):
        return -1
    if over > 0:
        return put_uint(_room(out, at, HEAD), at, PyLong_AsUnsignedLongLong(value))
    return put_int(_room(out, at, HEAD), at, signed)


@cython.cfunc
def _ascend(value: dict) -> cython.int:
    """1 where the keys are text and ascend by their UTF-8, 0 where they are text, -1 where one is not."""
    at: index = 0
    key: p_object = cython.NULL
    text: p_bytes
    size: index = 0
    before: p_bytes = cython.NULL
    before_size: index = 0
    order: cython.int
    ascending: cython.int = 1
    while PyDict_Next(value, cython.address(at), cython.address(key), cython.NULL):
        if type(cython.cast(object, key)) is not str:
            return -1
        text = cython.cast(p_bytes, PyUnicode_AsUTF8AndSize(cython.cast(object, key), cython.address(size)))
        if before != cython.NULL:
            order = memcmp(before, text, before_size if before_size < size else size)
            if order > 0 or (order == 0 and before_size > size):
                ascending = 0
        before, before_size = text, size
    return ascending


@cython.cfunc
def _map(out: bytearray, at: index, value: dict, depth: cython.int) -> index:
    place: index = 0
    key: p_object = cython.NULL
    item: p_object = cython.NULL
    ascending: cython.int = _ascend(value)
    if ascending < 0:
        return -1
    at = put_map_head(_room(out, at, HEAD), at, len(value))
    if ascending:
        while PyDict_Next(value, cython.address(place), cython.address(key), cython.address(item)):
            at = _text(out, at, cython.cast(object, key))
            at = _value(out, at, cython.cast(object, item), depth)
            if at < 0:
                return -1
        return at
    for name in sorted(value):
        at = _value(out, _text(out, at, name), value[name], depth)
        if at < 0:
            return -1
    return at


@cython.cfunc
def _value(out: bytearray, at: index, value: object, depth: cython.int) -> index:
    """Where the next value begins, `depth` containers being open around this one; -1 where it is not plain."""
    if value is None or value is False or value is True:
        _room(out, at, HEAD)[at] = 0xC0 if value is None else 0xC3 if value is True else 0xC2
        return at + 1
    if type(value) is str:
        return _text(out, at, value)
    if type(value) is int:
        return _number(out, at, value)
    if type(value) is float:
        return put_float(_room(out, at, HEAD), at, value)
    if depth == DEEPEST:
        return -1
    if type(value) is dict:
        return _map(out, at, value, depth + 1)
    if type(value) is list or type(value) is tuple:
        at = put_array_head(_room(out, at, HEAD), at, len(value))
        for item in value:
            at = _value(out, at, item, depth + 1)
            if at < 0:
                return -1
        return at
    return -1


def pack_plain(value: object) -> object:
    """See ``format.packing.pack_plain``."""
    out: bytearray = bytearray(FIRST_ROOM)
    size: index
    try:
        size = _value(out, 0, value, 0)
    except UnicodeEncodeError:
        return None
    return None if size < 0 else PyByteArray_AS_STRING(out)[:size]
