cimport cython
from gateway.dataplane.nats_receivers cimport LeafPort, LeafRoute
from gateway.dataplane.port cimport Port, Receiver
from gateway.dataplane.routes cimport Group, Offer, Routes
from protocols.message cimport Burst, Message

cdef Py_ssize_t OFFERED_AT_ONCE

cdef class FanOut:
    cdef readonly object event
    cdef readonly Routes routes
    cdef readonly bint carried
    cdef Carrying inner
    cdef readonly Py_ssize_t position, delivered, nth, group
    cdef dict named
    cdef Offer offer
    @cython.locals(plain=list, share=Py_ssize_t, stop=Py_ssize_t, index=Py_ssize_t, receiver=Receiver)
    cpdef bint go_on(self, Port source) except -1
    @cython.locals(plain=list, left=Py_ssize_t, reach=Py_ssize_t, receiver=Receiver, border=BorderRoute, inner=Carrying)
    cdef bint _cross(self, Port source) except -1
    @cython.locals(messages=list, count=Py_ssize_t, left=Py_ssize_t, stop=Py_ssize_t, message=Message,
                   group=Group)
    cdef bint _serve_groups(self, Port source) except -1
    @cython.locals(offer=Offer)
    cdef bint _serve_crowd(self, Message message, Group group, Port source) except -1
    @cython.locals(link=LeafRoute)
    cdef _end_carrying(self, Port source)

cdef class Carrying:
    cdef public FanOut fan_out
    cdef readonly Port source
    cpdef bint go_on(self) except -1
    cpdef bint taken(self) except -1
    cpdef bint refused(self) except -1

cdef class BorderRoute(Receiver):
    cpdef Py_ssize_t reach(self, bytes subject) except -1
    cpdef Carrying begin(self, object event, Port source)

@cython.locals(count=Py_ssize_t, border=BorderRoute)
cpdef Py_ssize_t reach_of(Routes routes, bytes subject) except -1

@cython.locals(delivered=Py_ssize_t, receiver=Receiver)
cpdef int deliver(Message message, Routes routes, Port source) except -1

@cython.locals(link=LeafRoute)
cpdef int deliver_beyond(Message message, Routes routes, Port source, Py_ssize_t delivered) except -1

@cython.locals(receiver=Receiver)
cpdef deliver_burst(Burst burst, Routes routes, Port source)

@cython.locals(link=LeafRoute)
cpdef deliver_burst_beyond(Burst burst, Routes routes, Port source)

cpdef note_delivered(Message message, Port source, Py_ssize_t delivered)

@cython.locals(work=Py_ssize_t)
cpdef Py_ssize_t work_of(Routes routes, bytes subject, Py_ssize_t count) except -1

@cython.locals(delivered=Py_ssize_t)
cpdef Py_ssize_t deliver_to_groups(Message message, Routes routes, Port source) except -1

@cython.locals(delivered=Py_ssize_t, index=Py_ssize_t, group=Group)
cpdef Py_ssize_t serve_groups(
    Message message, Routes routes, Port source, Py_ssize_t start, Py_ssize_t stop, dict named
) except -1

cdef note_named(dict named, LeafPort link, Group group)

@cython.locals(delivered=Py_ssize_t, route=LeafRoute)
cpdef Py_ssize_t serve_links(Message message, Routes routes, Port source, dict named) except -1
