cimport cython
from gateway.dataplane.port cimport Port, Receiver
from gateway.dataplane.router cimport Router
from gateway.dataplane.stream_imports cimport SharingPort
from gateway.rules.rule cimport Place, Rule
from protocols.message cimport Message, make_message, readdressed

cdef Py_ssize_t RULE
cdef int DOLLAR, UNDERSCORE

cdef class RulePort(Port):
    cdef readonly Py_ssize_t behind

cdef class RuleReceiver(Receiver):
    cdef RulePort _port
    cdef Rule _rule
    cdef Router _router
    cdef object _clock, _due, _in_order
    cdef bint _named, _passes
    @cython.locals(subject=bytes, payload=bytes, rule=Rule, place=Place, now=double, copy=Message, made=bytes)
    cpdef bint deliver(self, Message message, Port source) except -1
    cpdef bytes _header(self, Message message)
    cpdef _send(self, Message copy, Message message)
    @cython.locals(port=RulePort, left=object)
    cpdef _route(self, Message message)
