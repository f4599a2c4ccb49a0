cimport cython
from protocols.websocket.masking cimport Unmasking

cdef int FIN, RSV1, RESERVED, OPCODE, CONTROL, TEXT, BINARY, CLOSE, PING, PONG, WHOLE_BINARY
cdef int MASKED, MEDIUM, SHORTEST_HEAD, LARGEST_CONTROL_PAYLOAD
cdef Py_ssize_t FRAME_COST, PIECE_COST, MOST_PINGS_ANSWERED
cdef int ALWAYS, GOES_ON, BEGINS, BEGINS_TEXT, BEGINS_COMPRESSED, BEGINS_COMPRESSED_TEXT, WITHIN_MESSAGE
cdef Py_ssize_t KEY_SIZE
cdef bytes KINDS

@cython.final
cdef class FrameDecoder:
    cdef public bint stopped, has_more
    cdef object _deflate, _utf8
    cdef int _legal, _between
    cdef bytes _pending, _key
    cdef Py_ssize_t _pending_from, _room, _slice_size
    cdef long long _left
    cdef bint _final, _inflating

    @cython.locals(run=Unmasking, position=Py_ssize_t, pieces=list, pings=list, endings=list)
    cpdef list receive(self, bytes data)
    @cython.locals(end=Py_ssize_t, start=Py_ssize_t, first=int, size="long long")
    cdef _decode(self, bytes data, Py_ssize_t position, Unmasking run, list pieces, list pings, list endings)
    cdef _begin_frame(self, int first, long long size)
    @cython.locals(stop=Py_ssize_t, turn=Py_ssize_t)
    cdef Py_ssize_t _take_payload(self, bytes data, Py_ssize_t start, Py_ssize_t end, bytes keys, Py_ssize_t key_at,
                                  Unmasking run, list pieces) except -1
    cdef _go_on(self, list pieces)
    cdef bint _holds_back(self) except -1
    cdef _end_message(self)
    @cython.locals(ends=cython.bint)
    cdef bytes _check_payload(self, bytes payload, bint is_new)
    cdef _take_control(self, int opcode, bytes data, Py_ssize_t start, Py_ssize_t stop, list pings, list endings)

@cython.locals(run=Unmasking)
cdef bytes read_control(bytes data, Py_ssize_t start, Py_ssize_t stop)

@cython.locals(last=list, payloads=list, i=Py_ssize_t)
cdef object read_pings(bytes data, list places)

@cython.locals(size="long long", i=Py_ssize_t)
cdef long long read_size(bytes data, Py_ssize_t start, Py_ssize_t stop) except -1
