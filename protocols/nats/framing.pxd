cimport cython
from protocols.message cimport Burst, Message
from protocols.cache cimport GenerationCache

@cython.final
cdef class PayloadHead:
    cdef readonly bytes subject, reply
    cdef readonly Py_ssize_t header_size, size
    cdef public Py_ssize_t tail_size
    cdef readonly tuple queues
    cdef public bint reserved
    cdef public bytes line
    @cython.locals(message=Message)
    cdef Message message(self, bytes tail)
    cdef Burst burst(self, list contents)
    @cython.locals(line=bytes, lead=Py_ssize_t, stride=Py_ssize_t, stop=Py_ssize_t, start=Py_ssize_t)
    cdef Py_ssize_t read_burst(self, bytes data, Py_ssize_t position, Py_ssize_t end, list contents)

@cython.locals(i=Py_ssize_t)
cdef Py_ssize_t find_line_end(bytes data, Py_ssize_t start, Py_ssize_t end)

@cython.locals(i=Py_ssize_t, size=Py_ssize_t)
cdef bint begins_at(bytes data, Py_ssize_t position, Py_ssize_t end, bytes line)

@cython.locals(text=cython.p_const_char)
cdef bytes cut(bytes data, Py_ssize_t start, Py_ssize_t stop)

cdef class Framing:
    cdef GenerationCache _cache
    cdef dict _heads
    cdef object _operations
    cdef bytearray _pending
    cdef Py_ssize_t _wanted
    cdef public bint headers, stopped
    cdef public Py_ssize_t max_control_line, max_payload

    @cython.locals(position=Py_ssize_t)
    cpdef list receive(self, bytes data)
    @cython.locals(position=Py_ssize_t, held=Py_ssize_t, stop=Py_ssize_t, line_end=Py_ssize_t)
    cdef Py_ssize_t _resume(self, bytes data, list events) except -1
    @cython.locals(end=Py_ssize_t, line_end=Py_ssize_t, stop=Py_ssize_t, line=bytes, tail=bytes,
                   head=PayloadHead, contents=list, behind=Py_ssize_t)
    cdef _decode(self, bytes data, Py_ssize_t position, list events)
