cdef int LESS, AT_MOST, MORE

cpdef bint is_number(object value)
cpdef bint equal(object left, object right) except -1
cpdef bint ordered(int order, object left, object right) except -1
