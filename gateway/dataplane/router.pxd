cimport cython
from gateway.dataplane.nats_receivers cimport LeafPort, LeafRoute
from gateway.dataplane.port cimport Port, Receiver
from gateway.dataplane.subject_tree cimport Interest, SubjectTree
from protocols.cache cimport GenerationCache
from protocols.message cimport Burst, Message

cdef class Group:
    cdef readonly bytes name
    cdef readonly list members
    cdef public list links
    @cython.locals(members=list, count=Py_ssize_t, start=Py_ssize_t, offset=Py_ssize_t, receiver=Receiver)
    cpdef bint deliver(self, Message message, Port source) except -1
    @cython.locals(members=list, count=Py_ssize_t, start=Py_ssize_t, offset=Py_ssize_t, receiver=Receiver)
    cpdef bint keep(self, Message message) except -1

@cython.final
@cython.no_gc
cdef class Bucket:
    cdef public long long changes

cdef class Routes:
    cdef public list plain, groups, links
    cdef public bint general, follow
    cdef public Py_ssize_t durable
    cdef public Bucket bucket
    cdef public long long changes
    cdef public Py_ssize_t size

cdef Py_ssize_t ROUTES_BYTES, ROUTE_BYTES, POINTER_BYTES

cdef Bucket NEVER
cdef list NOBODY
cdef Routes NOWHERE

@cython.locals(routes=Routes)
cdef Routes make_routes()

cdef Py_ssize_t SHARE

cdef class FanOut:
    cdef readonly object event
    cdef readonly Routes routes
    cdef readonly Py_ssize_t position, delivered
    @cython.locals(plain=list, stop=Py_ssize_t, index=Py_ssize_t, receiver=Receiver)
    cpdef bint go_on(self, Port source) except -1

cdef class Router:
    cdef readonly SubjectTree tree
    cdef GenerationCache _cache
    cdef dict _routes
    cdef list _found, _observers, _buckets
    cdef object _retainer
    cdef readonly long long resolved
    cdef Py_ssize_t _steps
    @cython.locals(count=Py_ssize_t, size=Py_ssize_t, received=Py_ssize_t, left=Py_ssize_t, fan_out=Py_ssize_t,
                   message=Message, burst=Burst, last=Message, routes=Routes, begun=FanOut, retained=bint, stored=bint)
    cpdef Py_ssize_t forward(self, list events, Py_ssize_t index, Port source, bint whole=*) except -1
    @cython.locals(routes=Routes, retained=bint, stored=bint)
    cpdef Py_ssize_t publish(self, Message message, Port source, bytes subject=*, bint whole=*) except -1
    @cython.locals(places=Py_ssize_t)
    cdef bint _reserve(self, Message message, Routes routes, bint retained) except -1
    @cython.locals(message=Message, taken=Py_ssize_t)
    cdef _reserve_burst(self, Burst burst, Routes routes)
    cdef _retain(self, Message message, Port source)
    @cython.locals(routes=Routes)
    cpdef Routes _resolve(self, bytes subject)
    @cython.locals(bucket=Bucket, found=list, interest=Interest, routes=Routes)
    cdef Routes _remember(self, bytes subject)
    @cython.locals(found=list, interest=Interest, routes=Routes)
    cdef Routes _route_once(self, bytes subject)

@cython.locals(delivered=Py_ssize_t, receiver=Receiver)
cdef int deliver(Message message, Routes routes, Port source) except -1

@cython.locals(link=LeafRoute)
cdef int deliver_beyond(Message message, Routes routes, Port source, Py_ssize_t delivered) except -1

@cython.locals(receiver=Receiver)
cdef deliver_burst(Burst burst, Routes routes, Port source)

@cython.locals(link=LeafRoute)
cdef deliver_burst_beyond(Burst burst, Routes routes, Port source)

@cython.locals(delivered=Py_ssize_t, group=Group, route=LeafRoute)
cdef Py_ssize_t deliver_to_groups(Message message, Routes routes, Port source) except -1

@cython.locals(routes=Routes, plain=list, combining=bint, grouped=bint, linked=bint, interest=Interest,
               receiver=Receiver, own=Py_ssize_t, group=Group)
cdef Routes resolve(bytes subject, list interests, bint general)

@cython.locals(receiver=Receiver, group=Group, durable=Py_ssize_t)
cdef Py_ssize_t count_durable(Routes routes) except -1

@cython.locals(routes=list, receiver=Receiver)
cdef bint add_alone(Interest interest, list plain) except -1

@cython.locals(interest=Interest, receiver=Receiver)
cdef combine(bytes subject, list interests, list plain)

@cython.locals(groups=list, members=dict, interest=Interest)
cdef list groups_of(list interests)

@cython.locals(receiver=Receiver)
cdef bint are_shared(list members) except -1
