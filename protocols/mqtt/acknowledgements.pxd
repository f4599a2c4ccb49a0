cimport cython

@cython.final
cdef class AckRun:
    cdef readonly int kind
    cdef readonly list packet_ids

@cython.locals(end=Py_ssize_t, kind=int, packet_id=int, packet_ids=list)
cpdef Py_ssize_t read_acknowledgements(bytes data, Py_ssize_t position, bint in_runs, list events) except -1

@cython.locals(packets=bytearray, position=Py_ssize_t, packet_id=int)
cpdef bytes encode_acknowledgements(int kind, list packet_ids)
