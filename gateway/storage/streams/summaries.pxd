cimport cython
from gateway.storage.streams.subject_states cimport SubjectStates

cdef Py_ssize_t HEAD_BYTES, SUBJECT_BYTES, IN_A_ROW

@cython.locals(body=bytes, start=Py_ssize_t, end=Py_ssize_t, at=Py_ssize_t, number=Py_ssize_t, distance=Py_ssize_t,
               subject_size=Py_ssize_t, begin=cython.longlong)
cpdef count_subjects(chunk, gone, SubjectStates states)

@cython.locals(at=Py_ssize_t, end=Py_ssize_t, count=Py_ssize_t, size=Py_ssize_t)
cpdef add_subjects(SubjectStates states, bytes subjects)
