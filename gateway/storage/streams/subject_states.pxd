cimport cython

# It holds nothing but numbers, so no circle can go through it.
@cython.final
@cython.no_gc
cdef class SubjectState:
    cdef public long long first, last, first_size
    cdef public Py_ssize_t messages
    cdef public list newer

@cython.final
cdef class SubjectStates:
    cdef readonly bint exact
    cdef dict _states
    cpdef SubjectState get(self, bytes subject)
    @cython.locals(state=SubjectState)
    cpdef add(self, bytes subject, long long sequence, long long size)
    @cython.locals(state=SubjectState)
    cpdef merge(self, bytes subject, object first, long long last, Py_ssize_t messages)
    @cython.locals(state=SubjectState)
    cpdef remove(self, bytes subject, object sequence)
    @cython.locals(state=SubjectState)
    cpdef forget(self, bytes subject, Py_ssize_t messages, long long first)
    cpdef forget_oldest(self, SubjectState state)
    @cython.locals(state=SubjectState)
    cpdef SubjectState prune(self, bytes subject, long long first)
    cdef _settle(self, bytes subject, SubjectState state, list places)
