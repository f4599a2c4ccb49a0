cimport cython

cdef Py_ssize_t HEAD_BYTES

@cython.locals(body=bytes, found=list, number=Py_ssize_t, end=Py_ssize_t, start=Py_ssize_t, at=Py_ssize_t,
               subject_size=Py_ssize_t, header_size=Py_ssize_t, behind_subject=Py_ssize_t, behind_header=Py_ssize_t,
               subject=bytes, header=bytes)
cpdef list messages_in(row, long long first=*, wanted=*)
