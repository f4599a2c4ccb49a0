cdef class GenerationCache:
    cdef readonly Py_ssize_t limit
    cdef readonly dict young
    cdef dict _old
    cpdef object recall(self, object key)
    cpdef remember(self, object key, object value)
