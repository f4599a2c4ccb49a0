cimport cython

cdef Py_ssize_t ENTRY_BYTES

@cython.final
cdef class Entry:
    cdef public bytes subject
    cdef public object sent, window
    cdef public double at
    cdef public Py_ssize_t size

@cython.final
cdef class Memory:
    cdef readonly list early
    cdef readonly dict open
    cdef dict _entries
    cdef readonly Py_ssize_t max_subjects, max_bytes, size
    cdef readonly long long forgotten
    @cython.locals(entry=Entry)
    cpdef Entry entry(self, bytes subject)
    @cython.locals(whole=Py_ssize_t)
    cpdef resize(self, Entry entry, Py_ssize_t size)
    @cython.locals(entry=Entry)
    cpdef trim(self)
