# What the kernels share of reading MessagePack; see wire.py.

cdef enum:
    T_NIL = 0
    T_BOOL = 1
    T_INT = 2
    T_FLOAT = 3
    T_STR = 4
    T_BIN = 5
    T_EXT = 6
    T_ARRAY = 7
    T_MAP = 8
    T_NONE = 9

cdef struct Head:
    int type
    bint negative  # an int below zero; bits is then its two's complement
    unsigned long long bits  # an int, or a bool as 0 or 1
    double real  # a float
    Py_ssize_t start  # the first byte after the head
    Py_ssize_t size  # bytes of a str, bin or ext; items of an array; keys plus values of a map

cdef const unsigned char* start_of(const unsigned char[::1] view) noexcept nogil
cdef bint is_utf8(const unsigned char* data, Py_ssize_t at, Py_ssize_t end) noexcept nogil
cdef bint read_head(const unsigned char* data, Py_ssize_t at, Py_ssize_t end, Head* head) noexcept nogil
cdef Py_ssize_t skip_value(
    const unsigned char* data, Py_ssize_t at, Py_ssize_t end, int depth, bint* json
) noexcept nogil
cdef unsigned long long hash_bytes(const unsigned char* data, Py_ssize_t at, Py_ssize_t size) noexcept nogil
