cimport cython

@cython.locals(encoded=list, around=tuple)
cpdef bytes encode_series(bytes labels, dict samples, dict times)
