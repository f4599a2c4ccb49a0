cimport cython
from gateway.dataplane.deliveries cimport FanOut
from gateway.dataplane.port cimport Port
from gateway.dataplane.router cimport Router
from protocols.message cimport Message, make_plain_message

cdef Py_ssize_t ANSWERS_AT_ONCE

@cython.final
cdef class Answers:
    cdef readonly Py_ssize_t size
    cdef Router _router
    cdef Port _asker, _source
    cdef object _unwrap
    cdef list _replies, _bodies, _events
    cdef Py_ssize_t _position
    cdef FanOut _told
    cpdef add(self, bytes reply, bytes body)
    @cython.locals(router=Router, asker=Port, source=Port, count=Py_ssize_t, stop=Py_ssize_t, reply=bytes, body=bytes,
                   message=Message)
    cpdef bint go_on(self) except -1
