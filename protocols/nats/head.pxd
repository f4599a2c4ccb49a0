cimport cython
from protocols.message cimport Burst, Message
from protocols.scanning cimport begins_at, cut, find_gap, read_number

cdef int LF, CR, SPACE, DOLLAR, UNDERSCORE, LARGE, LOWEST, HIGHEST

# It holds nothing but bytes, so no circle can go through it.
@cython.final
@cython.no_gc
@cython.freelist(8)
cdef class PayloadHead:
    cdef readonly bytes subject, reply
    cdef readonly Py_ssize_t header_size, size
    cdef public Py_ssize_t tail_size
    cdef readonly tuple queues
    cdef public bint reserved
    cdef public bytes line
    cdef public Py_ssize_t line_end
    @cython.locals(message=Message, start=Py_ssize_t)
    cdef Message message(self, bytes data, Py_ssize_t line_end, Py_ssize_t stop)
    cdef Burst burst(self, list contents)
    @cython.locals(line=bytes, lead=Py_ssize_t, stride=Py_ssize_t, stop=Py_ssize_t, start=Py_ssize_t)
    cdef Py_ssize_t read_burst(self, bytes data, Py_ssize_t position, Py_ssize_t end, list contents) except -1

@cython.locals(gap=Py_ssize_t, another=Py_ssize_t, begin=Py_ssize_t, tail=Py_ssize_t, header_size=Py_ssize_t,
               size=Py_ssize_t, subject=bytes, reply=bytes)
cpdef PayloadHead read_head(bytes data, Py_ssize_t start, Py_ssize_t line_end, bint with_header, tuple queues)

@cython.locals(head=PayloadHead)
cdef PayloadHead make_head(bytes subject, bytes reply, Py_ssize_t header_size, Py_ssize_t size, Py_ssize_t tail_size,
                           tuple queues)

@cython.locals(text=cython.p_const_char, byte=cython.uchar, first=Py_ssize_t, second=Py_ssize_t, here=Py_ssize_t,
               begin=Py_ssize_t, size=Py_ssize_t, subject=bytes, reply=bytes, head=PayloadHead)
cpdef PayloadHead scan_head(bytes data, Py_ssize_t start, Py_ssize_t end, tuple queues)

cdef bint is_common(bytes subject, bint is_reply) except -1

@cython.locals(first=int, second=int)
cdef bint is_free(bytes subject, bint is_reply) except -1

@cython.locals(byte=cython.uchar)
cdef bint is_visible(bytes subject) except -1
