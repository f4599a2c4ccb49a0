cimport cython
from gateway.dataplane.deliveries cimport BorderRoute
from gateway.dataplane.nats_receivers cimport LeafInterest, LeafPort
from gateway.dataplane.port cimport Port, Receiver
from gateway.dataplane.routes cimport Group, Routes, make_routes
from gateway.dataplane.subject_tree cimport Interest

cdef Py_ssize_t ROUTE_BYTES, POINTER_BYTES, LOOKED_AT_ONCE, OFFERED_AT_ONCE, MAKING, FEW_MEMBERS
cdef int PLAIN, UNIQUE, ALONE, COMBINED, GROUPS, LINKS, NAMED, OVER

@cython.final
cdef class Resolution:
    cdef readonly Routes routes
    cdef bytes _subject
    cdef list _interests, _some, _combining, _ports, _names, _found
    cdef dict _combined, _members, _here, _behind, _links
    cdef set _seen, _owned, _plain_links
    cdef bint _general, _is_filtered, _is_durable, _is_shared
    cdef int _stage
    cdef Py_ssize_t _left, _index, _place, _position

    cpdef bint go_on(self) except -1
    @cython.locals(routes=Routes, subject=bytes, plain=list, interest=Interest, some=list, stop=Py_ssize_t,
                   position=Py_ssize_t, receiver=Receiver)
    cdef _take_plain(self)
    cdef list _hold(self, list receivers)
    cdef _begin(self, int stage)
    @cython.locals(combining=list, seen=set, stop=Py_ssize_t, position=Py_ssize_t, receiver=Receiver)
    cdef _look_for_twins(self)
    @cython.locals(combining=list, stop=Py_ssize_t, position=Py_ssize_t, receiver=Receiver)
    cdef _take_alone(self)
    @cython.locals(combining=list, subject=bytes, combined=dict, of_port=list, ports=list, stop=Py_ssize_t,
                   position=Py_ssize_t, receiver=Receiver, port=Port, made=Receiver)
    cdef _combine(self)
    @cython.locals(routes=Routes)
    cdef _add_made(self, Receiver receiver)
    @cython.locals(interest=Interest, groups=dict)
    cdef _take_groups(self)
    @cython.locals(every=list, members=list, subject=bytes, stop=Py_ssize_t, position=Py_ssize_t, receiver=Receiver)
    cdef bint _take_group(self, bytes name, dict groups) except -1
    @cython.locals(routes=Routes, owned=set, here=dict, group=Group)
    cdef _add_group(self, bytes name, list members)
    @cython.locals(beyond=dict, queue=bytes, interest=Interest)
    cdef _take_links(self)
    @cython.locals(links=dict, behind=dict, ports=dict, receiver=Receiver)
    cdef _take_behind(self, bytes queue, list receivers)
    @cython.locals(routes=Routes, subject=bytes, links=dict, behind=dict, here=dict, stop=Py_ssize_t,
                   place=Py_ssize_t, group=Group, ports=dict)
    cdef _lead_over_links(self)

@cython.locals(receiver=Receiver)
cpdef bint has_filtered(list receivers) except -1
