cimport cython

@cython.final
cdef class Switch:
    cdef public list touched, congested
    cdef public object publisher, memory, leave, clock
    cdef public long long pending
    @cython.locals(touched=list)
    cpdef flush(self)
    @cython.locals(count=Py_ssize_t, stop=Py_ssize_t)
    cpdef Py_ssize_t flush_some(self, list touched, Py_ssize_t start) except -1
    @cython.locals(index=Py_ssize_t, count=Py_ssize_t, outbox=Outbox)
    cdef _flush(self, list touched, Py_ssize_t start, Py_ssize_t stop)

@cython.final
cdef class Outbox:
    cdef public object sink, encode, publisher
    cdef public Switch switch
    cdef public Py_ssize_t limit
    cdef public long long out_messages, out_bytes
    cdef public bint closed, touched
    cdef list _chunks, _blocks
    cdef Py_ssize_t _queued, _unsent, _counted
    cpdef append(self, bytes head, bytes tail, Py_ssize_t size)
    cpdef append_addressed(self, bytes lead, bytes address, bytes tail, Py_ssize_t size)
    cpdef append_packet(self, bytes packet, Py_ssize_t size)
    cpdef append_burst(self, list pieces, Py_ssize_t wire_size, Py_ssize_t count, Py_ssize_t size)
    cpdef write(self, bytes data)
    cpdef Py_ssize_t pending(self) except -1
    cpdef flush(self)
    cpdef write_wire(self, bytes data)
    cdef _send_gathered(self)
    cdef _send(self, bytes data)
    cdef _wait_with(self, object rest)
    cdef bytes _take(self)
    cdef _append_block(self)
    cdef _hold(self)
    cdef _touch(self)
    @cython.locals(pending=Py_ssize_t, congested=list)
    cdef _check(self)
    cdef _count(self, Py_ssize_t pending)
    cdef _flush_early(self)
