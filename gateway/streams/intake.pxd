cimport cython
from gateway.dataplane.port cimport Port, Receiver
from gateway.storage.streams.appending cimport Appending
from gateway.streams.promises cimport Promises
from protocols.message cimport Burst, Message

@cython.final
cdef class Gate:
    cdef Appending _stored
    cdef Promises _promises
    cdef object _duplicates
    cdef public bint answers, is_open
    cdef public Py_ssize_t largest
    cdef public bytes lead
    @cython.locals(reply=bytes, header=bytes, sequence=cython.longlong)
    cpdef bint lets_in(self, Message message, Port source) except -1

@cython.final
cdef class Intake(Receiver):
    cdef Gate _gate
    cdef object _stream
