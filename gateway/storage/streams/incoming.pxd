cimport cython
from gateway.storage.streams.run cimport Run

cdef class Incoming:
    cdef readonly Py_ssize_t messages
    cdef readonly long long size, writing_size, writing_last
    cdef object _stream, _age, _room
    cdef Run _waiting, _writing
    cdef list _rows
    cdef Py_ssize_t _live
    cdef long long _live_size, _oldest, _waiting_from, _writing_from
    cdef dict _deleted
    cpdef add(self, long long sequence, long long time_ns, bytes subject, bytes header, bytes payload, Py_ssize_t size)
    cpdef bint holds(self, long long sequence) except -1
    cpdef object get(self, long long sequence)
    cpdef delete(self, long long sequence, Py_ssize_t size)
    cpdef bint is_being_written(self, long long sequence) except -1
    @cython.locals(run=Run, sequence=object)
    cpdef long long oldest(self) except -1
    @cython.locals(run=Run)
    cpdef list take(self, long long last)
