cimport cython

cdef class Samples:
    cdef object _name, _refuse
    cdef bint _is_ordered
    cdef dict _series, _last, _newest
    cdef readonly dict batch
    cdef Py_ssize_t _named
    @cython.locals(series=bytes, samples=dict, newest="long long")
    cpdef add(self, bytes subject, list readings, long long time_ms)
    @cython.locals(named=dict, series=bytes)
    cdef bytes _series_of(self, bytes subject, str field)
