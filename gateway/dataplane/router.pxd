cimport cython
from gateway.dataplane.deliveries cimport Carrying, FanOut, deliver, deliver_burst, reach_of, work_of
from gateway.dataplane.flows cimport Flows
from gateway.dataplane.nats_receivers cimport LeafRoute
from gateway.dataplane.port cimport Port, Receiver
from gateway.dataplane.resolving cimport Resolution, has_filtered
from gateway.dataplane.routes cimport Bucket, Group, Routes, make_routes
from gateway.dataplane.searching cimport Search, Telling
from gateway.dataplane.subject_tree cimport Interest, SubjectTree, Walk
from gateway.dataplane.verdicts cimport Denied, Verdicts
from protocols.cache cimport GenerationCache
from protocols.message cimport Burst, Message
from protocols.nats.stream_replies cimport lead_of

cdef Bucket NEVER
cdef Routes NOWHERE
cdef Py_ssize_t SHARE

cdef class Drawn:
    cdef readonly list messages
    cdef public Py_ssize_t position

cdef class SearchedCarrying(Carrying):
    cdef Router _router
    cdef Search _search
    cpdef bint go_on(self) except -1

cdef class Router:
    cdef readonly SubjectTree tree
    cdef GenerationCache _cache
    cdef object _flows
    cdef dict _routes
    cdef list _found, _observers, _watchers, _buckets
    cdef object _retainer
    cdef public object mapper
    cdef readonly long long resolved
    cdef Search _search
    @cython.locals(count=Py_ssize_t, size=Py_ssize_t, received=Py_ssize_t, left=Py_ssize_t, fan_out=Py_ssize_t,
                   message=Message, burst=Burst, last=Message, routes=Routes, begun=FanOut, retained=bint, stored=bint,
                   may_publish=Verdicts, flows=Flows, mapped=Message, looked=Py_ssize_t, search=Search, drawn=Drawn,
                   effort="long long", retains=bint)
    cpdef Py_ssize_t forward(self, list events, Py_ssize_t index, Port source, bint whole=*, bint judged=*) except -1
    @cython.locals(events=list, routed=Message)
    cpdef Py_ssize_t publish(self, Message message, Port source, bytes subject=*, bint whole=*) except -1
    @cython.locals(published=Message, mapped=Message, routes=Routes, retained=bint, stored=bint, left=FanOut,
                   search=Search)
    cpdef object begin(self, Message message, Port source, bytes subject=*, bint whole=*, bint retains=*)
    @cython.locals(routes=Routes, receiver=Receiver, taken=Py_ssize_t, message=Message)
    cpdef Py_ssize_t publish_run(self, list messages, Port source, bytes subject) except -1
    cpdef Telling begin_telling(self, Message message, Port port, bytes subject=*, bint once=*)
    cpdef Py_ssize_t reach(self, bytes subject) except -1
    @cython.locals(routes=Routes, mapped=Message)
    cpdef object begin_call(self, Message message, Port source)
    @cython.locals(routes=Routes)
    cpdef Carrying begin_carrying(self, object event, Port source)
    cpdef FanOut end_search(self, Search search)
    cdef FanOut _carried(self, object event, Routes routes)
    @cython.locals(routes=Routes, receiver=Receiver, link=LeafRoute, delivered=Py_ssize_t)
    cpdef Py_ssize_t carry(self, Message message, Port source) except -1
    @cython.locals(routes=Routes, receiver=Receiver, link=LeafRoute)
    cpdef carry_burst(self, Burst burst, Port source)
    @cython.locals(receiver=Receiver, group=Group)
    cpdef bint carry_to_one(self, Message message, list members, Port source) except -1
    @cython.locals(routes=Routes, mapped=Message)
    cpdef Py_ssize_t call(self, Message message, Port source) except -1
    @cython.locals(subject=bytes)
    cdef Message _mapped(self, Message message)
    @cython.locals(subject=bytes)
    cdef Burst _mapped_burst(self, Burst burst)
    @cython.locals(places=Py_ssize_t)
    cdef bint _reserve(self, Message message, Routes routes, bint retained) except -1
    @cython.locals(message=Message, taken=Py_ssize_t)
    cdef _reserve_burst(self, Burst burst, Routes routes)
    cdef _retain(self, Message message, Port source)
    @cython.locals(routes=Routes)
    cdef Routes _route(self, bytes subject)
    @cython.locals(flows=Flows)
    cdef Flows _flows_of(self, Port source, Verdicts may_publish)
    @cython.locals(routes=Routes)
    cdef Routes _flow(self, Flows flows, bytes subject)
    cdef _note_flow(self, Flows flows, bytes subject, Routes routes)
    @cython.locals(search=Search)
    cdef Search _begin_search(self, object event)
    @cython.locals(subject=bytes, routes=Routes, bucket=Bucket, interest=Interest)
    cdef Routes _end_search(self, Search search)
    @cython.locals(search=Search)
    cdef Routes _search_at_once(self)
    @cython.locals(routes=Routes, lead=bytes)
    cpdef Routes _resolve(self, bytes subject)
    @cython.locals(routes=Routes)
    cdef Routes _resolve_alike(self, bytes subject, bytes lead)
    @cython.locals(bucket=Bucket, interest=Interest, routes=Routes, alike=Routes, making=Resolution)
    cdef Routes _remember_alike(self, bytes lead)
    @cython.locals(bucket=Bucket, found=list, interest=Interest, routes=Routes, walk=Walk, making=Resolution)
    cdef Routes _remember(self, bytes subject)
    @cython.locals(found=list, interest=Interest, routes=Routes, walk=Walk, making=Resolution)
    cdef Routes _route_once(self, bytes subject)
    cdef _search_once(self, bytes subject, Walk walk, Resolution making)
