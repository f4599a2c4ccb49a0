cimport cython
from protocols.scanning cimport copy_into, cut, cut_buffer, cut_ends, write_number

cdef list SIZE_LINES
cdef bytearray control_line
cdef int SPACE, CR, LF
cdef bytes WITH_HEADER, WITHOUT_HEADER
cdef Py_ssize_t ROOM_AROUND

# It holds nothing but bytes and a number, so no circle can go through it.
@cython.final
@cython.no_gc
@cython.freelist(1024)
cdef class Message:
    cdef public bytes subject, reply
    cdef public Py_ssize_t header_size, size
    cdef public bytes tail, lead, content, headerless, mqtt3, mqtt5
    cdef public tuple queues
    cdef public int qos
    cdef public bint refused
    cdef public Py_ssize_t delivered
    cdef public object record, header_contents
    @cython.locals(lead=bytes)
    cpdef bytes make_lead(self)
    cpdef bytes make_tail(self)
    @cython.locals(end=Py_ssize_t, packet=bytes)
    cpdef bytes body(self)
    @cython.locals(subject=bytes, reply=bytes, known=Py_ssize_t, operation=bytes, at=Py_ssize_t)
    cpdef bytes nats_head(self, bytes address)
    cpdef bytes payload(self)
    cpdef set_body(self, bytes body)
    cpdef bint is_retained(self) except -1
    cpdef bytes headerless_tail(self)
    cpdef bytes tail_after_reply(self)

@cython.locals(message=Message)
cpdef Message make_plain_message(bytes subject, Py_ssize_t size, int qos)

@cython.locals(copy=Message)
cpdef Message readdressed(Message message, bytes subject)

@cython.final
cdef class Burst:
    cdef readonly bytes subject
    cdef readonly Py_ssize_t header_size, message_size, count
    cdef readonly tuple queues
    cdef public bytes mqtt3, mqtt5
    cdef public int qos
    cdef list _contents, _messages
    cdef bytes _head
    cdef list _pieces
    @cython.locals(run=bytes)
    cpdef list contents(self)
    @cython.locals(copy=Burst)
    cpdef Burst readdressed(self, bytes subject)
    @cython.locals(lead=bytes, between=bytes, contents=list, pieces=list)
    cpdef list nats_pieces(self, bytes head)
    @cython.locals(lead=Py_ssize_t)
    cpdef Py_ssize_t nats_size(self, bytes head) except -1
    cpdef list messages(self)
    cpdef Message last_retained(self)
    cpdef list payloads(self)
    cdef Message _message(self, object content)

@cython.locals(message=Message)
cpdef Message make_message(bytes subject, bytes payload, bytes reply=*, bytes header=*)
