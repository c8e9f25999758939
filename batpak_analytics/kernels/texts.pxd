# Strings of plain ASCII, made without the decoder: most strings of payloads are short and plain.

from libc.string cimport memcpy
from batpak_analytics.kernels.words cimport u64_at

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 most)
    void* PyUnicode_DATA(object text)


cdef inline bint is_ascii(const unsigned char* data, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t at = 0
    while size - at >= 8:
        if u64_at(data + at) & 0x8080808080808080ULL:
            return False
        at += 8
    while at < size:
        if data[at] & 0x80:
            return False
        at += 1
    return True


cdef inline object ascii_text(const unsigned char* data, Py_ssize_t size):
    text = PyUnicode_New(size, 127)
    memcpy(PyUnicode_DATA(text), data, size)
    return text
