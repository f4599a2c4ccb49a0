cimport cython

cdef int SPACE, TAB, ZERO, LONGEST_NUMBER, LONGEST_LITTLE

@cython.locals(text=cython.p_const_char, i=Py_ssize_t)
cpdef Py_ssize_t find_byte(bytes data, char byte, Py_ssize_t start, Py_ssize_t stop) except -2

@cython.locals(text=cython.p_const_char, i=Py_ssize_t)
cpdef Py_ssize_t find_gap(bytes data, Py_ssize_t start, Py_ssize_t stop) except -2

@cython.locals(number=Py_ssize_t, digit=int, i=Py_ssize_t)
cpdef Py_ssize_t read_number(bytes data, Py_ssize_t start, Py_ssize_t stop) except -2

@cython.locals(text=cython.p_const_uchar, number=cython.ulonglong, i=Py_ssize_t)
cpdef long long read_little(bytes data, Py_ssize_t position, Py_ssize_t size) except? -1

@cython.locals(count=Py_ssize_t, rest=cython.ulonglong)
cpdef Py_ssize_t digits_of(long long number) except -1

@cython.locals(end=Py_ssize_t, target=cython.p_char, at=Py_ssize_t, rest=cython.ulonglong)
cpdef Py_ssize_t write_number(bytearray buffer, Py_ssize_t position, long long number) except -1

@cython.locals(size=Py_ssize_t)
cpdef bint begins_at(bytes data, Py_ssize_t position, Py_ssize_t stop, bytes text) except -1

cpdef bint repeats_at(bytes data, Py_ssize_t position, Py_ssize_t size, Py_ssize_t again, Py_ssize_t stop) except -1

@cython.locals(count=Py_ssize_t, at=Py_ssize_t, end=Py_ssize_t)
cpdef Py_ssize_t count_repeats(bytes data, Py_ssize_t position, Py_ssize_t size) except -1

@cython.locals(text=cython.p_const_char)
cpdef bytes cut(bytes data, Py_ssize_t start, Py_ssize_t stop)

@cython.locals(text=cython.p_const_char)
cpdef bytes cut_buffer(bytearray buffer, Py_ssize_t stop)

@cython.locals(source=cython.p_const_char, i=Py_ssize_t, size=Py_ssize_t, target=cython.p_char)
cpdef copy_into(bytearray buffer, Py_ssize_t position, bytes data)

@cython.locals(stride=Py_ssize_t, lead=Py_ssize_t, at=Py_ssize_t)
cpdef list cut_ends(bytes run, Py_ssize_t count, Py_ssize_t size)

cdef int check_bounds(bytes data, Py_ssize_t start, Py_ssize_t stop) except -1

@cython.locals(text=cython.p_const_char, model=cython.p_const_char, i=Py_ssize_t)
cdef bint equal(bytes one, Py_ssize_t start, bytes other, Py_ssize_t begin, Py_ssize_t size) noexcept
