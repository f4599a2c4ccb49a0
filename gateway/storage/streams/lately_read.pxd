cimport cython
from gateway.storage.streams.frames cimport Frames

@cython.final
cdef class LatelyRead:
    cdef readonly long long bytes
    cdef long long _most_bytes
    cdef object _chunks
    cpdef object find(self, long long key, long long last)

@cython.locals(frames=Frames)
cpdef message_in(object chunk, long long sequence)
