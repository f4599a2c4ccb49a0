cimport cython

@cython.final
cdef class Drawers:
    cdef dict _few
    cdef list _many
    cdef Py_ssize_t _count
    cpdef object get(self, object key)
    @cython.locals(drawer=dict, before=Py_ssize_t)
    cpdef put(self, object key, object value)
    @cython.locals(drawer=dict, before=Py_ssize_t)
    cpdef object pop(self, object key)
    cdef dict _drawer(self, object key)
    cdef list _all(self)
    @cython.locals(many=list, drawer=dict)
    cdef _divide(self)
