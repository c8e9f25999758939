"""Plain payloads -> Python values: twin of ``payload_to_json_value`` in ``format/json_text.py``, as far as they go.

Values that are plain JSON of ordinary depth are made here. Anything else sets ``odd``, and is left to the readable
function, which also words what is wrong. Maps of one place mostly have the same keys, so their shapes are kept: the
next such map starts as a copy of an empty one, or as one that nobody holds any longer, with the numbers and strings in
it that nobody else holds either.
"""

from __future__ import annotations

import cython
from cython.cimports.batpak_analytics.kernels.refill import refill_float, refill_text
from cython.cimports.batpak_analytics.kernels.texts import ascii_text, is_ascii
from cython.cimports.batpak_analytics.kernels.wire import (
    T_ARRAY,
    T_BOOL,
    T_FLOAT,
    T_INT,
    T_MAP,
    T_NIL,
    T_STR,
    Head,
    read_head,
    skip_value,
)
from cython.cimports.batpak_analytics.kernels.words import are_same, big_u64_at
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.cpython.dict import PyDict_CheckExact, PyDict_Copy, PyDict_Next, PyDict_SetItem
from cython.cimports.cpython.list import PyList_New, PyList_SET_ITEM
from cython.cimports.cpython.long import PyLong_FromLongLong, PyLong_FromUnsignedLongLong
from cython.cimports.cpython.object import PyObject
from cython.cimports.cpython.ref import Py_INCREF
from cython.cimports.cpython.unicode import PyUnicode_DecodeUTF8
from cython.cimports.libc.math import isfinite
from cython.cimports.libc.string import memcpy

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
p_chars = cython.typedef(cython.pointer[cython.const[cython.char]])
index = cython.typedef(cython.Py_ssize_t)
u64 = cython.typedef(cython.ulonglong)
i64 = cython.typedef(cython.longlong)

SHALLOW = cython.declare(cython.int, 32)  # levels that are decoded by recursion
MOST_KEYS = cython.declare(index, 64)  # of a map whose shape is kept, and the bytes of these
MOST_KEY_BYTES = cython.declare(index, 4096)
MOST_NAMES = cython.declare(index, 4096)  # that are kept, and the length of the longest
LONGEST_NAME = cython.declare(index, 64)
PRIME = cython.declare(u64, 0x9E3779B97F4A7C15)

_shapes = cython.declare(list, [None] * 128)
_spare = cython.declare(dict, None)
_names = cython.declare(dict, {})


@cython.cfunc
def _text(place: cython.pointer[Place], start: index, size: index) -> object:
    """A string; `odd` is set where it is none."""
    if is_ascii(place.data + start, size):
        return ascii_text(place.data + start, size)
    try:
        return PyUnicode_DecodeUTF8(cython.cast(p_chars, place.data + start), size, cython.NULL)
    except UnicodeDecodeError:
        place.odd = True
        return None


@cython.cfunc
def _name(text: str) -> str:
    """One object for all keys of this text, as far as few are kept: `sys.intern` keeps each for good on Python 3.12."""
    if len(text) > LONGEST_NAME:
        return text
    if len(_names) >= MOST_NAMES:
        _names.clear()
    return _names.setdefault(text, text)


@cython.cfunc
@cython.exceptval(check=False)
def _skipped(place: cython.pointer[Place]) -> cython.bint:
    """Move behind the value at the place; False where it is not plain."""
    json: cython.bint = True
    tag: cython.int
    size: index
    if place.at >= place.end:
        return False
    tag = place.data[place.at]
    if tag <= 0x7F or tag >= 0xE0 or tag == 0xC0 or tag == 0xC2 or tag == 0xC3:
        place.at += 1
        return True
    if 0xCA <= tag <= 0xD3:
        size = 1 + (4 << (tag - 0xCA) if tag < 0xCC else 1 << (tag & 3))
        if size > place.end - place.at:
            return False
        place.at += size
        return True
    if 0xA0 <= tag <= 0xBF:
        size = tag & 31
        if size >= place.end - place.at or not is_ascii(place.data + place.at + 1, size):
            return False
        place.at += 1 + size
        return True
    size = skip_value(place.data, place.at, place.end, 1, cython.address(json))
    place.at = size
    return size >= 0 and json


def root_value(place):
    """The value at the place, which moves behind it; `odd` is set where it is not plain, and the result is no value."""
    return _value(place, SHALLOW)


def root_fields(place, fields, names):
    """Of a map the fields that are wanted, and any other value as it is."""
    head: Head
    k: index
    j: index
    pairs: index
    count: index = len(fields)
    known: bytes
    made: dict
    if not read_head(place.data, place.at, place.end, cython.address(head)) or head.type != T_MAP:
        return _value(place, SHALLOW)
    pairs = head.size >> 1
    place.at = head.start
    made = {}
    for k in range(pairs):
        if not read_head(place.data, place.at, place.end, cython.address(head)) or head.type != T_STR:
            place.odd = True
            return None
        place.at = head.start + head.size
        for j in range(count):
            known = cython.cast(bytes, fields[j])
            if len(known) == head.size and are_same(cython.cast(p_bytes, known), place.data + head.start, head.size):
                value = _value(place, SHALLOW - 1)
                if place.odd:
                    return None
                PyDict_SetItem(made, names[j], value)
                break
        else:
            if not is_ascii(place.data + head.start, head.size) or not _skipped(place):
                place.odd = True
                return None
    return made


@cython.final
@cython.cclass
class _Shape:
    """The keys that a map had: mostly the next one of its place has the same, in the same order."""

    count: index
    keys: list
    stored: list  # the same as they are stored, heads included, to compare with
    empty: dict  # these keys, each with None


@cython.cfunc
def _slot(place: cython.pointer[Place], pairs: index) -> index:
    """Where the shape of such a map is kept: by its number of keys and the first of them."""
    head: Head
    word: u64 = pairs
    k: index
    if not read_head(place.data, place.at, place.end, cython.address(head)) or head.type != T_STR:
        return 0
    for k in range(head.size if head.size < 8 else 8):
        word = (word << 8) ^ place.data[head.start + k]
    return cython.cast(index, (word * PRIME) >> 57)


def give_back(value):
    """Keep a map to be filled anew, if the caller is the only one who holds it."""
    global _spare
    if value.ob_refcnt == 1 and PyDict_CheckExact(cython.cast(object, value)):
        _spare = cython.cast(dict, value)


@cython.cfunc
def _begun(shape: _Shape) -> dict:
    """A map to be filled: one that nobody holds, with as many keys, or a new one."""
    global _spare
    made: dict = _spare
    if made is None or len(made) != shape.count:
        return PyDict_Copy(shape.empty)
    _spare = None
    return made


@cython.cfunc
def _begun_anew(shape: _Shape, other: dict, done: index) -> dict:
    """A new map with the first values of another, whose keys its last holder changed."""
    made: dict = PyDict_Copy(shape.empty)
    k: index
    for k in range(done):
        PyDict_SetItem(made, shape.keys[k], other[shape.keys[k]])
    return made


@cython.cfunc
@cython.exceptval(check=False)
def _refilled(place: cython.pointer[Place], held: cython.pointer[PyObject]) -> cython.bint:
    """Whether the value at the place is now that of an object that a map to be filled holds; the place moves behind it.

    Numbers and strings that nobody else holds are written anew: making others is most of the cost of a payload.
    """
    tag: cython.int
    size: index
    bits: u64
    real: cython.double
    if place.at >= place.end:
        return False
    tag = place.data[place.at]
    size = 8 if tag == 0xCB else tag & 31 if 0xA0 < tag <= 0xBF else 0
    if size == 0 or size >= place.end - place.at:
        return False
    if tag == 0xCB:
        bits = big_u64_at(place.data + place.at + 1)
        memcpy(cython.address(real), cython.address(bits), 8)
        if not isfinite(real) or not refill_float(held, real):
            return False
    elif not is_ascii(place.data + place.at + 1, size) or not refill_text(held, place.data + place.at + 1, size):
        return False
    place.at += 1 + size
    return True


@cython.cfunc
def _map(place: cython.pointer[Place], pairs: index, levels: cython.int) -> object:
    k: index
    slot: index
    known: bytes
    shape: _Shape
    made: dict
    at: index = 0
    name: cython.pointer[PyObject] = cython.NULL
    old: cython.pointer[PyObject] = cython.NULL
    if pairs == 0:
        return {}
    slot = _slot(place, pairs)
    if _shapes[slot] is None:
        return _new_map(place, pairs, levels, slot, {}, 0)
    shape = cython.cast(_Shape, _shapes[slot])
    if shape.count != pairs:
        return _new_map(place, pairs, levels, slot, {}, 0)
    made = _begun(shape)
    for k in range(pairs):
        known = cython.cast(bytes, shape.stored[k])
        if len(known) > place.end - place.at or not are_same(
            cython.cast(p_bytes, known), place.data + place.at, len(known)
        ):
            return _new_map(place, pairs, levels, slot, {key: made[key] for key in shape.keys[:k]}, k)
        place.at += len(known)
        PyDict_Next(made, cython.address(at), cython.address(name), cython.address(old))
        if name != cython.cast(cython.pointer[PyObject], shape.keys[k]):
            made = _begun_anew(shape, made, k)
            at = 0
            for _ in range(k + 1):
                PyDict_Next(made, cython.address(at), cython.address(name), cython.address(old))
        if _refilled(place, old):
            continue
        value = _value(place, levels)
        if place.odd:
            return None
        if old != cython.cast(cython.pointer[PyObject], value):
            PyDict_SetItem(made, shape.keys[k], value)
    return made


@cython.cfunc
def _new_map(
    place: cython.pointer[Place], pairs: index, levels: cython.int, slot: index, made: dict, done: index
) -> object:
    """The rest of a map of a new shape, of which `done` pairs were read into `made`."""
    head: Head
    k: index
    start: index
    size: index = 0
    shape: _Shape
    stored: list = [] if done == 0 else None
    for k in range(done, pairs):
        if not read_head(place.data, place.at, place.end, cython.address(head)) or head.type != T_STR:
            place.odd = True
            return None
        text = _text(place, head.start, head.size)
        if place.odd:
            return None
        key: str = _name(text)
        start, place.at = place.at, head.start + head.size
        size += place.at - start
        if stored is not None and size <= MOST_KEY_BYTES:
            stored.append(PyBytes_FromStringAndSize(cython.cast(p_chars, place.data + start), place.at - start))
        value = _value(place, levels)
        if place.odd:
            return None
        PyDict_SetItem(made, key, value)
    if stored is not None and len(made) == pairs and pairs <= MOST_KEYS and size <= MOST_KEY_BYTES:
        shape = _Shape.__new__(_Shape)
        shape.count = pairs
        shape.keys = list(made)
        shape.stored = stored
        shape.empty = dict.fromkeys(made)
        _shapes[slot] = shape
    return made


@cython.cfunc
def _list(place: cython.pointer[Place], count: index, levels: cython.int) -> object:
    made: list = PyList_New(count)
    k: index
    for k in range(count):
        value = _value(place, levels)
        Py_INCREF(value)
        PyList_SET_ITEM(made, k, value)
        if place.odd:  # the items still to come are NULL, and nobody sees the list
            return None
    return made


@cython.cfunc
def _value(place: cython.pointer[Place], levels: cython.int) -> object:
    """The value at a place, which moves behind it; `odd` is set where it is not plain, and the result is then None."""
    head: Head
    tag: cython.int
    if place.at < place.end:
        # What most values are, without a head of their own.
        tag = place.data[place.at]
        if tag <= 0x7F:
            place.at += 1
            return PyLong_FromLongLong(tag)
        if tag == 0xCB and place.end - place.at > 8:
            bits: u64 = big_u64_at(place.data + place.at + 1)
            memcpy(cython.address(head.real), cython.address(bits), 8)
            place.at += 9
            return head.real if isfinite(head.real) else None
        if 0xA0 <= tag <= 0xBF and (tag & 31) < place.end - place.at:
            place.at += 1 + (tag & 31)
            return _text(place, place.at - (tag & 31), tag & 31)
    if not read_head(place.data, place.at, place.end, cython.address(head)):
        place.odd = True
        return None
    place.at = head.start
    if head.type == T_STR:
        place.at += head.size
        return _text(place, head.start, head.size)
    if head.type == T_INT:
        if head.negative or head.bits >> 63 == 0:
            return PyLong_FromLongLong(cython.cast(i64, head.bits))
        return PyLong_FromUnsignedLongLong(head.bits)
    if head.type == T_FLOAT:
        return head.real if isfinite(head.real) else None
    if head.type == T_BOOL:
        return True if head.bits else False
    if head.type == T_NIL:
        return None
    # An item is a byte or more, so a count above what is left is a truncated value.
    if levels == 0 or head.size > place.end - place.at:
        place.odd = True
        return None
    if head.type == T_MAP:
        return _map(place, head.size >> 1, levels - 1)
    if head.type == T_ARRAY:
        return _list(place, head.size, levels - 1)
    place.odd = True  # bin and extensions
    return None
