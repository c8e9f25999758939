# CRCs, and checking frames of which it is known where they should be; see walk.py.

cdef extern from *:
    """
    typedef unsigned int (*batpak_crc32)(unsigned int, const unsigned char *, unsigned long long);
    #define fast_crc32(place, before, data, size) (((batpak_crc32)(place))((before), (data), (size)))
    """
    unsigned int fast_crc32(
        size_t place, unsigned int before, const unsigned char* data, unsigned long long size
    ) noexcept nogil

cdef unsigned int crc32_of(const unsigned char* data, unsigned long long size, unsigned int before) noexcept nogil
cdef void check_places(
    const unsigned char* data,
    unsigned long long total,
    unsigned long long* offsets,
    unsigned int* lengths,
    unsigned char* statuses,
    Py_ssize_t count,
) noexcept nogil
cdef unsigned int crc_of(const unsigned char* data, unsigned long long at, unsigned long long size) noexcept nogil
