cimport cython
from gateway.dataplane.outbox cimport Outbox
from protocols.message cimport Burst, Message

cdef class Port:
    cdef object __weakref__
    cdef public Outbox outbox
    cdef public bint echo, headers, leaf
    # Counters for the whole life of a connection: Py_ssize_t would end at 2 GiB on a 32-bit board.
    cdef public long long in_messages, in_bytes, dropped, retained, retained_bytes

cdef class Receiver:
    cdef public Port port
    cdef readonly bytes subject, queue
    cdef public Py_ssize_t slot
    cdef public bint combines, shared, local_only
    cpdef bint is_durable(self) except -1
    cpdef bint deliver(self, Message message, Port source) except -1
    cpdef bint keep(self, Message message) except -1
    cpdef deliver_burst(self, Burst burst, Port source)
    cpdef Receiver alone(self)
