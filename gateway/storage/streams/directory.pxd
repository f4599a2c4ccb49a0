cimport cython

cdef class ChunkDirectory:
    cdef readonly long long size, live
    cdef object _firsts, _lasts, _lives, _sizes, _aged, _last_ns, _headed
    cpdef long long first(self, Py_ssize_t number) except -1
    cpdef long long last(self, Py_ssize_t number) except -1
    cpdef long long live_of(self, Py_ssize_t number) except -1
    cpdef Py_ssize_t find(self, object sequence) except -1
    cpdef bint holds(self, Py_ssize_t number, long long sequence) except -1
    cpdef remove(self, Py_ssize_t number, long long size)
