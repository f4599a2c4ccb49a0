from protocols.flat_json cimport FlatReader, FlatWriter

cdef Py_ssize_t LARGEST_PAYLOAD

cdef class Wanted:
    cdef readonly Py_ssize_t count
    cdef Py_ssize_t _whole
    cdef dict _flat, _places
    cdef FlatReader _reader
    cpdef list read(self, bytes payload)

cdef class Made:
    cdef list _names
    cdef FlatWriter _writer
    cpdef dict value(self, list values)
    cpdef bytes encode(self, list values)

cpdef object decode(bytes payload)
cpdef bytes encode(object value)
cpdef bytes encode_object(dict values)
