# Numbers at any place in some bytes, for all kernels. Inlined where they are used.

from libc.string cimport memcpy


cdef inline unsigned long long u64_at(const unsigned char* data) noexcept nogil:
    cdef unsigned long long value
    memcpy(&value, data, 8)
    return value


cdef inline unsigned int u32_at(const unsigned char* data) noexcept nogil:
    cdef unsigned int value
    memcpy(&value, data, 4)
    return value


cdef inline unsigned long long big_u64_at(const unsigned char* data) noexcept nogil:
    """The most significant byte first; compilers make one load of it."""
    return (
        (<unsigned long long>data[0] << 56)
        | (<unsigned long long>data[1] << 48)
        | (<unsigned long long>data[2] << 40)
        | (<unsigned long long>data[3] << 32)
        | (<unsigned long long>data[4] << 24)
        | (<unsigned long long>data[5] << 16)
        | (<unsigned long long>data[6] << 8)
        | <unsigned long long>data[7]
    )


cdef inline bint are_same(const unsigned char* one, const unsigned char* other, Py_ssize_t size) noexcept nogil:
    """As memcmp(...) == 0, without a call: for names, which are short."""
    cdef Py_ssize_t at = 0
    while size - at >= 8:
        if u64_at(one + at) != u64_at(other + at):
            return False
        at += 8
    while at < size:
        if one[at] != other[at]:
            return False
        at += 1
    return True
