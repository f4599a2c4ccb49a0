cimport cython
from protocols.websocket.masking cimport Unmasking

cdef int FIN, RSV1, RESERVED, OPCODE, CONTROL, TEXT, BINARY, CLOSE, PING, PONG, WHOLE_BINARY
cdef int MASKED, MEDIUM, SHORTEST_HEAD, LARGEST_CONTROL_PAYLOAD
cdef int ALWAYS, GOES_ON, BEGINS, BEGINS_TEXT, BEGINS_COMPRESSED, BEGINS_COMPRESSED_TEXT, WITHIN_MESSAGE
cdef Py_ssize_t KEY_SIZE
cdef bytes KINDS

@cython.final
cdef class FrameDecoder:
    cdef public bint stopped
    cdef object _deflate, _utf8
    cdef int _legal, _between
    cdef bytes _pending, _key
    cdef long long _left
    cdef bint _final, _inflating

    @cython.locals(run=Unmasking)
    cpdef list receive(self, bytes data)
    @cython.locals(position=Py_ssize_t, end=Py_ssize_t, start=Py_ssize_t, first=int, size="long long")
    cdef _decode(self, bytes data, Unmasking run, list pieces, list events)
    cdef _begin_frame(self, int first, long long size)
    @cython.locals(stop=Py_ssize_t, turn=Py_ssize_t)
    cdef Py_ssize_t _take_payload(self, bytes data, Py_ssize_t start, Py_ssize_t end, bytes keys, Py_ssize_t key_at,
                                  Unmasking run, list pieces) except -1
    @cython.locals(ends=cython.bint)
    cdef bytes _check_payload(self, bytes payload)
    @cython.locals(run=Unmasking)
    cdef _take_control(self, int opcode, bytes data, Py_ssize_t start, Py_ssize_t stop, list events)

@cython.locals(size="long long", i=Py_ssize_t)
cdef long long read_size(bytes data, Py_ssize_t start, Py_ssize_t stop) except -1
