# BLAKE3 of short payloads; see digest.py.

cdef void hash_chunk(const unsigned char* data, Py_ssize_t size, unsigned char* out) noexcept nogil
