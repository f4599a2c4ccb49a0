cimport cython
from gateway.dataplane.answers cimport Answers
from gateway.dataplane.port cimport Port
from gateway.storage.streams.backlog cimport Backlog

cdef Py_ssize_t MOST_WAITING

@cython.final
cdef class Promises:
    cdef object _account, _commits
    cdef Port _port, _asker
    cdef Backlog _backlog
    cdef long long _turn
    cdef dict _batch
    cdef Answers _answers
    cdef Py_ssize_t _waiting
    cpdef bint has_room(self) except -1
    @cython.locals(answers=Answers)
    cpdef promise(self, bytes reply, Port asker, bytes payload)
