cimport cython
from gateway.storage.streams.backlog cimport Backlog
from gateway.storage.streams.contents cimport Contents
from gateway.storage.streams.incoming cimport Incoming
from gateway.storage.streams.subject_states cimport SubjectState, SubjectStates

cdef Py_ssize_t MESSAGE_BYTES

cdef class Appending:
    cdef public long long last, last_ns, ease, ease_bytes, plain_size, most_of_subject, discarded
    cdef public bint closed, has_epoch, noted, row_changed
    cdef public Contents contents
    cdef public Backlog backlog
    cdef public Incoming incoming
    cdef public SubjectStates subjects
    cdef object _wall_ns
    @cython.locals(backlog=Backlog, subjects=SubjectStates, state=SubjectState, size=Py_ssize_t, sequence=cython.longlong,
                   now=cython.longlong)
    cpdef long long append(self, bytes subject, bytes header, bytes payload, long long time_ns=*) except -1
    @cython.locals(subjects=SubjectStates, contents=Contents, state=SubjectState, sequence=cython.longlong,
                   size=Py_ssize_t)
    cpdef replace(self, bytes subject, Py_ssize_t left)
