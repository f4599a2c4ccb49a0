cimport cython
from gateway.dataplane.mqtt_window cimport QueuedPublish, Window, make_queued
from protocols.message cimport Message

cdef class OutgoingQueue(Window):
    cdef public long long bytes, max_bytes
    cdef public Py_ssize_t max_messages
    cdef public object ready, holding
    cdef public int most_qos
    cdef bint _loading
    cdef readonly bint lacks_memory
    cdef public long long sent_through
    cdef long long _committed
    cdef object _awaited
    @cython.locals(idle=bint, on_disk=bint, sequence=cython.longlong)
    cpdef bint add(self, Message message, bytes topic, int qos, bint retain, tuple identifiers, double expires_at,
                   bint away) except -1
    @cython.locals(sent=dict, publish=QueuedPublish)
    cpdef QueuedPublish take(self)
