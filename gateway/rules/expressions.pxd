cimport cython
from gateway.rules.functions cimport calculate, equal, is_number, linear, ordered, round_float

cdef object MISSING

cdef class Expression:
    cpdef object value(self, list values, tuple tokens)

cdef class Known(Expression):
    cdef readonly object known
    cpdef object value(self, list values, tuple tokens)

cdef class Token(Expression):
    cdef Py_ssize_t _index
    cpdef object value(self, list values, tuple tokens)

cdef class Path(Expression):
    cdef Py_ssize_t _index
    cdef tuple _path, _steps
    cdef object find(self, list values)
    cpdef object value(self, list values, tuple tokens)

cdef class Guarded(Expression):
    cdef Path _path
    cdef Expression _instead
    @cython.locals(is_there=bint)
    cpdef object value(self, list values, tuple tokens)

cdef class Arithmetic(Expression):
    cdef object _name
    cdef int _operator
    cdef Expression _left, _right
    cpdef object value(self, list values, tuple tokens)

cdef class Equality(Expression):
    cdef Expression _left, _right
    cdef bint _wanted
    cpdef object value(self, list values, tuple tokens)

cdef class Comparison(Expression):
    cdef object _name
    cdef int _order
    cdef Expression _left, _right
    cpdef object value(self, list values, tuple tokens)

cdef class Connected(Expression):
    cdef bint _both
    cdef Expression _left, _right
    @cython.locals(left=bint)
    cpdef object value(self, list values, tuple tokens)

cdef class Negated(Expression):
    cdef Expression _argument
    cpdef object value(self, list values, tuple tokens)

cdef class Choice(Expression):
    cdef Expression _condition, _one, _other
    cpdef object value(self, list values, tuple tokens)

cdef class Converted(Expression):
    cdef Expression _argument
    cdef double _factor, _offset
    cpdef object value(self, list values, tuple tokens)

cdef class Rounded(Expression):
    cdef Expression _argument
    cdef object _digits
    cdef double _scale
    cpdef object value(self, list values, tuple tokens)

cdef class Applied(Expression):
    cdef object _name, _function
    cdef list _arguments
    @cython.locals(one=Expression)
    cpdef object value(self, list values, tuple tokens)
