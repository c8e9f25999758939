# Numbers and strings that only one container holds, written anew instead of replaced.
#
# The conditions are those under which CPython itself writes into an object that is already made: nobody else has a
# reference, and of a string nothing was derived yet (its hash, a place among the interned ones).

from cpython.object cimport PyObject
from libc.string cimport memcpy
from batpak_analytics.kernels.words cimport are_same

cdef extern from "Python.h":
    ctypedef struct PyFloatObject:
        double ob_fval
    ctypedef struct PyASCIIObject:
        Py_hash_t hash
    bint PyFloat_CheckExact(PyObject* value)
    bint PyUnicode_CheckExact(PyObject* value)
    bint PyUnicode_IS_COMPACT_ASCII(PyObject* text)
    bint PyUnicode_CHECK_INTERNED(PyObject* text)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject* text)
    void* PyUnicode_DATA(PyObject* text)


cdef inline bint refill_float(PyObject* held, double value) noexcept:
    """Whether the object is now this number."""
    if held.ob_refcnt != 1 or not PyFloat_CheckExact(held):
        return False
    (<PyFloatObject*>held).ob_fval = value
    return True


cdef inline bint refill_text(PyObject* held, const unsigned char* data, Py_ssize_t size) noexcept:
    """Whether the object is this ASCII text, or is it now. Not for the empty string, of which there is one for all."""
    if not PyUnicode_CheckExact(held) or not PyUnicode_IS_COMPACT_ASCII(held) or PyUnicode_GET_LENGTH(held) != size:
        return False
    if are_same(<unsigned char*>PyUnicode_DATA(held), data, size):
        return True
    if held.ob_refcnt != 1 or (<PyASCIIObject*>held).hash != -1 or PyUnicode_CHECK_INTERNED(held):
        return False
    memcpy(PyUnicode_DATA(held), data, size)
    return True
