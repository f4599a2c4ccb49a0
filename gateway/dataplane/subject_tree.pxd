cimport cython
from gateway.dataplane.port cimport Receiver
from protocols.scanning cimport cut, find_byte

cdef int DOT

cdef class Interest:
    cdef readonly bytes subject
    cdef readonly list plain
    cdef public dict groups
    cdef public list upstream
    cdef public Py_ssize_t local_only
    cdef public object routes

cdef class Node:
    cdef public dict children
    cdef public Node star
    cdef public Interest interest, rest

cdef class SubjectTree:
    cdef dict _literals
    cdef Node _root
    cdef Py_ssize_t _wildcards
    cdef readonly Py_ssize_t count
    @cython.locals(found=list)
    cpdef list match(self, bytes subject)
    @cython.locals(literal=Interest)
    cpdef Py_ssize_t find(self, bytes subject, list found) except -1

@cython.locals(start=Py_ssize_t, stop=Py_ssize_t, end=Py_ssize_t)
cdef bint has_empty_token(bytes subject) except -1

@cython.locals(start=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t, steps=Py_ssize_t, fork=Node, child=Node,
               nodes=list, following=list, token=bytes)
cdef Py_ssize_t walk(Node node, bytes subject, list found) except -1
