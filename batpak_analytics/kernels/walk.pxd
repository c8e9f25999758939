# Checking frames of which it is known where they should be; see walk.py.

cdef void check_places(
    object view,
    const unsigned char* data,
    unsigned long long total,
    unsigned long long* offsets,
    unsigned int* lengths,
    unsigned char* statuses,
    Py_ssize_t count,
) except *
cdef unsigned int crc_of(const unsigned char* data, unsigned long long at, unsigned long long size) noexcept nogil
