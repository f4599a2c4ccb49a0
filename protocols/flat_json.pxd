cimport cython
from protocols.scanning cimport begins_at, copy_into, cut_buffer, write_number

cdef int QUOTE, BACKSLASH, COMMA, COLON, OPEN, CLOSE, MINUS, POINT, LOWER_E, UPPER_E, NINE, BLANK, ASCII_END, ZERO
cdef int TAB, LF, CR
cdef bytes TRUE, FALSE, NULL
cdef int MOST_DIGITS, MOST_WHOLE, MOST_PLACES
cdef Py_ssize_t LONGEST_EXPECTED, LONGEST_NUMBER
cdef list SCALES
cdef bytearray scratch
cdef double LEAST_DECIMAL, MOST_DECIMAL, LARGEST_FLOAT, WHOLE_FROM

@cython.final
cdef class FlatReader:
    cdef dict _places
    cdef list _expected, _where
    cdef Py_ssize_t _at
    @cython.locals(text=cython.p_const_uchar, end=Py_ssize_t, at=Py_ssize_t, begin=Py_ssize_t, nth=Py_ssize_t,
                   place=Py_ssize_t, byte=int)
    cpdef bint read(self, bytes data, list found) except -1
    @cython.locals(text=cython.p_const_uchar, model=cython.p_const_uchar, size=Py_ssize_t, i=Py_ssize_t, name=bytes,
                   expected=bytes)
    cdef Py_ssize_t _place_of(self, bytes data, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t nth) except -2
    @cython.locals(text=cython.p_const_uchar, end=Py_ssize_t, negative=bint, begin=Py_ssize_t, number=cython.longlong,
                   digits=int, places=int, fraction=double)
    cdef object _number(self, bytes data, Py_ssize_t at)

@cython.final
cdef class FlatWriter:
    cdef object _encode
    cdef list _leads
    @cython.locals(at=Py_ssize_t, room=Py_ssize_t, nth=Py_ssize_t, lead=bytes, word=bytes)
    cpdef bytes write(self, list values)
    @cython.locals(size=double, end=Py_ssize_t, digits=bytes)
    cdef Py_ssize_t _write_float(self, double value, Py_ssize_t at) except -2

@cython.locals(text=cython.p_const_uchar, end=Py_ssize_t)
cdef Py_ssize_t behind_blanks(bytes data, Py_ssize_t at) except -1

@cython.locals(text=cython.p_const_uchar, end=Py_ssize_t, byte=int)
cdef Py_ssize_t end_of_text(bytes data, Py_ssize_t at) except -2

@cython.locals(data=bytes, text=cython.p_const_uchar, size=Py_ssize_t, i=Py_ssize_t, byte=int)
cdef Py_ssize_t write_text(str value, Py_ssize_t at) except -2

@cython.locals(number=cython.longlong)
cdef Py_ssize_t write_whole(object value, Py_ssize_t at) except -2

cdef long long whole_of(object value) except? -1

@cython.locals(scale=double, places=int, product=double, whole=double, number=cython.longlong, divisor=cython.longlong,
               rest=cython.longlong)
cdef Py_ssize_t write_decimal(double value, double size, Py_ssize_t at) except -1
