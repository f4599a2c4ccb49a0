cimport cython

cdef class Run:
    cdef readonly long long size
    cdef readonly Py_ssize_t count
    cdef readonly list rows
    cdef list _begins, _pieces, _sizes
    cdef object _stream
    cdef long long _begin, _last_ns
    cdef Py_ssize_t _chunk_size, _most_bytes, _most_messages
    @cython.locals(held=Py_ssize_t)
    cpdef bint takes(self, long long sequence, Py_ssize_t size) except -1
    @cython.locals(pieces=list)
    cpdef add(self, long long sequence, long long time_ns, bytes subject, bytes header, bytes payload, Py_ssize_t size)
    @cython.locals(count=Py_ssize_t)
    cpdef cut(self, object aged)
    @cython.locals(number=Py_ssize_t)
    cpdef long long next(self, long long sequence) except -1
    @cython.locals(number=Py_ssize_t, at=Py_ssize_t, pieces=list)
    cpdef object get(self, long long sequence)
