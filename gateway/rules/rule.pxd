cimport cython
from gateway.rules.expressions cimport Expression
from gateway.rules.functions cimport is_number
from gateway.rules.memory cimport Entry, Memory
from gateway.rules.payloads cimport Made, Wanted, encode, encode_object

cdef Py_ssize_t REMEMBERED_SUBJECTS, LONGEST_REMEMBERED

@cython.final
cdef class Place:
    cdef readonly bytes subject
    cdef readonly tuple tokens

@cython.final
cdef class Rule:
    cdef readonly object config, errors, name
    cdef readonly long long taken, made, filtered, held
    cdef readonly str last_error
    cdef readonly bint is_timed
    cdef readonly Memory memory
    cdef public object report
    cdef object _transform
    cdef Expression _when, _value
    cdef Wanted _wanted
    cdef Made _object
    cdef Py_ssize_t _whole
    cdef list _fields, _wildcards
    cdef dict _places
    cdef tuple _functions
    cdef bint _deadband, _numbers, _remembers
    cdef double _throttle, _repeat, _window
    @cython.locals(place=Place)
    cpdef Place place_of(self, bytes subject)
    @cython.locals(tokens=tuple, values=list, fields=list, expression=Expression)
    cpdef object take(self, Place place, bytes payload, double now)
    @cython.locals(entry=Entry)
    cpdef _collect(self, bytes subject, object value, double now)
    @cython.locals(memory=Memory, entry=Entry, since=double, is_old=bint, made=bytes)
    cpdef object _pass(self, bytes subject, object value, bytes payload, double now)
    cpdef bytes _encoded(self, object value, bytes payload)
