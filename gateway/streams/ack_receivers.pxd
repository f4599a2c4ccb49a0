cimport cython
from gateway.dataplane.port cimport Port, Receiver
from gateway.streams.consumer_state cimport ConsumerState
from protocols.message cimport Message
from protocols.nats.stream_replies cimport Delivery

cdef bytes ACK, OK

cdef class AckReceiver(Receiver):
    cdef object _consumer
    cdef ConsumerState _state
    cdef Delivery _delivery
    cdef public bint has_news, is_simple
    @cython.locals(delivery=Delivery, payload=bytes)
    cpdef bint deliver(self, Message message, Port source) except -1
    cdef _take(self, Delivery delivery, bytes payload, Message message, Port source)

cdef class FlowReceiver(Receiver):
    cdef object _answered
    cpdef bint deliver(self, Message message, Port source) except -1
