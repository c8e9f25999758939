# Writing MessagePack at a place in a buffer, in the shortest form; each gives where the next value begins.
# Inlined where they are used. The caller has seen to it that the buffer is large enough.

from libc.string cimport memcpy


cdef inline Py_ssize_t put_big(
    unsigned char* out, Py_ssize_t at, unsigned char tag, unsigned long long value, int width
) noexcept nogil:
    """A tag, then `width` bytes, the most significant first."""
    cdef int k
    out[at] = tag
    for k in range(width):
        out[at + 1 + k] = <unsigned char>(value >> (8 * (width - 1 - k)))
    return at + 1 + width


cdef inline Py_ssize_t put_uint(unsigned char* out, Py_ssize_t at, unsigned long long value) noexcept nogil:
    if value < 0x80:
        out[at] = <unsigned char>value
        return at + 1
    if value <= 0xFF:
        return put_big(out, at, 0xCC, value, 1)
    if value <= 0xFFFF:
        return put_big(out, at, 0xCD, value, 2)
    if value <= <unsigned long long>0xFFFFFFFF:
        return put_big(out, at, 0xCE, value, 4)
    return put_big(out, at, 0xCF, value, 8)


cdef inline Py_ssize_t put_int(unsigned char* out, Py_ssize_t at, long long value) noexcept nogil:
    if value >= 0:
        return put_uint(out, at, <unsigned long long>value)
    if value >= -32:
        out[at] = <unsigned char>value
        return at + 1
    if value >= -0x80:
        return put_big(out, at, 0xD0, <unsigned long long>value, 1)
    if value >= -0x8000:
        return put_big(out, at, 0xD1, <unsigned long long>value, 2)
    if value >= -2147483648LL:
        return put_big(out, at, 0xD2, <unsigned long long>value, 4)
    return put_big(out, at, 0xD3, <unsigned long long>value, 8)


cdef inline Py_ssize_t put_float(unsigned char* out, Py_ssize_t at, double value) noexcept nogil:
    cdef unsigned long long bits
    memcpy(&bits, &value, 8)
    return put_big(out, at, 0xCB, bits, 8)


cdef inline Py_ssize_t put_single(unsigned char* out, Py_ssize_t at, float value) noexcept nogil:
    cdef unsigned int bits
    memcpy(&bits, &value, 4)
    return put_big(out, at, 0xCA, bits, 4)


cdef inline Py_ssize_t put_text(
    unsigned char* out, Py_ssize_t at, const unsigned char* text, Py_ssize_t size
) noexcept nogil:
    if size < 32:
        out[at] = <unsigned char>(0xA0 | size)
        at += 1
    elif size <= 0xFF:
        at = put_big(out, at, 0xD9, size, 1)
    elif size <= 0xFFFF:
        at = put_big(out, at, 0xDA, size, 2)
    else:
        at = put_big(out, at, 0xDB, size, 4)
    memcpy(out + at, text, size)
    return at + size


cdef inline Py_ssize_t put_array_head(unsigned char* out, Py_ssize_t at, Py_ssize_t count) noexcept nogil:
    if count < 16:
        out[at] = <unsigned char>(0x90 | count)
        return at + 1
    if count <= 0xFFFF:
        return put_big(out, at, 0xDC, count, 2)
    return put_big(out, at, 0xDD, count, 4)


cdef inline Py_ssize_t put_map_head(unsigned char* out, Py_ssize_t at, Py_ssize_t count) noexcept nogil:
    if count < 16:
        out[at] = <unsigned char>(0x80 | count)
        return at + 1
    if count <= 0xFFFF:
        return put_big(out, at, 0xDE, count, 2)
    return put_big(out, at, 0xDF, count, 4)


cdef inline Py_ssize_t put_ints(
    unsigned char* out, Py_ssize_t at, const unsigned char* data, Py_ssize_t size
) noexcept nogil:
    """An int-array of bytes. No branch on the data: each byte may write one more than it takes."""
    cdef Py_ssize_t k
    at = put_array_head(out, at, size)
    for k in range(size):
        out[at] = 0xCC
        at += data[k] >> 7
        out[at] = data[k]
        at += 1
    return at
