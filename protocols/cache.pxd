cimport cython

cdef Py_ssize_t LARGEST_PART

cdef class GenerationCache:
    cdef readonly Py_ssize_t limit, limit_bytes
    cdef readonly long long losses
    cdef readonly dict young
    cdef dict _old
    cdef bytearray _traces
    cdef object _weigh
    cdef Py_ssize_t _mask, _size
    cpdef object recall(self, bytes key)
    @cython.locals(size=Py_ssize_t)
    cpdef remember(self, bytes key, object value)
    @cython.locals(code=Py_ssize_t, slot=Py_ssize_t, trace=int)
    cpdef bint is_familiar(self, bytes key) except -1
