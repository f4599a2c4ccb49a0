cimport cython

# It holds nothing but bytes and numbers, so no circle can go through it.
@cython.final
@cython.no_gc
cdef class Hole:
    cdef bytearray _map
    cdef readonly long long size
    cpdef bint has(self, Py_ssize_t number) except -1
    @cython.locals(bits=bytearray)
    cpdef add(self, Py_ssize_t number, long long size)

@cython.final
cdef class Holes:
    cdef dict _of
    cdef readonly long long size
    cdef readonly set behind, changed
    cdef readonly object deleted
    cpdef Hole get(self, object chunk)
    @cython.locals(hole=Hole)
    cpdef object bits(self, object chunk)
    @cython.locals(hole=Hole)
    cpdef Py_ssize_t size_of(self, object chunk) except -1
    @cython.locals(hole=Hole)
    cpdef put(self, object chunk, Hole hole)
    @cython.locals(hole=Hole)
    cpdef bint is_gone(self, object chunk, Py_ssize_t number) except -1
    @cython.locals(hole=Hole)
    cpdef bint add(self, object chunk, Py_ssize_t number, long long size) except -1
    @cython.locals(hole=Hole)
    cpdef Py_ssize_t count(self, object chunk, object begin, object end) except -1
    @cython.locals(hole=Hole)
    cpdef drop(self, object chunk)
