cimport cython
from protocols.cache cimport GenerationCache
from protocols.nats.head cimport PayloadHead, read_head, scan_head
from protocols.scanning cimport begins_at, count_repeats, cut, find_byte, repeats_at

cdef int LF, CR, LARGE, LOWER, LETTER_P, LETTER_I, LETTER_O, LETTER_N, LETTER_G
cdef Py_ssize_t LONGEST_HEARTBEAT, LINE_COST
cdef Py_ssize_t LONGEST_REMEMBERED_LINE

cdef class Framing:
    cdef GenerationCache _cache
    cdef dict _heads
    cdef object _operations
    cdef bytes _prefix, _headed_prefix, _rest
    cdef tuple _queues
    cdef bytearray _pending
    cdef Py_ssize_t _wanted, _short_header, _rest_from
    cdef long long _room
    cdef readonly bint has_more
    cdef public long long slice_size
    cdef public bint headed, headers, stopped
    cdef public Py_ssize_t max_control_line, max_header_lines, max_payload

    @cython.locals(position=Py_ssize_t)
    cpdef list receive(self, bytes data)
    @cython.locals(position=Py_ssize_t, held=Py_ssize_t, stop=Py_ssize_t, line_end=Py_ssize_t)
    cdef Py_ssize_t _resume(self, bytes data, list events) except -1
    @cython.locals(end=Py_ssize_t, line_end=Py_ssize_t, head=PayloadHead)
    cdef _decode(self, bytes data, Py_ssize_t position, list events)
    @cython.locals(end=Py_ssize_t, stop=Py_ssize_t, contents=list)
    cdef Py_ssize_t _read_payload(self, PayloadHead head, bytes data, Py_ssize_t position, Py_ssize_t line_end,
                                  list events) except -1
    @cython.locals(head=PayloadHead, size=Py_ssize_t)
    @cython.locals(most=Py_ssize_t)
    cdef PayloadHead _scan_head(self, bytes data, Py_ssize_t position, Py_ssize_t end)
    cdef PayloadHead _find_head(self, bytes data, Py_ssize_t position, Py_ssize_t line_end)
    cdef PayloadHead _read_line(self, bytes line, list events)
    cdef bint _has_too_many_lines(self, PayloadHead head, bytes data, Py_ssize_t start) except -1

@cython.locals(size=Py_ssize_t, second=int)
cdef bint is_heartbeat(bytes data, Py_ssize_t position, Py_ssize_t line_end) except -1

@cython.locals(end=Py_ssize_t, pings=Py_ssize_t, pongs=Py_ssize_t, size=Py_ssize_t, count=Py_ssize_t, longest=Py_ssize_t)
cdef Py_ssize_t read_heartbeats(bytes data, Py_ssize_t position, Py_ssize_t line_end, list events) except -1
