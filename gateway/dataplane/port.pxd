cimport cython
from gateway.dataplane.outbox cimport Outbox
from protocols.message cimport Message

cdef class Port:
    cdef object __weakref__
    cdef public Outbox outbox
    cdef public bint echo, headers, leaf
    cdef public Py_ssize_t in_messages, in_bytes

cdef class Receiver:
    cdef public Port port
    cdef readonly bytes subject, queue
    cdef public Py_ssize_t slot
    cdef public bint combines
    cpdef bint deliver(self, Message message, Port source) except -1

cdef class NatsSubscription(Receiver):
    cdef readonly bytes sid
    cdef public Py_ssize_t delivered, maximum
    cdef bytes _aimed_at, _head
    @cython.locals(port=Port, outbox=Outbox, tail=bytes)
    cpdef bint deliver(self, Message message, Port source) except -1

cdef class LeafRoute(Receiver):
    cdef public Py_ssize_t max_payload, refused
    cdef public bint permitted
    cdef bytes _head, _queue_names
    @cython.locals(outbox=Outbox, head=bytes, tail=bytes)
    cpdef bint deliver(self, Message message, Port source) except -1

cdef class LeafInterest(Receiver):
    pass
