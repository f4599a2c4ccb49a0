cimport cython
from protocols.cache cimport GenerationCache
from protocols.nats.head cimport PayloadHead

@cython.locals(i=Py_ssize_t)
cdef Py_ssize_t find_line_end(bytes data, Py_ssize_t start, Py_ssize_t end)

cdef class Framing:
    cdef GenerationCache _cache
    cdef dict _heads
    cdef object _operations
    cdef bytes _prefix
    cdef tuple _queues
    cdef bytearray _pending
    cdef Py_ssize_t _wanted
    cdef public bint headers, stopped
    cdef public Py_ssize_t max_control_line, max_payload

    @cython.locals(position=Py_ssize_t)
    cpdef list receive(self, bytes data)
    @cython.locals(position=Py_ssize_t, held=Py_ssize_t, stop=Py_ssize_t, line_end=Py_ssize_t)
    cdef Py_ssize_t _resume(self, bytes data, list events) except -1
    @cython.locals(end=Py_ssize_t, line_end=Py_ssize_t, stop=Py_ssize_t, line=bytes,
                   head=PayloadHead, contents=list)
    cdef _decode(self, bytes data, Py_ssize_t position, list events)
    @cython.locals(head=PayloadHead)
    cdef PayloadHead _read_line(self, bytes line, list events)
