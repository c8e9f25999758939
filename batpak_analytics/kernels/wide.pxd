# 64 bytes of an int-array at a time; see wide.h.

cdef extern from "wide.h" nogil:
    int wide_prepare()
    Py_ssize_t wide_ints(
        const unsigned char* data, Py_ssize_t at, Py_ssize_t end, Py_ssize_t count, unsigned char* out, int copying,
        Py_ssize_t* taken, int* carry
    )
