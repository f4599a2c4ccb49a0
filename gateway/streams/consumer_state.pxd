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
    @cython.locals(pending=Pending, runs=list, first="long long", number="long long", count="long long")
    cdef list _pending_runs(self)
    @cython.locals(runs=list, first="long long", times="long long", count="long long")
    cdef list _repeat_runs(self)
    @cython.locals(found=list)
    cpdef list front(self, long long sequence, Py_ssize_t most)

@cython.final
cdef class Sweep:
    cdef readonly double next_at
    cdef double _now
    cdef Py_ssize_t _position
    cdef list _sequences
    @cython.locals(sequences=list, pending=dict, again=dict, found=list, stop=Py_ssize_t, position=Py_ssize_t,
                   one=Pending)
    cpdef list look(self, ConsumerState state, Py_ssize_t most)
