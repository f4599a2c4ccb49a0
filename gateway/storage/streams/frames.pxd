cimport cython
from protocols.scanning cimport cut, read_little

cdef Py_ssize_t OFFSET_BYTES, TIME_BYTES, SUBJECT_SIZE_BYTES, HEADER_SIZE_BYTES, HEAD_BYTES

cdef long long sequence_of(long long begin, bytes offsets, Py_ssize_t count, Py_ssize_t number) except? -1

@cython.final
cdef class Frames:
    cdef bytes _body, _offsets
    cdef long long _begin
    cdef Py_ssize_t _count, _number, _start, _end
    cdef readonly long long sequence, time_ns
    cdef readonly bytes subject, header, payload
    @cython.locals(number=Py_ssize_t, body=bytes, at=Py_ssize_t, subject_size=Py_ssize_t)
    cpdef bint go_on(self) except -1
    @cython.locals(body=bytes, at=Py_ssize_t, header_size=Py_ssize_t)
    cpdef cut(self)
