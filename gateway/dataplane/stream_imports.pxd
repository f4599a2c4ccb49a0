cimport cython
from gateway.dataplane.port cimport Port, Receiver
from gateway.dataplane.deliveries cimport BorderRoute, Carrying
from gateway.dataplane.router cimport Router
from gateway.dataplane.subject_tree cimport Interest
from protocols.message cimport Burst, Message

cdef Py_ssize_t LOOKED_AT_AS_DELIVERED

cdef class SharingPort(Port):
    pass

cdef class ImportPort(SharingPort):
    cdef readonly Router router
    cdef readonly ImportPort from_link
    cdef object _local_of
    @cython.locals(local=bytes)
    cpdef bytes local_of(self, bytes subject)
    cpdef ImportPort source_of(self, Port source)

cdef class ImportedInterest(Receiver):
    cdef readonly ImportPort imported

cdef class ImportedGroup(Receiver):
    cdef readonly ImportPort imported
    cdef Interest _interest
    @cython.locals(member=Receiver)
    cpdef bint is_durable(self) except -1
    @cython.locals(imported=ImportPort, local=bytes, members=list, copy=Message, taken=bint)
    cpdef bint deliver(self, Message message, Port source) except -1
    cdef list _members(self)

cdef class ImportRoute(BorderRoute):
    cdef ImportPort _imported
    cdef bytes _of, _local, _lead
    cdef bint _follows
    @cython.locals(imported=ImportPort, copy=Message, taken=Py_ssize_t)
    cpdef bint deliver(self, Message message, Port source) except -1
    @cython.locals(imported=ImportPort)
    cpdef deliver_burst(self, Burst burst, Port source)
    cpdef Py_ssize_t reach(self, bytes subject) except -1
    @cython.locals(imported=ImportPort, copy=Message)
    cpdef Carrying begin(self, object event, Port source)
    cdef bint _leads_to(self, bytes subject) except -1
