cimport cython
from gateway.dataplane.drawers cimport Drawers
from gateway.dataplane.port cimport Receiver
from protocols.scanning cimport cut, find_byte

cdef int DOT
cdef Py_ssize_t LONGEST_WALK

cdef class Interest:
    cdef readonly bytes subject
    cdef readonly list plain
    cdef public dict groups
    cdef public dict beyond
    cdef public Py_ssize_t local_only, onlookers, untold
    cdef public object routes

cdef class Node:
    cdef public dict children
    cdef public Node star
    cdef public Interest interest, rest

cdef class Walk:
    cdef readonly list found
    cdef bytes _subject, _token
    cdef list _nodes, _following
    cdef Py_ssize_t _start, _position
    @cython.locals(left=Py_ssize_t, first=Py_ssize_t, stop=Py_ssize_t, nodes=list)
    cpdef bint go_on(self) except -1
    @cython.locals(subject=bytes, start=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t)
    cdef _cut(self)

cdef class SubjectTree:
    cdef Drawers _literals
    cdef Node _root
    cdef Py_ssize_t _wildcards
    cdef readonly Py_ssize_t count
    cdef readonly Py_ssize_t changes, looked
    @cython.locals(found=list, walk=Walk)
    cpdef list match(self, bytes subject)
    @cython.locals(literal=Interest)
    cpdef Walk find(self, bytes subject, list found)
    cpdef bint is_literal(self, bytes subject) except -1
    @cython.locals(found=list, nodes=list, known=list, level=Py_ssize_t, following=list, node=Node)
    cpdef Interest only_interest(self, bytes lead, Py_ssize_t tokens)
    @cython.locals(node=Node, start=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t, steps=Py_ssize_t, fork=Node,
                   child=Node, nodes=list, following=list)
    cdef Walk _walk(self, bytes subject, list found)

@cython.locals(start=Py_ssize_t, stop=Py_ssize_t, end=Py_ssize_t)
cdef bint has_empty_token(bytes subject) except -1

@cython.locals(index=Py_ssize_t, node=Node, child=Node)
cdef int descend(list nodes, Py_ssize_t first, Py_ssize_t stop, bytes token, list following, list found) except -1

@cython.locals(index=Py_ssize_t, node=Node)
cdef int arrive(list nodes, Py_ssize_t first, Py_ssize_t stop, list found) except -1
