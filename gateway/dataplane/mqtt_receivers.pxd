cimport cython
from gateway.dataplane.mqtt_window cimport QueuedPublish, Window
from gateway.dataplane.outbox cimport Outbox
from gateway.dataplane.port cimport Port, Receiver
from protocols.message cimport Burst, Message
from protocols.mqtt.publish cimport encode_publish, publish_head
from protocols.mqtt.published_topics cimport topic_of

cdef int MQTT_5_0, DOLLAR

cdef class MqttPort(Port):
    cdef public int version
    cdef public Py_ssize_t limit, high_water, max_packet_size
    cdef public Window outgoing
    cdef public dict aliases
    cdef public long long oversized
    cdef public bint durable
    cdef public bytes beyond
    cdef public object remapping
    cpdef bytes topic_for(self, bytes subject)
    cpdef bint has_been_beyond(self, Message message) except -1
    cpdef bint takes_plain(self, Message message) except -1
    @cython.locals(message=Message, topic=bytes, outbox=Outbox, head=bytes)
    cpdef bint send_plain(self, QueuedPublish publish) except -1

cdef class MqttSubscription(Receiver):
    cdef readonly MqttPort session
    cdef readonly int qos
    cdef readonly bint no_local, retain_as_published
    cdef readonly Py_ssize_t identifier
    cpdef bint is_durable(self) except -1
    @cython.locals(route=MqttRoute)
    cpdef Receiver alone(self)

cdef class MqttShare(Receiver):
    cdef readonly MqttPort session
    cdef readonly int qos
    cdef readonly bint retain_as_published
    cdef readonly Py_ssize_t identifier
    cdef MqttRoute _route
    cpdef bint is_durable(self) except -1
    cpdef bint deliver(self, Message message, Port source) except -1
    cpdef bint keep(self, Message message) except -1
    cdef bint _deliver(self, Message message) except -1

cdef class MqttRoute(Receiver):
    cdef readonly MqttPort session
    cdef readonly bytes topic
    cdef readonly int qos
    cdef readonly bint plain, retain_as_published
    cdef readonly tuple identifiers
    cdef public bint selective, follows, hides_dollar
    cdef public MqttRoute own
    cpdef bint is_durable(self) except -1
    @cython.locals(session=MqttPort, outbox=Outbox, packet=bytes, size=Py_ssize_t)
    cpdef bint deliver(self, Message message, Port source) except -1
    @cython.locals(session=MqttPort, outbox=Outbox, packets=bytes, alike=bint, shared=bint, size=Py_ssize_t)
    cpdef deliver_burst(self, Burst burst, Port source)
    @cython.locals(hidden=bint)
    cdef bint _leads_to(self, bytes subject) except -1
    @cython.locals(session=MqttPort, qos=int, packet_id=int)
    cdef bint _send_numbered(self, Message message, Outbox outbox) except -1
    @cython.locals(session=MqttPort, retained=bint, size=Py_ssize_t)
    cdef bytes _packet(self, Message message)
    @cython.locals(five=bint, packets=bytes)
    cdef bytes _packets(self, Burst burst)

@cython.locals(route=MqttRoute)
cdef MqttRoute any_route(MqttPort session, bytes subject_filter, int qos, bint retain_as_published,
                         Py_ssize_t identifier)
