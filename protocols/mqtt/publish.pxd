cimport cython
from protocols.message cimport Burst, Message, make_plain_message
from protocols.mqtt.published_topics cimport PublishedTopic, PublishedTopics
from protocols.scanning cimport copy_into, cut, cut_buffer, repeats_at

cdef int TYPE, TYPE_MASK, TYPE_QOS_1, TYPE_QOS_2, DUP, RETAIN, SHORT, MORE, MQTT_5_0
cdef bytes NO_PROPERTIES, RETAIN_HEADER
cdef bytearray NOTHING, _head
cdef Py_ssize_t LONGEST_STRING, LARGEST_VARINT, SHORT_TOPIC

@cython.final
cdef class Publish:
    cdef public bytes topic, payload
    cdef public int qos, packet_id
    cdef public bint retain, dup
    cdef public object properties

@cython.final
cdef class PublishRun:
    cdef readonly list messages, packet_ids
    cdef readonly int qos
    cdef public Py_ssize_t retained, retained_bytes
    @cython.locals(message=Message)
    cpdef bint all_delivered(self) except -1

@cython.final
cdef class PublishReader:
    cdef bint _from_client
    cdef PublishRun _run
    cdef public int version
    cdef public long long room
    cdef public Py_ssize_t max_packet_size, max_payload, max_levels, max_user_properties
    cdef public PublishedTopics topics
    @cython.locals(end=Py_ssize_t, body=Py_ssize_t, size=Py_ssize_t, stop=Py_ssize_t)
    cpdef Py_ssize_t read(self, bytes data, Py_ssize_t position, list events) except -1
    @cython.locals(start=Py_ssize_t, here=Py_ssize_t, begin=Py_ssize_t, topic=bytes, topics=PublishedTopics,
                   judged=PublishedTopic, five=bint, first=int, publish=Publish)
    cdef Py_ssize_t _read_packet(self, bytes data, Py_ssize_t position, Py_ssize_t body, Py_ssize_t stop,
                                 list events) except -1
    @cython.locals(five=bint, run_end=Py_ssize_t, count=Py_ssize_t, burst=Burst, message=Message, packet=bytes)
    cdef Py_ssize_t _read_plain(self, PublishedTopic judged, bytes data, Py_ssize_t position, Py_ssize_t here,
                                Py_ssize_t stop, list events) except -1
    @cython.locals(qos=int, packet_id=int, run=PublishRun, message=Message)
    cdef int _read_numbered(self, PublishedTopic judged, int first, bytes data, Py_ssize_t here, Py_ssize_t begin,
                            Py_ssize_t stop, list events) except -1

@cython.locals(content=bytes)
cdef int retain(Message message) except -1

@cython.locals(publish=Publish)
cdef Publish make_publish(bytes topic, bint retain)

@cython.locals(size=Py_ssize_t, end=Py_ssize_t, lead=Py_ssize_t)
cdef Py_ssize_t find_run_end(bytes data, Py_ssize_t position, Py_ssize_t lead_end, Py_ssize_t stop) except -1

cdef Py_ssize_t _read_delivery(Publish publish, int first, bytes data, Py_ssize_t position,
                               Py_ssize_t stop) except -1

cdef Py_ssize_t _read_properties(Publish publish, bint from_client, bytes data, Py_ssize_t position,
                                 Py_ssize_t stop, Py_ssize_t max_user_properties) except -1

@cython.locals(first=int, middle=bytearray, block=bytes)
cpdef bytes encode_publish(int version, bytes topic, bytes payload, int qos, int packet_id, bint retain, bint dup,
                           object properties=*)

@cython.locals(topic_size=Py_ssize_t, rest=Py_ssize_t, end=Py_ssize_t, head=bytearray, begin=bytes)
cpdef bytes publish_head(int version, bytes topic, Py_ssize_t payload_size, int qos, int packet_id)

@cython.locals(size=Py_ssize_t, begin=bytearray)
cdef bytearray _encode_begin(int first, Py_ssize_t topic_size, Py_ssize_t rest)
