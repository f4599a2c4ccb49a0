cimport cython

cdef class GenerationCache:
    cdef readonly Py_ssize_t limit
    cdef readonly dict young
    cdef dict _old
    cdef bytearray _traces
    cdef Py_ssize_t _mask
    cpdef object recall(self, object key)
    cpdef remember(self, object key, object value)
    @cython.locals(code=Py_ssize_t, slot=Py_ssize_t, trace=int)
    cpdef bint is_familiar(self, object key) except -1
