cdef Py_ssize_t LARGEST_PAYLOAD

cpdef object decode(bytes payload)
cpdef bytes encode(object value)
cpdef bytes encode_object(dict values)
