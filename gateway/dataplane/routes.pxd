cimport cython
from gateway.dataplane.port cimport Port, Receiver
from protocols.message cimport Message

cdef class Group:
    cdef readonly bytes name, subject
    cdef readonly list weights
    cdef public list links, members
    cdef public bint dear, durable
    @cython.locals(members=list, count=Py_ssize_t, start=Py_ssize_t, offset=Py_ssize_t, receiver=Receiver)
    cpdef bint deliver(self, Message message, Port source) except -1
    @cython.locals(members=list, count=Py_ssize_t, start=Py_ssize_t, offset=Py_ssize_t, receiver=Receiver)
    cpdef bint keep(self, Message message) except -1

cdef class Offer:
    cdef readonly bint keeping, taken
    cdef list _members
    cdef Py_ssize_t _left
    @cython.locals(members=list, count=Py_ssize_t, first=Py_ssize_t, stop=Py_ssize_t, position=Py_ssize_t,
                   receiver=Receiver)
    cpdef bint go_on(self, Message message, Port source) except -1

@cython.final
@cython.no_gc
cdef class Bucket:
    cdef public long long changes

cdef class Routes:
    cdef public list plain, groups, links, borders
    cdef public bint general, follow, crowded
    cdef public Py_ssize_t durable, dear
    cdef public Bucket bucket
    cdef public long long changes
    cdef public Py_ssize_t size


@cython.locals(routes=Routes)
cpdef Routes make_routes()
