cimport cython
from gateway.dataplane.verdicts cimport Verdicts
from protocols.cache cimport GenerationCache

@cython.final
cdef class Flows:
    cdef object __weakref__
    cdef readonly GenerationCache memory
    cdef readonly Verdicts verdicts
    cdef public long long losses
    cdef public dict routes
