cimport cython

cdef Py_ssize_t REMEMBERED, LONGEST_REMEMBERED

@cython.final
cdef class Selection:
    cdef readonly list filters, patterns
    cdef readonly object literals, wanted
    cdef dict _known
    @cython.locals(known=object, wanted=bint)
    cpdef bint wants(self, bytes subject) except -1
