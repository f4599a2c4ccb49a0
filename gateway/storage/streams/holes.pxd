cimport cython

@cython.final
cdef class Holes:
    cdef dict _of
    cdef readonly long long size
    cdef readonly set changed
    cpdef object get(self, object chunk)
    cpdef put(self, object chunk, object hole)
    cpdef bint is_gone(self, object chunk, object sequence) except -1
    cpdef add(self, object chunk, object sequence, long long size)
    cpdef Py_ssize_t count(self, object chunk, object first, object end) except -1
    cpdef drop(self, object chunk)
