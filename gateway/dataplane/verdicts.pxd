cimport cython
from protocols.cache cimport GenerationCache

@cython.final
cdef class FilterSet:
    cdef set _literals
    cdef dict _root
    cpdef bint matches(self, bytes subject) except -1
    cpdef bint covers(self, bytes subject_filter) except -1
    @cython.locals(nodes=list, following=list, node=dict, token=bytes, tokens=list)
    cdef bint _finds(self, bytes subject, bint whole) except -1

@cython.final
cdef class Verdicts:
    cdef object _judge
    cdef GenerationCache _cache
    cdef dict _young
    cpdef bint allow(self, bytes subject) except -1
    @cython.locals(cache=GenerationCache, verdict=bint)
    cdef bint _find(self, bytes subject) except -1
    cdef GenerationCache _grow(self, GenerationCache before)

cdef class Denied:
    cdef readonly object event

cdef class ReplyRights:
    cdef Verdicts _rules
    cdef object _clock
    cdef dict _given
    cdef Py_ssize_t _bytes, _most
    cdef double _seconds
    cpdef note(self, bytes reply)
    cpdef bint use(self, bytes subject) except -1
    cdef _forget(self, bytes reply)
