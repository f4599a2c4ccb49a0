cimport cython
from gateway.dataplane.nats_receivers cimport LeafPort
from gateway.dataplane.port cimport Port, Receiver
from gateway.streams.prompt_gets cimport PromptGets
from protocols.message cimport Message

cdef Py_ssize_t PROMPT, EFFORT

cdef class ApiReceiver(Receiver):
    cdef object _api
    cdef PromptGets _gets
    cdef Py_ssize_t _size
    cdef bytes _begin
    @cython.locals(subject=bytes, begin=bytes)
    cpdef bint deliver(self, Message message, Port source) except -1
