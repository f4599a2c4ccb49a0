cimport cython
from gateway.dataplane.deliveries cimport FanOut
from gateway.dataplane.port cimport Port, Receiver
from gateway.dataplane.resolving cimport Resolution
from gateway.dataplane.routes cimport make_routes
from gateway.dataplane.subject_tree cimport Interest, SubjectTree, Walk
from protocols.message cimport Burst, Message

cdef Py_ssize_t LOOKED_AT_ONCE

cdef class Search:
    cdef public object event
    cdef readonly bytes subject
    cdef readonly list found
    cdef Walk walk
    cdef readonly Resolution making
    cdef readonly bint familiar
    cdef readonly long long changes
    cdef public bint retains
    cpdef bint go_on(self) except -1

cdef class Telling(FanOut):
    cdef list _combined, _found, _interests, _plain
    cdef Port _port
    cdef bytes _subject
    cdef Walk _walk
    cdef bint _once
    cdef Py_ssize_t _index, _place
    cdef readonly Py_ssize_t looked
    cpdef bint go_on(self, Port source) except -1
    @cython.locals(left=Py_ssize_t, plain=list, stop=Py_ssize_t, place=Py_ssize_t, receiver=Receiver, interest=Interest)
    cdef bint _look_on(self, list interests) except -1
    @cython.locals(route=Receiver)
    cdef bint _end_looking(self) except -1
