cimport cython
from protocols.cache cimport GenerationCache

cdef Py_ssize_t LONGEST_STRING
cdef int SLASH, HASH, STAR, PLUS, DOT, GREATER, FIRST_PLAIN, LAST_PLAIN

# It holds nothing but bytes, so no circle can go through it.
@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class PublishedTopic:
    cdef readonly bytes topic, subject
    cdef readonly Py_ssize_t levels
    cdef readonly bint permitted

@cython.final
cdef class PublishedTopics:
    cdef readonly dict young
    cdef GenerationCache _cache
    @cython.locals(found=PublishedTopic)
    cpdef PublishedTopic judge(self, bytes topic)

@cython.locals(levels=Py_ssize_t, character=int, last=int)
cdef Py_ssize_t count_plain_levels(bytes topic) except -1

cdef bytes subject_of(bytes topic)

cpdef bytes topic_of(bytes subject)

@cython.locals(character=int)
cdef bint has_plain_tokens(bytes subject) except -1

@cython.locals(first=int)
cdef bint is_reserved(bytes subject) except -1
