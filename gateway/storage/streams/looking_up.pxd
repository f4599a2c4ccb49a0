cimport cython
from gateway.storage.streams.appending cimport Appending
from gateway.storage.streams.contents cimport Contents
from gateway.storage.streams.directory cimport ChunkDirectory
from gateway.storage.streams.frames cimport Frames
from gateway.storage.streams.lately_read cimport LatelyRead
from gateway.storage.streams.subject_states cimport SubjectState, SubjectStates

@cython.final
cdef class LookUp:
    cdef readonly long long missing
    cdef long long _key
    cdef Appending _stored
    cdef Contents _contents
    cdef dict _recent
    cdef LatelyRead _lately
    @cython.locals(states=SubjectStates, contents=Contents, state=SubjectState)
    cpdef Frames last_of(self, bytes subject)
    @cython.locals(contents=Contents, directory=ChunkDirectory, number=Py_ssize_t, first=cython.longlong, frames=Frames)
    cpdef Frames find(self, long long sequence)
