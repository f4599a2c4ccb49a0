cimport cython
from protocols.message cimport Message

cdef long long LAST_PACKET_ID

# It holds nothing but messages and bytes, so no circle can go through it.
@cython.final
@cython.no_gc
@cython.freelist(128)
cdef class QueuedPublish:
    cdef public Message message
    cdef public bytes topic
    cdef public tuple identifiers
    cdef public long long sequence
    cdef public double expires_at
    cdef public int packet_id, qos
    cdef public bint retain, repeated, doubtful

@cython.locals(publish=QueuedPublish)
cpdef QueuedPublish make_queued(long long sequence, Message message, bytes topic, int qos, bint retain,
                                tuple identifiers, double expires_at)

cdef class Window:
    cdef public Py_ssize_t window, behind
    cdef public long long key, sequence, loaded, flight, charged
    cdef public dict sent
    cdef public object store, waiting
    @cython.locals(sent=dict, sequence=cython.longlong, packet_id=int)
    cpdef int admit(self, Message message, bytes topic, int qos) except -1
    @cython.locals(publish=QueuedPublish, message=Message)
    cpdef bint acknowledge(self, object packet_id, int qos) except -1
    cpdef acknowledge_all(self, list packet_ids, int qos)
    @cython.locals(publish=QueuedPublish, place=Py_ssize_t)
    cpdef Py_ssize_t first_refused(self, list packet_ids, int qos, bint finishes) except -2
    @cython.locals(publish=QueuedPublish, message=Message)
    cpdef bint release(self, object packet_id) except -1
    cpdef list release_all(self, list packet_ids)

cpdef int packet_id_of(long long sequence) except -1
