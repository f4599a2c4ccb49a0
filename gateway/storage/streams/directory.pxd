cimport cython
from cpython cimport array

@cython.locals(low=Py_ssize_t, high=Py_ssize_t, middle=Py_ssize_t, found=cython.p_longlong)
cdef Py_ssize_t place_in(array.array numbers, long long number) except -1

cdef long long number_at(array.array numbers, Py_ssize_t index) except? -1

cdef take_from(array.array numbers, Py_ssize_t index, long long size)

cdef class ChunkDirectory:
    cdef readonly long long size, live
    cdef array.array _firsts, _lasts, _lives, _sizes, _aged, _last_ns, _headed
    cpdef long long first(self, Py_ssize_t number) except -1
    cpdef long long last(self, Py_ssize_t number) except -1
    cpdef long long live_of(self, Py_ssize_t number) except -1
    cpdef Py_ssize_t find(self, object sequence) except -1
    cpdef Py_ssize_t find_known(self, long long sequence) except -1
    cpdef bint holds(self, Py_ssize_t number, long long sequence) except -1
    cpdef remove(self, Py_ssize_t number, long long size)
