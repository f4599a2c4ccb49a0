cimport cython
from protocols.scanning cimport begins_at, copy_into, cut_buffer, digits_of, find_byte, write_number

cdef int DOT, ZERO, NINE, TEN, TOKENS, TOKENS_2, LEAD, LEAD_2, DOTS, MOST_DIGITS
cdef bytes PREFIX
cdef bytearray scratch

@cython.final
cdef class Delivery:
    cdef public long long deliveries, sequence, number
    @cython.locals(tokens=Py_ssize_t, at=Py_ssize_t, end=Py_ssize_t, found=int, wanted=int, begin=Py_ssize_t,
                   number=cython.ulonglong)
    cpdef bint read(self, bytes subject) except -1

cpdef bytes lead_of(bytes subject)

@cython.locals(at=Py_ssize_t)
cdef Py_ssize_t skip_tokens(bytes subject, Py_ssize_t count) except -1

@cython.locals(count=Py_ssize_t, byte=cython.uchar)
cdef Py_ssize_t count_tokens(bytes subject) except -1

@cython.locals(size=Py_ssize_t, at=Py_ssize_t)
cpdef bytes make_reply(bytes lead, long long deliveries, long long sequence, long long number, long long time_ns,
                       long long left)
