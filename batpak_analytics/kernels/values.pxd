# Decoding of plain payloads for other kernels; see values.py.

from cpython.object cimport PyObject
cdef struct Place:
    const unsigned char* data
    Py_ssize_t at  # where the next value begins
    Py_ssize_t end
    bint odd  # there is something that is not plain

cdef object root_value(Place* place)
cdef object root_fields(Place* place, list fields, list names)
cdef void give_back(PyObject* value) noexcept
