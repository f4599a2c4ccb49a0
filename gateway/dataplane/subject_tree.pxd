cimport cython
from gateway.dataplane.port cimport Receiver

cdef class Interest:
    cdef readonly bytes subject
    cdef readonly list plain
    cdef public dict groups
    cdef public list upstream

cdef class Node:
    cdef public dict children
    cdef public Node star
    cdef public Interest interest, rest

cdef class SubjectTree:
    cdef dict _literals
    cdef Node _root
    cdef Py_ssize_t _wildcards
    cdef readonly Py_ssize_t count
    @cython.locals(found=list, literal=Interest, tokens=list)
    cpdef list match(self, bytes subject)

@cython.locals(child=Node)
cdef _walk(Node node, list tokens, Py_ssize_t level, Py_ssize_t depth, list found)
