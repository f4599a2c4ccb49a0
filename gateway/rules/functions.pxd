cimport cython

cdef int ADD, SUBTRACT, MULTIPLY, DIVIDE, DIVIDE_WHOLE, REMAINDER, LESS, AT_MOST, MORE
cdef double WHOLE_FROM, WRONG_BY

cpdef bint is_number(object value)
cpdef object calculate(int operator, object left, object right)
cdef double calculate_floats(int operator, double left, double right) noexcept
cpdef bint equal(object left, object right) except -1
cpdef bint ordered(int order, object left, object right) except -1
cdef bint ordered_floats(int order, double left, double right) noexcept
cpdef object linear(object value, double factor, double offset)
cdef double linear_float(double value, double factor, double offset) noexcept
@cython.locals(product=double, size=double, whole=double, fraction=double, sure=double)
cpdef double round_float(double value, double scale, int digits) except? -1
