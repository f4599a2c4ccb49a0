cimport cython
from gateway.storage.streams.frames cimport Frames
from gateway.streams.consumer_state cimport ConsumerState
from gateway.streams.selection cimport Selection

@cython.final
cdef class Supply:
    cdef public ConsumerState state
    cdef public Selection selection
    cdef public long long first, start_ns
    cdef public bint has_gaps
    cdef public object is_there
    cdef readonly long long sequence, time_ns
    cdef readonly bytes subject, header, payload
    cdef bint _has_one
    cdef list _chunks
    cdef Frames _frames
    cdef long long _first
    cpdef clear(self)
    cpdef add_chunks(self, list chunks, long long first)
    @cython.locals(frames=Frames)
    cpdef bint look(self) except -1
    cpdef drop(self)
    @cython.locals(state=ConsumerState)
    cdef bint _passes(self, long long sequence, long long time_ns, bytes subject) except -1

@cython.locals(frames=Frames, count=Py_ssize_t)
cpdef Py_ssize_t count_in(list chunks, Selection selection, long long first, long long last) except -1
