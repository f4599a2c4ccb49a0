cimport cython
from gateway.dataplane.outbox cimport Outbox
from gateway.dataplane.port cimport Port, Receiver
from protocols.message cimport Burst, Message
from protocols.mqtt.publish cimport encode_publish, publish_lead

cdef class MqttPort(Port):
    cdef public int version
    cdef public Py_ssize_t limit, max_packet_size
    cdef public dict aliases
    cdef public bint durable

cdef class MqttSubscription(Receiver):
    cdef readonly MqttPort session
    cdef readonly int qos
    cdef readonly bint no_local, retain_as_published
    cdef readonly Py_ssize_t identifier
    cpdef bint is_durable(self) except -1

cdef class MqttShare(Receiver):
    cdef readonly MqttPort session
    cdef readonly int qos
    cdef readonly bint retain_as_published
    cdef readonly Py_ssize_t identifier
    cdef MqttRoute _route
    cpdef bint is_durable(self) except -1
    cpdef bint deliver(self, Message message, Port source) except -1
    cpdef bint keep(self, Message message) except -1
    @cython.locals(route=MqttRoute)
    cdef bint _deliver(self, Message message) except -1

cdef class MqttRoute(Receiver):
    cdef readonly MqttPort session
    cdef readonly bytes topic
    cdef readonly int qos
    cdef readonly bint plain, retain_as_published
    cdef readonly tuple identifiers
    cdef public bint selective
    cdef public MqttRoute own
    @cython.locals(session=MqttPort, outbox=Outbox, packet=bytes, size=Py_ssize_t)
    cpdef bint deliver(self, Message message, Port source) except -1
    @cython.locals(session=MqttPort, outbox=Outbox, packets=bytes, shared=bint, size=Py_ssize_t)
    cpdef deliver_burst(self, Burst burst, Port source)
    @cython.locals(session=MqttPort)
    cdef bytes _packet(self, Message message)
    @cython.locals(five=bint, packets=bytes)
    cdef bytes _packets(self, Burst burst)
