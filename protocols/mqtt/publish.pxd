cimport cython
from protocols.cache cimport GenerationCache
from protocols.scanning cimport cut, cut_ends, repeats_at

cdef int TYPE, TYPE_MASK, TYPE_QOS_1, TYPE_QOS_2, DUP, RETAIN, SHORT, MORE, PLUS, HASH, MQTT_5_0
cdef bytes NO_PROPERTIES
cdef bytearray NOTHING
cdef Py_ssize_t LONGEST_STRING, LARGEST_VARINT

@cython.final
cdef class Publish:
    cdef public bytes topic, payload, packet
    cdef public int qos, packet_id
    cdef public bint retain, dup
    cdef public object properties

@cython.final
cdef class PublishRun:
    cdef readonly bytes topic, packets
    cdef readonly Py_ssize_t count, payload_size
    cdef readonly int qos
    cdef readonly list packet_ids

@cython.locals(end=Py_ssize_t, first=int, body=Py_ssize_t, size=Py_ssize_t, stop=Py_ssize_t)
cpdef Py_ssize_t read_publishes(bytes data, Py_ssize_t position, int version, bint from_client,
                                Py_ssize_t max_packet_size, list events) except -1

@cython.locals(start=Py_ssize_t, here=Py_ssize_t, topic=bytes, checked=bytes, topics=GenerationCache, first=int, lead_end=Py_ssize_t,
               run_end=Py_ssize_t, count=Py_ssize_t, publish=Publish, payload_size=Py_ssize_t, packets=bytes, packet_ids=list)
cdef Py_ssize_t _read_packet(bytes data, Py_ssize_t position, Py_ssize_t body, Py_ssize_t stop, int version,
                             bint from_client, list events) except -1

@cython.locals(publish=Publish)
cdef Publish make_publish(bytes topic, bint retain)

@cython.locals(packet_ids=list, end=Py_ssize_t, at=Py_ssize_t, packet_id=int, alike=bint)
cdef list read_packet_ids(bytes data, Py_ssize_t position, Py_ssize_t lead, Py_ssize_t size, int version)

@cython.locals(size=Py_ssize_t, end=Py_ssize_t, lead=Py_ssize_t)
cdef Py_ssize_t find_run_end(bytes data, Py_ssize_t position, Py_ssize_t lead_end, Py_ssize_t stop) except -1

@cython.locals(topics=GenerationCache)
cdef bytes _check_topic(bytes topic, int version)

@cython.locals(character=int)
cdef bint is_plain_topic(bytes topic) except -1

cdef Py_ssize_t _read_delivery(Publish publish, int first, bytes data, Py_ssize_t position,
                               Py_ssize_t stop) except -1

cdef Py_ssize_t _read_properties(Publish publish, bint from_client, bytes data, Py_ssize_t position,
                                 Py_ssize_t stop) except -1

@cython.locals(first=int, middle=bytearray, block=bytes)
cpdef bytes encode_publish(int version, bytes topic, bytes payload, int qos, int packet_id, bint retain, bint dup,
                           object properties=*)

@cython.locals(block=bytes)
cpdef bytes publish_lead(int version, bytes topic, Py_ssize_t payload_size)

@cython.locals(block=bytes)
cpdef tuple numbered_lead(int version, bytes topic, Py_ssize_t payload_size, int qos)

@cython.locals(size=Py_ssize_t, begin=bytearray)
cdef bytearray _encode_begin(int first, Py_ssize_t topic_size, Py_ssize_t rest)
