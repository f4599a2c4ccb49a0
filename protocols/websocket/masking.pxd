cimport cython

cdef Py_ssize_t LARGE

@cython.final
cdef class Unmasking:
    cdef readonly Py_ssize_t size
    cdef bytearray _plain
    cdef list _keys, _masked, _pieces
    @cython.locals(size=Py_ssize_t)
    cpdef add(self, bytes data, Py_ssize_t start, Py_ssize_t stop, bytes keys, Py_ssize_t key_at)
    @cython.locals(size=Py_ssize_t, text=cython.p_char)
    cpdef bytes take(self)
    cdef _add_up(self)

@cython.locals(source=cython.p_const_char, target=cython.p_char, one=char, two=char, three=char, four=char,
               whole=Py_ssize_t, i=Py_ssize_t)
cdef unmask(bytearray plain, Py_ssize_t at, bytes data, Py_ssize_t start, Py_ssize_t size, bytes keys,
            Py_ssize_t key_at)
