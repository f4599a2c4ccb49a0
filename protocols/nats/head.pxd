cimport cython
from protocols.message cimport Burst, Message

@cython.final
cdef class PayloadHead:
    cdef readonly bytes subject, reply
    cdef readonly Py_ssize_t header_size, size
    cdef public Py_ssize_t tail_size
    cdef readonly tuple queues
    cdef public bint reserved
    cdef public bytes line
    @cython.locals(message=Message, start=Py_ssize_t)
    cdef Message message(self, bytes data, Py_ssize_t line_end, Py_ssize_t stop)
    cdef bint repeats_at(self, bytes data, Py_ssize_t position, Py_ssize_t end)
    cdef Burst burst(self, list contents)
    @cython.locals(line=bytes, lead=Py_ssize_t, stride=Py_ssize_t, stop=Py_ssize_t, start=Py_ssize_t)
    cdef Py_ssize_t read_burst(self, bytes data, Py_ssize_t position, Py_ssize_t end, list contents)

@cython.locals(parts=list, count=Py_ssize_t, subject=bytes, reply=bytes, size=Py_ssize_t)
cpdef PayloadHead read_head(bytes line, tuple queues)

@cython.locals(first=int)
cdef bint is_common(bytes subject)

@cython.locals(count=Py_ssize_t, size=Py_ssize_t, i=Py_ssize_t, digit=Py_ssize_t)
cdef Py_ssize_t read_size(bytes digits)

@cython.locals(i=Py_ssize_t, size=Py_ssize_t)
cdef bint begins_at(bytes data, Py_ssize_t position, Py_ssize_t end, bytes line)

@cython.locals(text=cython.p_const_char)
cdef bytes cut(bytes data, Py_ssize_t start, Py_ssize_t stop)
