cimport cython
from gateway.dataplane.flows cimport Flows
from gateway.dataplane.outbox cimport Outbox
from gateway.dataplane.verdicts cimport ReplyRights, Verdicts
from protocols.message cimport Burst, Message

cdef class Port:
    cdef object __weakref__
    cdef public Outbox outbox
    cdef public bint echo, headers, leaf
    cdef public Verdicts may_publish, may_receive
    cdef public ReplyRights replies
    cdef public Flows flows
    # Counters for the whole life of a connection: Py_ssize_t would end at 2 GiB on a 32-bit board.
    cdef public long long in_messages, in_bytes, dropped, effort, retained, retained_bytes

cdef class Receiver:
    cdef public Port port
    cdef readonly bytes subject, queue
    cdef public Py_ssize_t slot, dear
    cdef public bint combines, filtered, shared, local_only, onlooker, untold
    cpdef bint leads(self, bytes subject) except -1
    cpdef bint is_durable(self) except -1
    cpdef bint deliver(self, Message message, Port source) except -1
    cpdef bint keep(self, Message message) except -1
    cpdef deliver_burst(self, Burst burst, Port source)
    cpdef Receiver alone(self)
    @cython.locals(message=Message, taken=Py_ssize_t)
    cpdef Py_ssize_t deliver_run(self, list messages, Port source) except -1
