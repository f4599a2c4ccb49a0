cimport cython
from gateway.dataplane.outbox cimport Outbox
from gateway.dataplane.port cimport Port, Receiver
from protocols.message cimport Burst, Message

cdef bytes END_OF_PAYLOAD

cdef class NatsSubscription(Receiver):
    cdef readonly bytes sid
    cdef public long long delivered, maximum
    cdef bytes _address, _aimed_at, _head
    @cython.locals(port=Port, outbox=Outbox, lead=bytes, tail=bytes, size=Py_ssize_t, with_header=bint)
    cpdef bint deliver(self, Message message, Port source) except -1
    @cython.locals(port=Port, outbox=Outbox, head=bytes)
    cpdef deliver_burst(self, Burst burst, Port source)
    @cython.locals(port=Port, outbox=Outbox, pieces=list, wire=Py_ssize_t, size=Py_ssize_t, taken=Py_ssize_t,
                   message=Message, head=bytes)
    cpdef Py_ssize_t deliver_run(self, list messages, Port source) except -1

cdef class LeafPort(Port):
    cdef public bint backlog, isolated, uplink
    cdef public bytes cluster
    @cython.locals(link=LeafPort)
    cpdef bint carries(self, Port source) except -1

cdef class LeafRoute(Receiver):
    cdef readonly LeafPort link
    cdef readonly tuple queues
    cdef readonly bint plain
    cdef public Py_ssize_t max_payload
    cdef public bint permitted
    cdef bytes _head, _queue_names
    cdef Py_ssize_t _reply_room
    @cython.locals(outbox=Outbox, head=bytes, tail=bytes, names=bytes, reply=bytes, is_redirected=bint,
                   size=Py_ssize_t)
    cpdef bint deliver(self, Message message, Port source) except -1
    @cython.locals(outbox=Outbox, head=bytes, simple=bint)
    cpdef deliver_burst(self, Burst burst, Port source)

cdef class LeafInterest(Receiver):
    cdef public Py_ssize_t weight
