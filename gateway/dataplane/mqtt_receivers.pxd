cimport cython
from gateway.dataplane.outbox cimport Outbox
from gateway.dataplane.port cimport Port, Receiver
from protocols.message cimport Burst, Message

cdef class MqttSubscription(Receiver):
    cdef public int qos

cdef class MqttRoute(Receiver):
    cdef readonly bytes topic
    cdef readonly int qos
    cdef readonly Py_ssize_t limit
    @cython.locals(port=Port, outbox=Outbox, packet=bytes)
    cpdef bint deliver(self, Message message, Port source) except -1
    @cython.locals(port=Port, outbox=Outbox, packets=bytes)
    cpdef deliver_burst(self, Burst burst, Port source)
