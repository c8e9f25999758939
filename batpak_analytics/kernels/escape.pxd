# Int-arrays, and the row that says where they are; see escape.py.

# One row as FRAME_DTYPE lays it out. The fields are aligned as a C compiler would align them.
cdef struct Row:
    unsigned char status
    unsigned char has_chain
    unsigned char encrypted
    unsigned char flags
    unsigned char payload_form
    unsigned char pad
    unsigned short kind
    unsigned short payload_version
    unsigned short pad2
    unsigned int payload_size
    unsigned int payload_count
    unsigned int depth
    unsigned int lane
    unsigned int clock
    long long timestamp_us
    unsigned long long wall_ms
    unsigned long long payload_start
    unsigned long long payload_end
    unsigned long long entity_start
    unsigned long long scope_start
    unsigned long long extensions_start
    unsigned long long extensions_end
    unsigned long long keyscope_start
    unsigned long long keyscope_end
    unsigned int entity_size
    unsigned int scope_size
    unsigned char event_id[16]
    unsigned char correlation_id[16]
    unsigned char causation_id[16]
    unsigned char content_hash[32]
    unsigned char prev_hash[32]
    unsigned char event_hash[32]

cdef Py_ssize_t skip_ints(
    const unsigned char* data, Py_ssize_t at, Py_ssize_t end, Py_ssize_t count
) noexcept nogil
cdef Py_ssize_t read_ints(
    const unsigned char* data, Py_ssize_t at, Py_ssize_t end, Py_ssize_t count, unsigned char* out
) noexcept nogil
