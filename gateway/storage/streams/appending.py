"""Appending: the part of a stream that takes messages (hot)."""

from collections.abc import Callable

from gateway.storage.streams.backlog import Backlog
from gateway.storage.streams.contents import Contents
from gateway.storage.streams.incoming import Incoming
from gateway.storage.streams.stored_message import MESSAGE_BYTES
from gateway.storage.streams.subject_states import SubjectStates


class Appending:
    """`subjects` is None where nothing is known of them. `wall_ns` gives unix time in nanoseconds.

    `admit` looks closely whether a message may be taken, and makes room for it. It need not be asked while there is
    `ease`: so many more messages, and bytes, each of `plain_size` at most, on subjects that are known. What goes
    meanwhile makes that no less. Of a subject that has `most_of_subject` messages the oldest gives way (0: that is
    looked at closely). `discarded` counts what went because of a limit; `row_changed`: numbers of the stream are to be
    written.
    """

    __slots__ = (
        "_wall_ns",
        "backlog",
        "closed",
        "contents",
        "discarded",
        "ease",
        "ease_bytes",
        "has_epoch",
        "incoming",
        "last",
        "last_ns",
        "most_of_subject",
        "noted",
        "plain_size",
        "row_changed",
        "subjects",
    )

    def __init__(
        self,
        backlog: Backlog,
        contents: Contents,
        incoming: Incoming,
        subjects: SubjectStates | None,
        wall_ns: Callable[[], int],
    ) -> None:
        self.last = 0
        self.last_ns = 0
        self.closed = False
        self.backlog = backlog
        self.contents = contents
        self.incoming = incoming
        self.subjects = subjects
        self._wall_ns = wall_ns
        self.has_epoch = False
        self.noted = False
        self.ease = 0
        self.ease_bytes = 0
        self.plain_size = 0
        self.most_of_subject = 0
        self.discarded = 0
        # A new stream is to be written.
        self.row_changed = True

    def admit(self, subject: bytes, size: int) -> None:
        """Raises RefusedError."""
        raise NotImplementedError

    def begin_epoch(self, sequence: int) -> None:
        """The first message of this run is taken."""
        raise NotImplementedError

    def touch(self, urgent: bool) -> None:
        """There is something to write."""
        raise NotImplementedError

    def append(self, subject: bytes, header: bytes, payload: bytes, time_ns: int = 0) -> int:
        """Take a message; returns its sequence. Raises RefusedError, and then nothing has changed.

        It is called on the loop and costs some microseconds; everything appended until the next commit begins goes with
        that one. Where old messages have to go for it (Limits), they are gone at once. A copy keeps the time of what it
        is a copy of, but no message is older than the one before it.
        """
        backlog = self.backlog
        subjects = self.subjects
        state = None if subjects is None else subjects.get(subject)
        size = MESSAGE_BYTES + len(subject) + len(header) + len(payload)
        if (
            self.ease <= 0
            or size > self.plain_size
            or size > self.ease_bytes
            or backlog.bytes + size > backlog.room
            or (subjects is not None and state is None)
        ):
            self.admit(subject, size)
        elif self.most_of_subject:
            self.replace(subject, self.most_of_subject - 1)
        self.ease -= 1
        self.ease_bytes -= size
        sequence = self.last = self.last + 1
        now = time_ns or self._wall_ns()
        if now > self.last_ns:
            self.last_ns = now
        if not self.has_epoch:
            self.begin_epoch(sequence)
        self.incoming.add(sequence, self.last_ns, subject, header, payload, size)
        if subjects is not None:
            subjects.add(subject, sequence, size)
        backlog.bytes += size
        backlog.changes += 1  # Each is a promise of its own, also where the stream is noted already.
        if not self.noted:
            self.touch(True)
        return sequence

    def replace(self, subject: bytes, left: int) -> None:
        """Let the oldest messages of a subject go until only so many are left, for one that is added next."""
        subjects = self.subjects
        assert subjects is not None
        contents = self.contents
        state = subjects.prune(subject, contents.first)
        while state is not None and state.messages > left:
            sequence, size = state.first, state.first_size
            if self.incoming.holds(sequence):
                self.incoming.delete(sequence, size)
            else:
                contents.delete(sequence, size)
            self.discarded += 1
            subjects.forget_oldest(state)
