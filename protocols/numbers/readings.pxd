cimport cython

cdef class Readings:
    cdef list _paths
    cdef list _time_path
    cpdef tuple read(self, bytes payload)
    cpdef tuple read_value(self, object value)

cpdef object plain_number(bytes payload)
cpdef object as_number(object value)
