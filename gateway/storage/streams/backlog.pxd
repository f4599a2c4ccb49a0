cdef class Backlog:
    cdef public long long bytes, changes, room, turn
