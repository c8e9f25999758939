# One frame against its footer row, and the strings of the footer; see compare.py.

from batpak_analytics.kernels.escape cimport Row

cdef struct Strings:
    const unsigned char* text
    const long long* bounds  # count + 1 of them
    Py_ssize_t count

cdef bint same_row(
    const unsigned char* data,
    unsigned long long total,
    const Row* row,
    const unsigned char* entry,
    const Strings* strings,
) noexcept nogil
