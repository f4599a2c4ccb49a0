cimport cython
from gateway.streams.consumer_state cimport ConsumerState
from gateway.streams.supply cimport Supply
from protocols.message cimport Message, make_plain_message
from protocols.nats.stream_replies cimport make_reply

cdef Py_ssize_t MESSAGE_BYTES

@cython.final
cdef class Run:
    cdef bytes _lead
    cdef list _sequences, _kept
    cdef public ConsumerState state
    cdef public Supply supply
    cdef public bint headers_only
    cdef public tuple field
    cdef readonly list messages
    cdef readonly Py_ssize_t size, next_size
    @cython.locals(supply=Supply, number=cython.longlong, messages=list, size=Py_ssize_t, count=Py_ssize_t,
                   header=bytes, payload=bytes, kept=Py_ssize_t, left=Py_ssize_t, reply=bytes, body=bytes,
                   message_size=Py_ssize_t, message=Message)
    cpdef Py_ssize_t fill(self, Py_ssize_t most, Py_ssize_t room, bint whole, Py_ssize_t ahead) except -1
    @cython.locals(state=ConsumerState, index=Py_ssize_t, message=Message)
    cpdef settle(self, Py_ssize_t taken, double deadline, bint acknowledged)
