cimport cython
from gateway.dataplane.port cimport Port
from gateway.dataplane.router cimport Router
from gateway.storage.streams.frames cimport Frames
from gateway.storage.streams.looking_up cimport LookUp
from protocols.message cimport Message, make_plain_message

cdef bytes DOT, STREAM, SUBJECT, SEQUENCE, TIME, END, COLON, POINT, ZERO
cdef list TWO_DIGITS
cdef long long SECOND, MINUTE, HOUR, DAY
cdef Py_ssize_t ANSWER_BYTES

@cython.final
cdef class Gettable:
    cdef readonly bytes lead
    cdef readonly LookUp look_up
    cdef readonly object fetch

@cython.final
cdef class PromptGets:
    cdef Router _router
    cdef Port _port
    cdef dict _streams
    cdef object _waiting, _answers, _others
    cdef Py_ssize_t _awaited
    cdef long long _day
    cdef bytes _date
    @cython.locals(reply=bytes, at=Py_ssize_t, gettable=Gettable, subject=bytes, look_up=LookUp, found=Frames, header=bytes,
                   block=bytes, payload=bytes, answer=Message)
    cpdef bint answer(self, bytes asked, Message message, Port source, bint again=*) except -1
    cpdef _go_on(self, bytes asked, Message message, Port source)
    @cython.locals(seconds=cython.longlong, rest=cython.longlong, day=cython.longlong, hour=cython.longlong,
                   minute=cython.longlong, clock=list)
    cdef bytes _time(self, long long time_ns)
