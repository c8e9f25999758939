"""Values that come one at a time, as one array: twin of ``format/collected.py``."""

from __future__ import annotations

import cython
import numpy as np
from cython.cimports.cpython.bool import PyBool_Check
from cython.cimports.cpython.float import PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cython.cimports.cpython.long import PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cython.cimports.libc.string import memcpy

index = cython.typedef(cython.Py_ssize_t)
i64 = cython.typedef(cython.longlong)

NONE, BOOL, INT, FLOAT, OBJECT = (
    cython.declare(cython.int, 0),
    cython.declare(cython.int, 1),
    cython.declare(cython.int, 2),
    cython.declare(cython.int, 3),
    cython.declare(cython.int, 4),
)


@cython.final
@cython.cclass
class Collected:
    """Up to `count` values; see the readable twin."""

    _copied: object
    _array: object
    _slots: i64[::1]
    _count: index
    _taken: index
    _sort: cython.int  # of all values so far
    _values: list  # all of them, once they are no numbers of one sort

    def __init__(self, count: index, copied):
        self._array = np.empty(count, np.int64)
        self._slots = self._array
        self._count, self._copied = count, copied
        self._taken, self._sort, self._values = 0, NONE, None

    def append(self, value):
        """One more value."""
        bits: i64 = 0
        real: cython.double
        beyond: cython.int = 0
        sort: cython.int = OBJECT
        if self._taken >= self._count:
            raise IndexError("more values than were announced")
        if PyLong_CheckExact(value):
            bits = PyLong_AsLongLongAndOverflow(value, cython.address(beyond))
            sort = INT if beyond == 0 else OBJECT
        elif PyFloat_CheckExact(value):
            real = PyFloat_AS_DOUBLE(value)
            memcpy(cython.address(bits), cython.address(real), 8)
            sort = FLOAT
        elif PyBool_Check(value):
            bits = value is True
            sort = BOOL
        else:
            value = self._copied(value)
        if self._sort == NONE:
            self._sort = sort
        if sort != self._sort or sort == OBJECT:
            self._listed().append(value)
        else:
            self._slots[self._taken] = bits
        self._taken += 1

    @cython.cfunc
    def _listed(self) -> list:
        """The list of all values, which takes over from the array."""
        if self._values is None:
            self._values = [] if self._taken == 0 else self._numbers().tolist()
            self._sort = OBJECT
            self._slots = self._array = np.empty(0, np.int64)
        return self._values

    @cython.cfunc
    def _numbers(self) -> object:
        taken = self._array[: self._taken]
        if self._sort == FLOAT:
            return taken.view(np.float64)
        return taken.astype(bool) if self._sort == BOOL else taken

    def values(self):
        """An array, or a list."""
        if self._values is not None or self._taken == 0:
            return self._listed()
        return self._numbers()
