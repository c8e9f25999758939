# One frame body in the layout that batpak writes; see frames.py.

from batpak_analytics.kernels.escape cimport Row

cdef bint parse_body(
    const unsigned char* data, Py_ssize_t at, Py_ssize_t end, Row* row, unsigned char* out
) noexcept nogil
