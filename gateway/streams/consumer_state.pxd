cimport cython

# It holds nothing but bytes and numbers, so no circle can go through it.
@cython.final
@cython.no_gc
@cython.freelist(1024)
cdef class Pending:
    cdef public long long number
    cdef public double deadline
    cdef public bytes subject
    cdef public Py_ssize_t size

@cython.final
cdef class ConsumerState:
    cdef public dict pending, deliveries, again
    cdef public set only
    cdef public list only_in_order
    cdef public long long only_until, delivered_ns, acknowledged_ns, next, number, last
    cdef long long _floor_number, _floor_last
    cdef bint _floor_is_old
    cpdef deliver(self, long long sequence)
    @cython.locals(pending=Pending)
    cpdef expect(self, long long sequence, double deadline, bytes subject, Py_ssize_t size)
    cpdef Py_ssize_t next_count(self, long long sequence) except -1
    @cython.locals(pending=Pending)
    cpdef deliver_again(self, long long sequence, double deadline, bytes subject, Py_ssize_t size)
    @cython.locals(settled=Pending)
    cpdef Pending settle(self, long long sequence)
    @cython.locals(pending=Pending)
    cpdef list settle_through(self, long long sequence)
    @cython.locals(pending=Pending, first=double)
    cpdef double next_deadline(self) except? -1
    @cython.locals(pending=Pending, found=list)
    cpdef list due(self, double now)
