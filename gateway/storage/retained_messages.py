"""Retained messages: the last message of each subject that was published in an account to be kept. In memory, bounded,
and stored where there is a journal.

There may be a million of them on a small machine, so each is packed into little more than its bytes.
"""

import struct
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.storage.ordered_subjects import OrderedSubjects, after
from protocols.message import RETAIN_HEADER, Message
from protocols.subjects import is_literal

if TYPE_CHECKING:
    from gateway.storage.journal import Journal

# What is packed: a byte with the QoS and HAS_HEAD, HEAD and the reply subject where a message needs them, the body.
# Most messages have nothing but RETAIN_HEADER before their payload: for it IS_PLAIN stands.
QOS = 3
HAS_HEAD = 4
IS_PLAIN = 8
HEAD = struct.Struct("<HId")  # size of the reply subject, size of the header, expiry
HEAD_END = 1 + HEAD.size
PLAIN_SIZE = len(RETAIN_HEADER)
FIRST_BYTES = [bytes((flags,)) for flags in range(16)]

STORED = "SELECT subject, reply, header_size, body, qos, expires_at FROM retained WHERE account = ? ORDER BY subject"


class RetainedMessages:
    """At most `max_messages` messages with `max_bytes` of subjects, headers and payloads.

    One that does not fit is refused and counted; what is kept of its subject stays. `clock` gives the seconds by which
    messages expire. One that has expired is not given out; it leaves when somebody asks for it, or with `sweep`.
    """

    def __init__(
        self,
        max_messages: int,
        max_bytes: int,
        journal: "Journal | None" = None,
        clock: Callable[[], float] = time.monotonic,
        account: str = DEFAULT_ACCOUNT,
    ) -> None:
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.bytes = 0
        self.refused = 0
        # The key of the limit at which one was refused last, until something has been deleted.
        self.short_of: str | None = None
        self._journal = journal
        self.clock = clock
        self._account = account
        self._packed: dict[bytes, bytes] = {}
        self._subjects = OrderedSubjects()
        self._expiring = 0
        self._swept = b""

    def __len__(self) -> int:
        return len(self._packed)

    def set_limits(self, max_messages: int, max_bytes: int) -> None:
        """Hold other limits from now on; what is kept stays, be it more than they say."""
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.short_of = None

    def load(self) -> None:
        """Take what the database holds, be it more than the limits say now; to be called once, before anything else.
        Raises sqlite3.Error.
        """
        assert self._journal is not None
        for subject, *content in self._journal.database.connection.execute(STORED, (self._account,)):
            self._set(subject, pack(*content))
        self._subjects.fill(list(self._packed))
        self._swept = b""
        self.sweep(len(self._packed))

    def keep(self, message: Message, expires_at: float = 0.0) -> bool:
        """Replace the subject's message; an empty payload deletes it. False when there is no room, or the message is
        `refused` by the disk.

        `expires_at` 0.0: never.
        """
        limit = self.limit_for(message)
        if limit is not None or (message.refused and message.size > message.header_size):
            self.refused += 1
            self.short_of = limit or self.short_of
            return False
        self.put(message, expires_at)
        return True

    def put(self, message: Message, expires_at: float) -> None:
        """Replace the subject's message, or delete it, where there is room (`limit_for`)."""
        subject = message.subject
        old = self._packed.get(subject)
        header_size, size = message.header_size, message.size
        if size == header_size:
            if old is not None:
                self._remove(subject)
            return
        reply, body, qos = message.reply, message.body(), message.qos
        packed = pack(reply, header_size, body, qos, expires_at)
        if old is None:
            self._subjects.add(subject)
            self._packed[subject] = packed
            self.bytes += len(subject) + size
            self._expiring += expires_at > 0.0
        else:
            self._set(subject, packed)
        journal = self._journal
        if journal is not None:
            key = (self._account, subject)
            journal.batch.retained.put(key, (*key, reply, header_size, body, qos, expires_at))
            journal.note()

    def limit_for(self, message: Message) -> str | None:
        """The key of the limit that leaves no room for a message; None where there is room."""
        if message.size == message.header_size:
            return None
        if message.subject not in self._packed and len(self._packed) >= self.max_messages:
            return "max-retained-messages"
        return "max-retained-bytes" if self.bytes + self.growth(message) > self.max_bytes else None

    def growth(self, message: Message) -> int:
        """How many bytes more there are when a message is kept."""
        old = self._packed.get(message.subject)
        return message.size + (len(message.subject) if old is None else -body_size(old))

    def __contains__(self, subject: bytes) -> bool:
        return subject in self._packed

    def get(self, subject: bytes) -> Message | None:
        """What is kept of one subject: each time a message of its own."""
        packed = self._packed.get(subject)
        if packed is None:
            return None
        message, expires_at = unpack(subject, packed)
        if expires_at and expires_at <= self.clock():
            self._remove(subject)
            return None
        return message

    def expires_at(self, subject: bytes) -> float:
        """When what is kept of a subject expires; 0.0 for never."""
        packed = self._packed.get(subject)
        return expiry_of(packed) if packed is not None else 0.0

    def matching(self, subject_filter: bytes) -> Iterator[Message | None]:
        """The kept messages whose subject a filter matches, made one by one; it may be left and gone on with later.

        None comes now and then instead of a message, so that no step takes long: let others run, and go on. What is
        deleted meanwhile does not come any more; what is kept for a new subject comes or does not.
        """
        if is_literal(subject_filter):
            message = self.get(subject_filter)
            if message is not None:
                yield message
            return
        for subject in self._subjects.matching(subject_filter):
            yield None if subject is None else self.get(subject)

    def containing(self, part: bytes) -> list[bytes]:
        """The subjects of the messages in whose header or payload `part` occurs."""
        return [subject for subject, packed in self._packed.items() if part in packed]

    def sweep(self, most: int) -> None:
        """Remove what has expired, looking at `most` subjects or some more; the next call goes on behind them."""
        now = self.clock()
        while self._expiring and most > 0:
            subjects = self._subjects.stride(self._swept)
            for subject in subjects:
                packed = self._packed.get(subject)
                if packed is not None and 0.0 < expiry_of(packed) <= now:
                    self._remove(subject)
            self._swept = after(subjects[-1]) if subjects else b""
            most -= len(subjects) or most

    def _set(self, subject: bytes, packed: bytes) -> None:
        old = self._packed.get(subject)
        if old is not None:
            self._uncount(subject, old)
        self._packed[subject] = packed
        self.bytes += len(subject) + body_size(packed)
        self._expiring += expiry_of(packed) > 0.0

    def _uncount(self, subject: bytes, packed: bytes) -> None:
        self.bytes -= len(subject) + body_size(packed)
        self._expiring -= expiry_of(packed) > 0.0

    def _remove(self, subject: bytes) -> None:
        self.short_of = None
        self._uncount(subject, self._packed.pop(subject))
        self._subjects.remove(subject)
        if self._journal is not None:
            self._journal.batch.retained.remove((self._account, subject))
            self._journal.note()


def pack(reply: bytes, header_size: int, body: bytes, qos: int, expires_at: float) -> bytes:
    if not reply and not expires_at:
        if not header_size:
            return FIRST_BYTES[qos] + body
        if header_size == PLAIN_SIZE and body.startswith(RETAIN_HEADER):
            return FIRST_BYTES[qos | IS_PLAIN] + body[PLAIN_SIZE:]
    return b"%c%b%b%b" % (qos | HAS_HEAD, HEAD.pack(len(reply), header_size, expires_at), reply, body)


def unpack(subject: bytes, packed: bytes) -> tuple[Message, float]:
    """The message, and when it expires."""
    flags = packed[0]
    reply_size, header_size, expires_at, start = 0, 0, 0.0, 1
    if flags & HAS_HEAD:
        reply_size, header_size, expires_at = HEAD.unpack_from(packed, 1)
        start = HEAD_END
    body = packed[start + reply_size :]
    if flags & IS_PLAIN:
        header_size = PLAIN_SIZE
        body = RETAIN_HEADER + body
    message = Message(subject, packed[start : start + reply_size], header_size, len(body), None, None)
    message.set_body(body)
    message.qos = flags & QOS
    return message, expires_at


def body_size(packed: bytes) -> int:
    """How many bytes header and payload have."""
    flags = packed[0]
    if not flags & HAS_HEAD:
        return len(packed) - 1 + (PLAIN_SIZE if flags & IS_PLAIN else 0)
    reply_size: int = HEAD.unpack_from(packed, 1)[0]
    return len(packed) - HEAD_END - reply_size


def expiry_of(packed: bytes) -> float:
    if not packed[0] & HAS_HEAD:
        return 0.0
    expires_at: float = HEAD.unpack_from(packed, 1)[2]
    return expires_at
