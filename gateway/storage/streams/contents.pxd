cimport cython
from gateway.storage.streams.directory cimport ChunkDirectory
from gateway.storage.streams.holes cimport Hole, Holes

cdef class Contents:
    cdef public long long first, messages
    cdef public bint passed, gapless
    cdef public Py_ssize_t hollow
    cdef readonly list emptied
    cdef readonly ChunkDirectory directory
    cdef readonly Holes holes
    cdef readonly dict departed
    cdef list _late
    @cython.locals(directory=ChunkDirectory, number=Py_ssize_t, first=cython.longlong)
    cpdef bint is_there(self, long long sequence) except -1
    @cython.locals(directory=ChunkDirectory, number=Py_ssize_t, first=cython.longlong, chunk=object)
    cpdef bint delete(self, long long sequence, long long size) except -1
    @cython.locals(directory=ChunkDirectory, first=cython.longlong, last=cython.longlong)
    cdef _settle_front(self)
    @cython.locals(end=cython.longlong)
    cdef long long _live_in(self, long long first, long long last, long long before) except -1
